import Protocol
import Testing

struct MessageDeframerTests {
    private func frame(_ message: [UInt8], flags: UInt8 = 0) -> [UInt8] {
        [flags] + withUnsafeBytes(of: UInt32(message.count).bigEndian) { Array($0) } + message
    }

    private func outputs(_ parts: [[UInt8]], limit: Int = 1024) -> [MessageDeframer.Output] {
        var deframer = MessageDeframer(limit: limit)
        var outputs: [MessageDeframer.Output] = []
        for part in parts {
            part.withUnsafeBytes { deframer.append($0) }
            while true {
                let output = deframer.next()
                if output == .needsMore { break }
                outputs.append(output)
                if case .refused = output { return outputs }
            }
        }
        return outputs
    }

    private func refusal(_ bytes: [UInt8], limit: Int = 1024) -> Status? {
        if case .refused(let status) = outputs([bytes], limit: limit).last { status } else { nil }
    }

    @Test func `messages come out whole wherever their bytes are cut`() {
        let messages: [[UInt8]] = [[1, 2, 3], [], Array(repeating: 7, count: 300)]
        let bytes = messages.flatMap { frame($0) }
        let expected = messages.map { MessageDeframer.Output.message($0) }
        for cut in 0...bytes.count {
            #expect(outputs([Array(bytes[..<cut]), Array(bytes[cut...])]) == expected)
        }
        #expect(outputs(bytes.map { [$0] }) == expected)
    }

    @Test func `what is held back is counted`() {
        var deframer = MessageDeframer(limit: 10)
        frame([1, 2, 3]).withUnsafeBytes { deframer.append($0) }
        #expect(deframer.buffered == 8)
        #expect(deframer.next() == .message([1, 2, 3]))
        #expect(deframer.buffered == 0)
    }

    @Test func `a message of the limit passes, and a larger one is refused by its prefix alone`() {
        #expect(outputs([frame([1, 2, 3])], limit: 3) == [.message([1, 2, 3])])
        let status = refusal([0, 0, 0, 0, 4], limit: 3)
        #expect(status?.code == .resourceExhausted)
        #expect(status?.message == "the request message has 4 bytes; this server accepts up to 3")
        #expect(refusal([0, 0xFF, 0xFF, 0xFF, 0xFF])?.code == .resourceExhausted)
    }

    @Test func `a compressed message of a call that names no encoding is INTERNAL`() {
        #expect(refusal(frame([1], flags: 1))?.code == .internal)
    }

    @Test func `gzip messages are unpacked, and uncompressed ones between them pass`() {
        let text = Array(repeating: Array("again and again ".utf8), count: 500).flatMap { $0 }
        let packed = text.withUnsafeBytes { Gzip.compress($0) }
        #expect(packed.count < text.count / 10)
        var deframer = MessageDeframer(limit: text.count, encoding: .gzip)
        (frame(packed, flags: 1) + frame([7])).withUnsafeBytes { deframer.append($0) }
        #expect(deframer.next() == .message(text))
        #expect(deframer.lastWireLength == packed.count + 5)
        #expect(deframer.next() == .message([7]))
        #expect(deframer.next() == .needsMore)
    }

    @Test func `a message that unpacks beyond the limit is RESOURCE_EXHAUSTED`() {
        let bomb = [UInt8](repeating: 0, count: 10 << 20).withUnsafeBytes { Gzip.compress($0) }
        var deframer = MessageDeframer(limit: 1 << 20, encoding: .gzip)
        frame(bomb, flags: 1).withUnsafeBytes { deframer.append($0) }
        guard case .refused(let status) = deframer.next() else {
            Issue.record("it was not refused")
            return
        }
        #expect(status.code == .resourceExhausted)
    }

    @Test(arguments: [[UInt8](), [1, 2, 3], Array("not gzip at all, but long enough".utf8)])
    func `what is marked as gzip and is not is INTERNAL`(bytes: [UInt8]) {
        var deframer = MessageDeframer(limit: 1000, encoding: .gzip)
        frame(bytes, flags: 1).withUnsafeBytes { deframer.append($0) }
        guard case .refused(let status) = deframer.next() else {
            Issue.record("it was not refused")
            return
        }
        #expect(status.code == .internal)
    }

    @Test(arguments: [UInt8(2), 0x80, 0xFF])
    func `another flag is INTERNAL and named`(flags: UInt8) {
        let status = refusal(frame([1], flags: flags))
        #expect(status?.code == .internal)
        #expect(status?.message.contains("\(flags)") == true)
    }

    @Test func `a whole message is found without a copy, and nothing else is`() {
        func whole(_ bytes: [UInt8]) -> [UInt8]? {
            bytes.withUnsafeBytes { MessageDeframer.whole($0, limit: 4).map { Array($0) } }
        }
        #expect(whole(frame([1, 2])) == [1, 2])
        #expect(whole(frame([])) == [])
        #expect(whole([]) == nil)
        #expect(whole([0, 0, 0]) == nil)
        #expect(whole(Array(frame([1, 2]).dropLast())) == nil)
        #expect(whole(frame([1, 2]) + [0]) == nil)
        #expect(whole(frame([1], flags: 1)) == nil)
        #expect(whole(frame([1, 2, 3, 4, 5])) == nil)
    }
}
