/// Where the files of one attempt are: `<jobs>/<shard>/<job id>/<attempt>/`.
public struct AttemptDirectory: Sendable, Equatable {
    /// Absolute, without a slash at the end.
    public let path: String

    /// Throws `invalidArgument` for an id that could leave the directory: ids are checked when a job is accepted, and
    /// once more where they become paths.
    public init(jobsDirectory: String, jobID: String, attempt: UInt32) throws(OrchestratorError) {
        guard Self.isSafeFileName(jobID) else {
            throw .invalidArgument("job_id", "job id \(jobID.asJSON) can't be used as the name of a directory")
        }
        path = "\(jobsDirectory)/\(Self.shard(of: jobID))/\(jobID)/\(attempt)"
    }

    public var exists: Bool { WholeFile.exists(path) }

    /// Of a worker, which has the same files but belongs to no job.
    init(worker path: String) { self.path = path }

    public var payload: String { path + "/payload.json" }
    public var standardInput: String { path + "/stdin" }
    /// What is kept of standard output, from its beginning.
    public var standardOutput: String { path + "/stdout" }
    public var standardError: String { path + "/stderr" }
    /// The end of standard output when the beginning filled the cap.
    var standardOutputTail: String { path + "/stdout.tail" }
    var standardErrorTail: String { path + "/stderr.tail" }
    var result: String { path + "/result.json" }
    var work: String { path + "/work" }
    /// The devices it has, one a line.
    var gpus: String { path + "/gpus" }
    /// The private TMPDIR of a command in a sandbox.
    var temporary: String { path + "/tmp" }
    var pid: String { path + "/pid" }
    var lock: String { path + "/lock" }
    var exit: String { path + "/exit" }
    /// There when the attempt ended because its runner did, and the job was started again.
    var interrupted: String { path + "/interrupted" }

    /// The directories to create, outermost first, below the jobs directory.
    var ancestors: [String] {
        let parts = path.split(separator: "/", omittingEmptySubsequences: false)
        return (1...3).reversed().map { parts.dropLast($0 - 1).joined(separator: "/") }
    }

    static func isSafeFileName(_ name: String) -> Bool {
        let bytes = name.utf8
        guard let first = bytes.first, first != UInt8(ascii: "."), first != UInt8(ascii: "-"), bytes.count <= 200 else {
            return false
        }
        return bytes.allSatisfy { $0 > 0x20 && $0 < 0x7f && $0 != UInt8(ascii: "/") }
    }

    /// One of 256, so that no directory grows with the history: FNV-1a, folded to 8 bits.
    static func shard(of jobID: String) -> String {
        var hash: UInt32 = 0x811c_9dc5
        for byte in jobID.utf8 { hash = (hash ^ UInt32(byte)) &* 0x0100_0193 }
        let folded = (hash ^ hash >> 8 ^ hash >> 16 ^ hash >> 24) & 0xff
        return (folded < 16 ? "0" : "") + String(folded, radix: 16)
    }
}
