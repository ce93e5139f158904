import GRPCCore

/// The messages of the benchmark, encoded by hand: no protoc plugin is needed to build this peer, and it is spared the
/// cost of a protobuf runtime, which is in its favour.
struct ProtobufWriter {
    private(set) var bytes: [UInt8] = []

    mutating func varint(_ value: UInt64) {
        var rest = value
        while rest >= 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        bytes.append(UInt8(rest))
    }

    mutating func field(_ number: UInt64, _ value: UInt64) {
        guard value != 0 else { return }
        varint(number << 3)
        varint(value)
    }

    mutating func field(_ number: UInt64, _ value: some Collection<UInt8>) {
        guard !value.isEmpty else { return }
        varint(number << 3 | 2)
        varint(UInt64(value.count))
        bytes.append(contentsOf: value)
    }

    mutating func field(_ number: UInt64, seconds: UInt64, nanos: UInt64) {
        var timestamp = ProtobufWriter()
        timestamp.field(1, seconds)
        timestamp.field(2, nanos)
        field(number, timestamp.bytes)
    }
}

/// A request, kept undecoded: every call gets the same answer.
struct Request {}

struct Job {
    var id = "bench-1"
    var payload = #"{"command":["true"]}"#

    /// As `GetStatusResponse`.
    var encoded: [UInt8] {
        var job = ProtobufWriter()
        job.field(1, id.utf8)
        job.field(2, 1)
        job.field(3, 4)
        job.field(4, 1)
        for number: UInt64 in 5...7 { job.field(number, seconds: 1_790_000_000, nanos: 123_456_789) }
        job.field(14, payload.utf8)
        job.field(17, 3)
        var response = ProtobufWriter()
        response.field(1, job.bytes)
        return response.bytes
    }
}

struct Event {
    var sequence: UInt64

    var encoded: [UInt8] {
        var event = ProtobufWriter()
        event.field(1, sequence)
        event.field(2, "task_submitted".utf8)
        event.field(3, "0199c2a4-5f3e-7c1d-9b7a-3d2f1e0c4b5a".utf8)
        event.field(4, seconds: 1_790_000_000, nanos: 123_456_789)
        event.field(6, 1)
        event.field(7, #"{"task_id":"0199c2a4-5f3e-7c1d"}"#.utf8)
        event.field(8, "rpc".utf8)
        return event.bytes
    }
}

struct RequestDeserializer: MessageDeserializer {
    func deserialize<Bytes: GRPCContiguousBytes>(_ bytes: Bytes) throws -> Request { Request() }
}

struct JobSerializer: MessageSerializer {
    func serialize<Bytes: GRPCContiguousBytes>(_ job: Job) throws -> Bytes { Bytes(job.encoded) }
}

struct EventSerializer: MessageSerializer {
    func serialize<Bytes: GRPCContiguousBytes>(_ event: Event) throws -> Bytes { Bytes(event.encoded) }
}
