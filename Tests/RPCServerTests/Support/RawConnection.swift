/// HTTP/2 frames written by hand, for what no client library would send.
final class RawConnection {
    struct Frame: Equatable {
        var type: UInt8
        var flags: UInt8
        var stream: UInt32
        var payload: [UInt8]

        static func header(_ type: UInt8, flags: UInt8, stream: UInt32, length: Int) -> [UInt8] {
            [UInt8(length >> 16 & 0xFF), UInt8(length >> 8 & 0xFF), UInt8(length & 0xFF), type, flags]
                + withUnsafeBytes(of: stream.bigEndian) { Array($0) }
        }

        var bytes: [UInt8] {
            Self.header(type, flags: flags, stream: stream, length: payload.count) + payload
        }

        static let settings = Frame(type: 4, flags: 0, stream: 0, payload: [])

        /// Ends the headers, not the stream. Literals without indexing (RFC 7541 §6.2.2).
        static func headers(path: String, stream: UInt32) -> Frame {
            var block: [UInt8] = []
            let fields = [
                (":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "test"),
                ("content-type", "application/grpc"),
            ]
            for (name, value) in fields {
                block += [0, UInt8(name.utf8.count)] + Array(name.utf8) + [UInt8(value.utf8.count)] + Array(value.utf8)
            }
            return Frame(type: 1, flags: 0x4, stream: stream, payload: block)
        }

        /// The same block as HEADERS and so many CONTINUATION frames.
        func split(continuations count: Int) -> [Frame] {
            let size = (payload.count + count) / (count + 1)
            return (0...count).map { index in
                let piece = payload.dropFirst(index * size).prefix(size)
                return Frame(
                    type: index == 0 ? 1 : 9, flags: index == count ? 0x4 : 0, stream: stream, payload: Array(piece))
            }
        }

        static func pong(_ ping: Frame) -> Frame { Frame(type: 6, flags: 1, stream: 0, payload: ping.payload) }

        static func reset(_ stream: UInt32, code: UInt8) -> Frame {
            Frame(type: 3, flags: 0, stream: stream, payload: [0, 0, 0, code])
        }

        static func data(_ bytes: [UInt8], stream: UInt32, ends: Bool) -> Frame {
            Frame(type: 0, flags: ends ? 1 : 0, stream: stream, payload: bytes)
        }

        /// When this is a GOAWAY.
        var goAway: HTTP2Client.GoAway? {
            guard type == 7, payload.count >= 8 else { return nil }
            let numbers = [payload[..<4], payload[4..<8]].map { $0.reduce(0) { $0 << 8 | UInt32($1) } }
            return HTTP2Client.GoAway(lastStream: Int32(bitPattern: numbers[0]), code: numbers[1])
        }
    }

    static let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8) + Frame.settings.bytes

    let socket: Socket
    private var output: ArraySlice<UInt8> = []
    private var input: [UInt8] = []
    private(set) var frames: [Frame] = []
    private(set) var isDisconnected = false

    init(port: Int) throws { socket = try Socket(port: port) }

    func send(_ bytes: [UInt8]) { output += bytes }

    func pump(_ what: String, until done: () -> Bool) throws {
        let deadline = ContinuousClock.now + .seconds(180)
        while !done() {
            guard !isDisconnected else { throw HTTP2Client.Disconnected(waitingFor: what) }
            let ready = try socket.wait(for: what, writing: !output.isEmpty, until: deadline)
            if ready.writable {
                guard let taken = socket.write(output.prefix(256 * 1024)) else {
                    output = []
                    continue
                }
                output = output.dropFirst(taken)
            }
            if ready.readable { receive() }
        }
    }

    /// Sends and never reads, until all is sent or the server is gone.
    func sendAll() throws {
        let deadline = ContinuousClock.now + .seconds(180)
        while !output.isEmpty {
            try socket.waitToWrite(for: "the server to take bytes", until: deadline)
            guard let taken = socket.write(output.prefix(256 * 1024)) else { return }
            output = output.dropFirst(taken)
        }
    }

    private func receive() {
        guard let bytes = socket.read() else {
            isDisconnected = true
            return
        }
        input += bytes
        while input.count >= 9 {
            let length = input[..<3].reduce(0) { $0 << 8 | Int($1) }
            guard input.count >= 9 + length else { return }
            let stream = input[5..<9].reduce(0) { $0 << 8 | UInt32($1) }
            frames.append(
                Frame(type: input[3], flags: input[4], stream: stream, payload: Array(input[9..<(9 + length)])))
            input.removeFirst(9 + length)
        }
    }
}
