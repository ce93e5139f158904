import Protocol
import Testing

struct CodingTests {
    private func roundTrip<Message: WireMessage & Equatable>(_ message: Message, _ arena: Arena) throws -> Bool {
        try Message(decoding: message.encoded(), in: arena) == message
    }

    @Test func `every message survives the wire with all its fields`() throws {
        let arena = Arena()
        for message in Samples.all {
            #expect(try roundTrip(message, arena), "\(type(of: message))")
        }
    }

    @Test func `an empty message is the default one`() throws {
        #expect(try Wire.Job(decoding: []) == Wire.Job())
        #expect(Wire.Job().encoded().isEmpty)
    }

    @Test func `enum numbers that are not known are kept`() throws {
        let job = try Wire.Job(decoding: [0x10, 0xE7, 0x07, 0x18, 0x63])
        #expect(job.jobClass.rawValue == 999)
        #expect(job.state.rawValue == 99)
    }

    @Test func `fields that are not known are ignored`() throws {
        // Field 100 as varint, 64-bit, bytes and 32-bit, around a job id.
        let unknown: [UInt8] = [0xA0, 0x06, 0x01, 0xA1, 0x06, 1, 2, 3, 4, 5, 6, 7, 8, 0xA2, 0x06, 2, 0xFF, 0xFE]
        let known = Wire.GetStatusRequest(jobID: "a").encoded()
        #expect(try Wire.GetStatusRequest(decoding: unknown + known + [0xA5, 0x06, 1, 2, 3, 4]).jobID == "a")
    }

    @Test func `of a field or a map key that comes twice the last holds`() throws {
        let first = Wire.SubmitJobRequest(jobID: "a", labels: ["k": "1", "other": "x"]).encoded()
        let second = Wire.SubmitJobRequest(jobID: "b", labels: ["k": "2"]).encoded()
        let merged = try Wire.SubmitJobRequest(decoding: first + second)
        #expect(merged.jobID == "b")
        #expect(merged.labels == ["k": "2", "other": "x"])
    }

    @Test func `packed and unpacked numbers are both read`() throws {
        let packed: [UInt8] = [0x0A, 2, 1, 3]
        let unpacked: [UInt8] = [0x08, 1, 0x08, 3]
        #expect(try Wire.ListJobsRequest(decoding: packed).states == [.queued, .running])
        #expect(try Wire.ListJobsRequest(decoding: unpacked).states == [.queued, .running])
    }

    // MARK: What is refused

    private func field(_ number: UInt8, _ bytes: [UInt8]) -> [UInt8] { [number << 3 | 2, UInt8(bytes.count)] + bytes }

    private func error<Message: WireMessage>(_ type: Message.Type, _ bytes: [UInt8]) -> WireError? {
        #expect(throws: WireError.self) { try Message(decoding: bytes) }
    }

    @Test(
        arguments: [[0xFF], [0xC0, 0x80], [0xED, 0xA0, 0x80], [0xE2, 0x82], [0xF4, 0x90, 0x80, 0x80]] as [[UInt8]])
    func `text that is not UTF-8 is refused by its field`(bytes: [UInt8]) {
        #expect(error(Wire.GetStatusRequest.self, field(1, bytes))?.field == "job_id")
        #expect(error(Wire.SubmitJobRequest.self, field(8, bytes))?.field == "depends_on")
        let entry = field(1, Array("k".utf8)) + field(2, bytes)
        #expect(error(Wire.SubmitJobRequest.self, field(5, entry))?.field == "labels")
        #expect(error(Wire.SubmitJobsRequest.self, field(1, field(1, bytes)))?.field == "jobs.job_id")
        let deep = field(1, field(1, field(11, bytes)))
        #expect(error(Wire.SubmitJobsResponse.self, deep)?.field == "results.job.error")
    }

    @Test func `text with a NUL is refused by its field`() {
        let error = error(Wire.CancelJobRequest.self, field(2, [0x61, 0, 0x62]))
        #expect(error?.description == "reason: the text contains a NUL character; remove it")
    }

    @Test(arguments: 0...40) func `text of any length and script arrives, and a bad byte is found wherever it stands`(
        count: Int
    ) throws {
        let plain = (0..<count).map { UInt8(1 + $0 * 3 % 0x7F) }
        #expect(try Wire.GetStatusRequest(decoding: field(1, plain)).jobID.utf8.elementsEqual(plain))
        for place in 0...count {
            let accented = Array(plain[..<place] + [0xC3, 0xA9] + plain[place...])
            #expect(try Wire.GetStatusRequest(decoding: field(1, accented)).jobID.utf8.elementsEqual(accented))
            for bad: UInt8 in [0, 0x80, 0xFF] {
                let bytes = Array(plain[..<place] + [bad] + plain[place...])
                #expect(error(Wire.GetStatusRequest.self, field(1, bytes))?.field == "job_id")
            }
        }
    }

    @Test func `bytes may hold anything`() throws {
        #expect(try Wire.LogChunk(decoding: field(3, [0, 0xFF])).data == [0, 0xFF])
    }

    @Test func `a message that is cut or is not one is refused as a whole`() {
        for bytes: [UInt8] in [[0x0A], [0x0A, 5, 1], [0xFF], [0x0A, 0xFF, 0xFF, 0xFF, 0xFF, 0x0F], [0x07], [0x00]] {
            #expect(error(Wire.GetStatusRequest.self, bytes)?.field == "")
        }
    }

    @Test func `a message that takes more memory than the arena may is refused`() throws {
        let bytes = (0..<20_000).flatMap { _ in [0x42, 0] as [UInt8] }  // empty depends_on
        #expect(try Wire.SubmitJobRequest(decoding: bytes).dependsOn.count == 20_000)
        #expect(throws: WireError.self) {
            try Wire.SubmitJobRequest(decoding: bytes, in: Arena(limit: 64 * 1024))
        }
        // Four MiB of empty submissions would be a quarter of a GiB of structures.
        let hostile = (0..<(2 << 20)).flatMap { _ in [0x0A, 0] as [UInt8] }
        #expect(throws: WireError.self) { try Wire.SubmitJobsRequest(decoding: hostile) }
    }

    @Test func `an arena serves message after message`() throws {
        let arena = Arena(limit: 8 * 1024)
        for _ in 0..<1000 { #expect(try roundTrip(Samples.submission, arena)) }
    }

    /// Not a fuzzer, but the same few hundred thousand wrong messages each time: none may crash, and what is read must
    /// be writable and read the same again.
    @Test(arguments: [UInt64(1), 0xDEAD_BEEF])
    func `mutated messages are read or refused, never worse`(seed: UInt64) throws {
        var random = SplitMix(state: seed)
        let arena = Arena(limit: 1 << 20)
        for sample in Samples.all {
            let original = sample.encoded()
            for _ in 0..<1500 {
                try check(like: sample, random.mutated(original), arena)
            }
        }
    }

    private func check<Message: WireMessage & Equatable>(
        like sample: Message, _ bytes: [UInt8], _ arena: Arena
    ) throws {
        guard let message = try? Message(decoding: bytes, in: arena) else { return }
        let encoded = message.encoded()
        // Compared as bytes: a NaN does not equal itself.
        #expect(try Message(decoding: encoded, in: arena).encoded() == encoded, "\(Message.self) of \(bytes)")
    }
}

/// SplitMix64, so that a seed gives the same run everywhere.
private struct SplitMix: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var value = state
        value = (value ^ value >> 30) &* 0xBF58_476D_1CE4_E5B9
        value = (value ^ value >> 27) &* 0x94D0_49BB_1331_11EB
        return value ^ value >> 31
    }

    mutating func mutated(_ bytes: [UInt8]) -> [UInt8] {
        var bytes = bytes
        for _ in 0...Int.random(in: 0..<4, using: &self) {
            let place = Int.random(in: 0...bytes.count, using: &self)
            switch Int.random(in: 0..<5, using: &self) {
            case 0 where place < bytes.count: bytes[place] = UInt8(truncatingIfNeeded: next())
            case 1 where place < bytes.count: bytes[place] ^= 1 << UInt8.random(in: 0..<8, using: &self)
            case 2: bytes.insert(UInt8(truncatingIfNeeded: next()), at: place)
            case 3 where place < bytes.count: bytes.remove(at: place)
            default: bytes.removeSubrange(place...)
            }
        }
        return bytes
    }
}
