import Protocol
import Testing

@testable import RPCServer

/// A connection without its socket, fed what a peer might send if it lost a few bytes or its mind. Not a fuzzer, but
/// the same few thousand connections each time.
struct MutatedConnectionTests {
    private typealias Frame = RawConnection.Frame

    /// One frame of each kind and calls of each kind, so that a mutation has something to hit.
    private static let script: [[UInt8]] = {
        let message = Wire.LogChunk.numbered(1).framed()
        var frames = [Frame.settings]
        for (index, path) in ["/test.Echo/Now", "/test.Echo/Async", "/test.Stream/Pull", "/no", "/test.Wait/Call"]
            .enumerated()
        {
            let stream = UInt32(2 * index + 1)
            frames.append(.headers(path: path, stream: stream))
            frames.append(Frame(type: 8, flags: 0, stream: stream, payload: [0, 0, 1, 0]))
            frames.append(.data(Array(message[..<3]), stream: stream, ends: false))
            // Padded by two bytes.
            frames.append(Frame(type: 0, flags: 9, stream: stream, payload: [2] + message[3...] + [0, 0]))
        }
        frames.append(Frame(type: 6, flags: 0, stream: 0, payload: Array(repeating: 7, count: 8)))
        frames.append(.reset(9, code: 8))
        var cut = Frame.headers(path: "/test.Stream/Pull", stream: 11)
        let rest = Array(cut.payload[20...])
        cut.payload.removeSubrange(20...)
        cut.flags = 0
        frames += [cut, Frame(type: 9, flags: 4, stream: 11, payload: rest)]
        frames.append(.data(message, stream: 11, ends: true))
        frames.append(Frame(type: 4, flags: 0, stream: 0, payload: [0, 4, 0, 0, 0, 10]))
        frames.append(.headers(path: "/test.Echo/Async", stream: 13))
        frames.append(.data(message + message, stream: 13, ends: false))
        frames.append(Frame(type: 2, flags: 0, stream: 13, payload: [0, 0, 0, 0, 1]))
        frames.append(Frame(type: 7, flags: 0, stream: 0, payload: [0, 0, 0, 0, 0, 0, 0, 0]))
        return [RawConnection.preface] + frames.map(\.bytes)
    }()

    private static let methods = [
        Methods.echoNow, Methods.echo,
        RPCMethod.serverStream("/test.Stream/Pull") { (_: Wire.LogChunk, _) in
            QueueSource(ready: Wire.LogChunk.sized(2000).framed())
        },
        RPCMethod.unary("/test.Wait/Call") { (request: Wire.LogChunk, _) in
            await untilCancelled()
            return request
        },
    ]

    @Test(arguments: [UInt64(1), 0xDEAD_BEEF])
    func `connections of mutated bytes are survived and leave no call behind`(seed: UInt64) async throws {
        let loop = try await SocketlessLoop(Self.methods)
        var random = SplitMix(state: seed)
        for round in 0..<1500 {
            let left = try await loop.serve(Self.parts(&random), drains: random.next() % 4 == 0)
            #expect(left == 0, "round \(round)")
        }
        try await loop.end()
    }

    @Test func `every connection of the corpus is survived however it is cut`() async throws {
        let loop = try await SocketlessLoop(Self.methods)
        let corpus = try Corpus.files("frames")
        #expect(corpus.count > 50)
        for (name, bytes) in corpus {
            for size in [1, 7, 100, bytes.count] {
                let parts = stride(from: 0, to: bytes.count, by: size).map { Array(bytes[$0...].prefix(size)) }
                #expect(try await loop.serve(parts, drains: false) == 0, "\(name) in pieces of \(size)")
            }
        }
        try await loop.end()
    }

    @Test(arguments: [UInt64(2), 0xBAD_5EED])
    func `mutations of the corpus are survived and leave no call behind`(seed: UInt64) async throws {
        let loop = try await SocketlessLoop(Self.methods)
        var random = SplitMix(state: seed)
        let corpus = try Corpus.files("frames")
        for _ in 0..<25 {
            for (name, bytes) in corpus {
                var mutant = bytes
                let other = corpus[Int.random(in: 0..<corpus.count, using: &random)].bytes
                Corpus.mutate(&mutant, with: other, from: RawConnection.preface.count, &random)
                let cut = Int.random(in: 0...mutant.count, using: &random)
                let parts = [Array(mutant[..<cut]), Array(mutant[cut...])]
                let left = try await loop.serve(parts, drains: random.next() % 4 == 0)
                #expect(left == 0, "\(name): \(mutant)")
            }
        }
        try await loop.end()
    }

    private static func parts(_ random: inout SplitMix) -> [[UInt8]] {
        var frames = script
        for _ in 0...Int.random(in: 0..<4, using: &random) {
            let place = Int.random(in: 1..<frames.count, using: &random)
            let byte = Int.random(in: 0..<frames[place].count, using: &random)
            switch Int.random(in: 0..<6, using: &random) {
            case 0: frames[place][byte] = UInt8(truncatingIfNeeded: random.next())
            case 1: frames[place][byte] ^= 1 << UInt8.random(in: 0..<8, using: &random)
            case 2: frames.remove(at: place)
            case 3: frames.insert(frames[place], at: place)
            case 4: frames.swapAt(place, Int.random(in: 1..<frames.count, using: &random))
            default: frames[place].removeSubrange(byte...)
            }
            frames.removeAll(where: \.isEmpty)
        }
        // Several frames at once, or one in two.
        var parts: [[UInt8]] = [[]]
        for frame in frames {
            if random.next() % 3 == 0 {
                let cut = Int.random(in: 0...frame.count, using: &random)
                parts[parts.count - 1] += frame[..<cut]
                parts.append(Array(frame[cut...]))
            } else {
                parts[parts.count - 1] += frame
            }
        }
        return parts
    }
}
