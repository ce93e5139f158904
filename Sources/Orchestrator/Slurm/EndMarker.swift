/// What the wrapper around a batch job wrote when its command ended: the file `exit` of the attempt, one key=value a
/// line, moved into place whole.
struct EndMarker: Sendable, Equatable {
    enum End: Sendable, Equatable {
        case exited(code: Int32)
        case signalled(Int32)
        /// The wrapper could not start the command; one line says why.
        case notStarted(String)
    }

    var end: End
    var slurmJobID: String
    /// The run that it is of: Slurm counts how often it put the job back.
    var restarts: UInt32
    var node: String
    var startedAt: Timestamp?
    var finishedAt: Timestamp?
    /// SIGTERM came first: somebody ended it, and Slurm knows who and why.
    var wasTerminated: Bool
    /// Its run was, or may have been, put back into Slurm's queue since: Slurm says whether there was another one.
    var isGivenUp = false

    /// Whether it tells how the job ended without another word of Slurm's. A SIGKILL may have been for the memory; a
    /// shell says 137 of a command that got one.
    var isConclusive: Bool {
        if wasTerminated || isGivenUp { return false }
        switch end {
        case .signalled(let signal): return signal != 9
        case .exited(let code): return code != 137
        case .notStarted: return true
        }
    }

    /// Whether a job's standard error has the line with which Slurm ends it, as in
    /// `slurmstepd-n1: error: *** JOB 12 ON n1 CANCELLED AT 2026-11-23T21:10:35 DUE TO TIME LIMIT ***`.
    static func isNotice(_ standardError: [UInt8], slurmJobID: String) -> Bool {
        String(decoding: standardError, as: UTF8.self).contains("error: *** JOB \(slurmJobID) ON ")
    }

    /// nil when the text is not a whole marker.
    init?(parsing text: [UInt8]) {
        guard let lines = MarkerLines(parsing: text) else { return nil }
        let fields = lines.fields
        if let why = fields["start_error"] {
            end = .notStarted(String(why.prefix(300)))
        } else if let signal = fields["signal"].flatMap({ Int32($0) }) {
            end = .signalled(signal)
        } else if let code = fields["exit_code"].flatMap({ Int32($0) }) {
            end = .exited(code: code)
        } else {
            return nil
        }
        slurmJobID = lines.slurmJobID
        restarts = lines.restarts
        node = String(fields["node"] ?? "")
        startedAt = fields["started_ns"].flatMap { Int64($0) }.map { Timestamp(nanoseconds: $0) }
        finishedAt = fields["finished_ns"].flatMap { Int64($0) }.map { Timestamp(nanoseconds: $0) }
        wasTerminated = fields["terminated"] == "1"
    }
}

/// What the wrapper wrote when its command began: the file `started` of the attempt.
struct StartMarker: Sendable, Equatable {
    var slurmJobID: String
    var restarts: UInt32
    var nodes: String
    var startedAt: Timestamp?

    init?(parsing text: [UInt8]) {
        guard let lines = MarkerLines(parsing: text) else { return nil }
        let fields = lines.fields
        slurmJobID = lines.slurmJobID
        restarts = lines.restarts
        nodes = String(fields["nodes"] ?? "")
        startedAt = fields["started_ns"].flatMap { Int64($0) }.map { Timestamp(nanoseconds: $0) }
    }
}

/// What both have in common.
private struct MarkerLines {
    var fields: [Substring: Substring] = [:]
    var slurmJobID: String
    var restarts: UInt32

    init?(parsing text: [UInt8]) {
        let lines = String(decoding: text, as: UTF8.self)
        for line in lines.split(separator: "\n") {
            guard let equals = line.firstIndex(of: "=") else { return nil }
            fields[line[..<equals]] = line[line.index(after: equals)...]
        }
        // `end` is written last.
        guard fields["end"] == "1", let id = fields["slurm_job_id"],
            let count = fields["restarts"].flatMap({ UInt32($0) })
        else { return nil }
        slurmJobID = String(id)
        restarts = count
    }
}
