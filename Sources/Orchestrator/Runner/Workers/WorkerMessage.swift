/// What a server and a worker say to each other: JSON objects, each behind its length in four bytes, big-endian
/// (Documentation/workers.md).
enum WorkerMessage {
    /// Of one message, in bytes; a result has its own cap.
    static let mostBytes = 64 << 20

    struct Task {
        var job: Job
        var timeout: Duration
    }

    enum Reply: Equatable {
        case ready(pid: Int32)
        /// JSON.
        case result(id: String, [UInt8])
        case failure(id: String, String)
    }

    static func task(_ task: Task) -> [UInt8] {
        var writer = JSONWriter()
        writer.object { writer in
            writer.key("type")
            writer.string("task")
            writer.key("id")
            writer.string(task.job.id)
            writer.key("attempt")
            writer.integer(task.job.attempt)
            writer.key("class")
            writer.string(task.job.jobClass.word)
            writer.key("timeout_seconds")
            writer.number(task.timeout.inSeconds)
            if let trace = task.job.spec.traceParent {
                writer.key("traceparent")
                writer.string(trace)
            }
            writer.key("payload")
            writer.raw(task.job.spec.payload)
        }
        return framed(writer.bytes)
    }

    static func framed(_ json: [UInt8]) -> [UInt8] {
        let length = UInt32(json.count)
        return [UInt8(length >> 24), UInt8(length >> 16 & 0xff), UInt8(length >> 8 & 0xff), UInt8(length & 0xff)] + json
    }

    struct Malformed: Error, Equatable {
        var reason: String
    }

    /// Takes the first whole message out of what was read; nil when there is none yet.
    static func next(in buffer: inout [UInt8]) throws(Malformed) -> Reply? {
        guard buffer.count >= 4 else { return nil }
        let length = buffer[..<4].reduce(0) { $0 << 8 | Int($1) }
        guard length <= mostBytes else {
            throw Malformed(reason: "a message of \(length) bytes; does the program print to the protocol's output?")
        }
        guard buffer.count >= 4 + length else { return nil }
        let json = Array(buffer[4..<(4 + length)])
        buffer.removeFirst(4 + length)
        return try reply(json)
    }

    private static func reply(_ json: [UInt8]) throws(Malformed) -> Reply {
        let node: JSONNode
        do { node = try JSONNode(parsing: json) } catch {
            throw Malformed(reason: "a message that is no JSON: \(error)")
        }
        func text(_ key: String) throws(Malformed) -> String {
            guard case .string(let text)? = node[key]?.value else {
                throw Malformed(reason: "a message without a text \"\(key)\"")
            }
            return text
        }
        switch try text("type") {
        case "ready":
            guard case .number(let pid)? = node["pid"]?.value, pid > 0, pid < 1e9 else { return .ready(pid: 0) }
            return .ready(pid: Int32(pid))
        case "result":
            let result = node["result"].map { Array(json[$0.range]) } ?? Array("null".utf8)
            return .result(id: try text("id"), result)
        case "error": return .failure(id: try text("id"), try text("error"))
        case let other: throw Malformed(reason: "a message of the unknown type \(other.asJSON)")
        }
    }
}
