/// What a server and a worker say to each other: JSON objects, each behind its length in four bytes, big-endian
/// (Documentation/workers.md).
enum WorkerMessage {
    /// The one version of the protocol that this runner speaks.
    static let version = 1.0

    /// Of one message until the worker has said what it takes.
    static let usualMostBytes = 4 << 20

    /// Whatever a worker says that it takes.
    static let mostBytes = 64 << 20

    struct Task {
        var job: Job
        var timeout: Duration
    }

    struct Hello: Equatable {
        /// Of the process that speaks; 0 when it did not say.
        var pid: Int32 = 0
        /// Of one message, both ways.
        var mostBytes = WorkerMessage.usualMostBytes
    }

    enum Reply: Equatable {
        case hello(Hello)
        /// The task's outcome; JSON.
        case value(id: String, attempt: UInt32, [UInt8])
        /// What the function raised: "type: message", and the whole as JSON.
        case error(id: String, attempt: UInt32, String, [UInt8])
        /// The worker can do nothing: "type: message".
        case fatal(String)
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
    static func next(in buffer: inout [UInt8], mostBytes: Int) throws(Malformed) -> Reply? {
        guard buffer.count >= 4 else { return nil }
        let length = buffer[..<4].reduce(0) { $0 << 8 | Int($1) }
        guard length <= mostBytes else {
            throw Malformed(reason: "a message of \(length) bytes; does the program print to the protocol's output?")
        }
        guard buffer.count >= 4 + length else { return nil }
        let json = Array(buffer[4..<(4 + length)])
        buffer.removeFirst(4 + length)
        if let reply = try reply(json) { return reply }
        return try next(in: &buffer, mostBytes: mostBytes)
    }

    /// nil for a type that a later version may add.
    private static func reply(_ json: [UInt8]) throws(Malformed) -> Reply? {
        let node: JSONNode
        do { node = try JSONNode(parsing: json) } catch {
            throw Malformed(reason: "a message that is no JSON: \(error)")
        }
        guard let type = text(node["type"]) else { throw Malformed(reason: "a message without a \"type\"") }
        switch type {
        case "hello":
            guard number(node["protocol"]) == version else {
                throw Malformed(reason: "another version of the protocol than \(Int(version))")
            }
            var hello = Hello()
            if let pid = number(node["pid"]), pid > 0, pid < 1e9 { hello.pid = Int32(pid) }
            if let most = number(node["max_frame_bytes"]), most >= 1024 {
                hello.mostBytes = Int(min(most, 64 * 1_048_576))
            }
            return .hello(hello)
        case "result":
            guard let id = text(node["id"]), let attempt = number(node["attempt"]).flatMap({ UInt32(exactly: $0) }),
                case .bool(let isOK)? = node["ok"]?.value
            else { throw Malformed(reason: "a result without \"id\", \"attempt\" and \"ok\"") }
            if isOK {
                return .value(
                    id: id, attempt: attempt, node["value"].map { Array(json[$0.range]) } ?? Array("null".utf8))
            }
            guard let error = node["error"] else { throw Malformed(reason: "a failure without an \"error\"") }
            return .error(id: id, attempt: attempt, words(error), Array(json[error.range]))
        case "fatal": return .fatal(node["error"].map(words) ?? "it gave no reason")
        default: return nil
        }
    }

    /// "type: message".
    private static func words(_ error: JSONNode) -> String {
        [text(error["type"]), text(error["message"])].compactMap { $0 }.filter { !$0.isEmpty }.joined(separator: ": ")
    }

    private static func text(_ node: JSONNode?) -> String? {
        guard case .string(let text)? = node?.value else { return nil }
        return text
    }

    private static func number(_ node: JSONNode?) -> Double? {
        guard case .number(let number)? = node?.value else { return nil }
        return number
    }
}
