/// Where an object's members are, found in one pass.
public struct JSONMembers: Sendable {
    typealias Member = (key: JSONReader.Text, value: Range<Int>)

    private let text: [UInt8]
    private let members: [Member]

    init(text: [UInt8], members: [Member]) {
        self.text = text
        self.members = members
    }

    /// A key that comes twice is found by its last value. Keys are the same when their bytes are.
    public subscript(key: String) -> JSONNode? {
        var key = key
        let place = key.withUTF8 { wanted in
            text.withUnsafeBufferPointer { bytes in
                members.lastIndex { member in
                    if member.key.hasEscapes {
                        return JSONReader(bytes).decoded(member.key).utf8.elementsEqual(wanted)
                    }
                    return member.key.range.count == wanted.count && bytes[member.key.range].elementsEqual(wanted)
                }
            }
        }
        return place.map { JSONNode(text: text, range: members[$0].value) }
    }
}
