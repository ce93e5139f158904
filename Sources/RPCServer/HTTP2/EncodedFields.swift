import CNghttp2
import Protocol

/// Header fields as they go to libnghttp2: names and values one after the other, `-bin` values in base64.
struct EncodedFields {
    private var text: [UInt8] = []
    private var lengths: [(name: Int, value: Int)] = []

    init(_ metadata: Metadata, encoding: MessageEncoding = .identity) {
        if encoding != .identity { append("grpc-encoding", Array(encoding.rawValue.utf8)) }
        for field in metadata.fields {
            switch field.value {
            case .text(let text): append(field.name, Array(text.utf8))
            case .binary(let bytes): append(field.name, Base64.encode(bytes))
            }
        }
    }

    var isEmpty: Bool { lengths.isEmpty }

    private mutating func append(_ name: String, _ value: [UInt8]) {
        text += Array(name.utf8)
        text += value
        lengths.append((name.utf8.count, value.count))
    }

    func withFields(_ body: (UnsafeBufferPointer<cng_header>) -> Void) {
        text.withUnsafeBufferPointer { text in
            var offset = 0
            let fields = lengths.map { lengths in
                defer { offset += lengths.name + lengths.value }
                return cng_header(
                    name: cng_bytes(start: text.baseAddress.map { $0 + offset }, length: lengths.name),
                    value: cng_bytes(
                        start: text.baseAddress.map { $0 + offset + lengths.name }, length: lengths.value))
            }
            fields.withUnsafeBufferPointer(body)
        }
    }
}
