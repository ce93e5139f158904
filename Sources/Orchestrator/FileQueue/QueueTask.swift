/// A task file's content: `{"id", "class", "payload"}`.
enum QueueTask {
    /// `stem` is the file's name without ".json", which is the id of a task that names none; nil leaves the id to the
    /// ledger. No class is cpu_short, no payload an empty one. Keys it does not know are left alone.
    ///
    /// Throws `JSONError` when the text is not JSON, perhaps because it is still being written, and `OrchestratorError`
    /// when it is the wrong JSON.
    static func parse(_ text: [UInt8], stem: String?) throws -> JobSpec {
        let task = try JSONNode(parsing: text)
        guard case .object = task.value else {
            throw OrchestratorError.invalidArgument(
                "", "a task must be a JSON object {\"id\", \"class\", \"payload\"}, not \(task.value.kind)")
        }
        let id = try string(task, "id") ?? stem
        if let id, id.isEmpty {
            throw OrchestratorError.invalidArgument("id", "id is empty; leave it out to be given one")
        }
        let word = try string(task, "class") ?? JobClass.cpuShort.word
        guard let jobClass = JobClass(word: word) else {
            throw OrchestratorError.invalidArgument(
                "class", "class \(word.asJSON) is unknown; use one of cpu_short, cpu_long, gpu, gpu_slurm")
        }
        var spec = JobSpec(id: id ?? "", jobClass: jobClass, source: .fileQueue)
        if let payload = task["payload"] {
            switch payload.value {
            case .null: break
            case .object: spec.payload = Array(text[payload.range])
            default:
                throw OrchestratorError.invalidArgument(
                    "payload", "payload must be an object, not \(payload.value.kind)")
            }
        }
        return spec
    }

    private static func string(_ task: JSONNode, _ key: String) throws -> String? {
        switch task[key]?.value {
        case nil, .null?: return nil
        case .string(let text)?: return text
        case let other?:
            throw OrchestratorError.invalidArgument(key, "\(key) must be a string, not \(other.kind)")
        }
    }
}

extension JobSpec {
    /// A task of the queue that came as a request's body rather than as a file: the same JSON by the same rules. Without
    /// an id the ledger makes one.
    ///
    /// - Throws: `invalidArgument` that names the field; it is "body" when the text is not JSON.
    public init(queueTask body: [UInt8], source: JobSource) throws {
        do {
            self = try QueueTask.parse(body, stem: nil)
        } catch let error as JSONError {
            throw OrchestratorError.invalidArgument(
                "body", "the body is not JSON: \(error); send an object {\"id\", \"class\", \"payload\"}")
        }
        self.source = source
    }
}
