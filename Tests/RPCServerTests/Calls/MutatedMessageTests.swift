import Protocol
import Testing

/// Every request's decoder, fed the corpus and mutations of it: an answer or an error, and what was taken can be written
/// again.
struct MutatedMessageTests {
    private static let decoders: [@Sendable ([UInt8]) -> Bool] = [
        decoder(Wire.SubmitJobRequest.self), decoder(Wire.SubmitJobsRequest.self), decoder(Wire.GetStatusRequest.self),
        decoder(Wire.ListJobsRequest.self), decoder(Wire.CancelJobRequest.self), decoder(Wire.StreamEventsRequest.self),
        decoder(Wire.StreamLogsRequest.self), decoder(Wire.GetMetricsRequest.self),
    ]

    /// Whether the message was taken.
    private static func decoder<Message: WireMessage>(_: Message.Type) -> @Sendable ([UInt8]) -> Bool {
        { bytes in
            guard let message = try? Message(decoding: bytes) else { return false }
            let framed = message.framed()
            #expect((try? Message(decoding: Array(framed.dropFirst(5))))?.framed().count == framed.count)
            return true
        }
    }

    @Test func `every message of the corpus is taken or refused by every decoder`() throws {
        let corpus = try Corpus.files("messages")
        #expect(corpus.count > 20)
        for (name, bytes) in corpus {
            let taken = Self.decoders.filter { $0(bytes) }.count
            if name.hasPrefix("no-message") { #expect(taken == 0, "\(name)") }
        }
    }

    @Test(arguments: [UInt64(3), 0xFEED])
    func `mutations of the corpus are taken or refused by every decoder`(seed: UInt64) throws {
        var random = SplitMix(state: seed)
        let corpus = try Corpus.files("messages")
        for _ in 0..<60 {
            for (_, bytes) in corpus {
                var mutant = bytes
                Corpus.mutate(&mutant, with: corpus[Int.random(in: 0..<corpus.count, using: &random)].bytes, &random)
                for decode in Self.decoders { _ = decode(mutant) }
            }
        }
    }
}
