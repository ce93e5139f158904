/// What became of a command given to Slurm.
enum SlurmAnswer<Value: Sendable>: Sendable {
    case ok(Value)
    /// Slurm understood and said no; its own words, on one line.
    case refused(String)
    /// Slurm was not reached, so nothing happened.
    case away(String)
    /// It may have happened: the command was cut off, or the connection was.
    case inDoubt(String)
}

extension SlurmAnswer: Equatable where Value: Equatable {}

/// Reads why a command failed out of what it wrote on standard error.
enum SlurmComplaint {
    case refused
    case away
    case inDoubt
    /// sacct, where no accounting is configured.
    case noAccounting

    /// The connection was never made, or the controller said that it takes nothing now.
    private static let absence = [
        "Unable to contact slurm controller", "Unable to contact the slurm controller", "connect failure",
        "Connection refused", "No route to host", "Network is unreachable", "Name or service not known",
        "standby mode", "Slurm temporarily unable to accept job", "Unable to establish configuration source",
        "Could not establish a configuration source", "Could not resolve", "Resource temporarily unavailable",
        "authentication credential", "Protocol authentication error", "Munge encode failed", "Munge decode failed",
        "If munged is up", "slurm_persist_conn_open", "Problem talking to the database", "Sending PersistInit msg",
    ]

    /// The connection was made, and its end is unknown.
    private static let interruption = [
        "Socket timed out", "Connection timed out", "Connection reset", "Zero Bytes were transmitted",
        "Unexpected message received", "Broken pipe", "Transport endpoint", "Unspecified error", "receive failure",
        "send failure", "Header lengths are longer", "Incomplete",
    ]

    init(_ standardError: String) {
        func says(_ words: [String]) -> Bool { words.contains { standardError.contains($0) } }
        if standardError.contains("accounting storage is disabled") {
            self = .noAccounting
        } else if says(Self.interruption) {
            // First: one that timed out and then did not get through a second time may have got through the first.
            self = .inDoubt
        } else if says(Self.absence) {
            self = .away
        } else {
            self = .refused
        }
    }

    /// The command's words without its own name and without what says only that it failed, on one line of at most 500
    /// characters.
    static func words(_ standardError: String) -> String {
        let noise = ["error: ", "fatal: ", "Batch job submission failed: "]
        let lines = standardError.split(separator: "\n").map { line -> String in
            var text = String(line.unicodeScalars.map { $0.value < 0x20 || $0.value == 0x7f ? " " : Character($0) })
            if let colon = text.firstRange(of: ": "), !text[..<colon.lowerBound].contains(" ") {
                text = String(text[colon.upperBound...])
            }
            for word in noise where text.hasPrefix(word) { text = String(text.dropFirst(word.count)) }
            return text
        }
        return String(lines.filter { !$0.isEmpty }.joined(separator: "; ").prefix(500))
    }
}
