/// A line of squeue.
struct QueueRow: Sendable, Equatable {
    var id: String
    var name: String
    /// As Slurm wrote it; `SlurmState` may not know it.
    var state: String
    /// Why it waits, or how it ended.
    var reason: String
    var nodes: String
    var startedAt: Timestamp?
    var endedAt: Timestamp?
}

/// A line of sacct, for the job or one of its steps.
struct AccountingRow: Sendable, Equatable {
    /// Of the job, without the step.
    var id: String
    /// nil for the job itself, else `batch`, `extern`, `0`.
    var step: String?
    var name: String
    var state: String
    var exitCode: Int32
    var signal: Int32
    var startedAt: Timestamp?
    var endedAt: Timestamp?
    var elapsedSeconds: Int64?
    var nodes: String
    var maxRSSBytes: Int64?
    /// Who cancelled it, of `CANCELLED by 1000`.
    var cancelledBy: String?
}

/// Reads what Slurm's commands print. Fields stand between unit separators, which no value has that these commands are
/// asked for; a line with another number of fields is nobody's of ours and is left out.
enum SlurmOutput {
    static let separator = "\u{1f}"

    static let queueFormat = ["%i", "%j", "%T", "%r", "%N", "%S", "%e"].joined(separator: separator)
    static let accountingFormat =
        "JobIDRaw,JobName,State,ExitCode,Start,End,ElapsedRaw,NodeList,MaxRSS"

    static func queue(_ text: String) -> [QueueRow] {
        lines(text, fields: 7).compactMap { fields in
            guard isID(fields[0]) else { return nil }
            return QueueRow(
                id: fields[0], name: fields[1], state: fields[2], reason: fields[3], nodes: fields[4],
                startedAt: moment(fields[5]), endedAt: moment(fields[6]))
        }
    }

    static func accounting(_ text: String) -> [AccountingRow] {
        lines(text, fields: 9).compactMap { fields in
            let parts = fields[0].split(separator: ".", maxSplits: 1).map(String.init)
            guard let id = parts.first, isID(id) else { return nil }
            let (code, signal) = exitCode(fields[3])
            let words = fields[2].split(separator: " ")
            return AccountingRow(
                id: id, step: parts.count > 1 ? parts[1] : nil, name: fields[1],
                state: String(words.first ?? ""), exitCode: code, signal: signal, startedAt: moment(fields[4]),
                endedAt: moment(fields[5]), elapsedSeconds: Int64(fields[6]), nodes: nodes(fields[7]),
                maxRSSBytes: bytes(fields[8]),
                cancelledBy: words.count == 3 && words[1] == "by" ? String(words[2]) : nil)
        }
    }

    /// `scontrol --oneliner show job`: a line a job, of `Key=Value` with blanks between. Values may hold blanks (names,
    /// comments), so only keys that come before the free text are looked for, each at its first place.
    static func control(_ text: String) -> [AccountingRow] {
        text.split(separator: "\n").compactMap { line in
            func value(_ key: String) -> String? {
                guard let range = line.firstRange(of: " \(key)=") else { return nil }
                return String(line[range.upperBound...].prefix { $0 != " " })
            }
            guard line.hasPrefix("JobId="), let state = value("JobState") else { return nil }
            let id = String(line.dropFirst("JobId=".count).prefix { $0 != " " })
            guard isID(id) else { return nil }
            let (code, signal) = exitCode(value("ExitCode") ?? "")
            return AccountingRow(
                id: id, step: nil, name: value("JobName") ?? "", state: state, exitCode: code, signal: signal,
                startedAt: moment(value("StartTime") ?? ""), endedAt: moment(value("EndTime") ?? ""),
                elapsedSeconds: nil, nodes: nodes(value("NodeList") ?? ""), maxRSSBytes: nil, cancelledBy: nil)
        }
    }

    /// `sbatch --parsable`: `1147`, or `1147;cluster` in a federation. nil when it is neither.
    static func submitted(_ text: String) -> String? {
        // Warnings of a site's submission plugin may stand before it.
        guard let line = text.split(separator: "\n").last else { return nil }
        let id = line.prefix { $0 != ";" }
        return isID(String(id)) ? String(id) : nil
    }

    private static func lines(_ text: String, fields count: Int) -> [[String]] {
        text.split(separator: "\n").compactMap { line in
            let fields = line.split(separator: Character(separator), omittingEmptySubsequences: false).map(String.init)
            return fields.count == count ? fields : nil
        }
    }

    private static func isID(_ text: String) -> Bool {
        !text.isEmpty && text.utf8.count <= 20 && text.utf8.allSatisfy { $0 >= 0x30 && $0 <= 0x39 }
    }

    /// Seconds since 1970, as SLURM_TIME_FORMAT=%s has them; nil for `N/A`, `Unknown`, `None`.
    private static func moment(_ text: String) -> Timestamp? {
        guard let seconds = Int64(text), seconds > 0, seconds < 9_000_000_000 else { return nil }
        return Timestamp(nanoseconds: seconds * 1_000_000_000)
    }

    /// `3:0`: exit code and signal.
    private static func exitCode(_ text: String) -> (Int32, Int32) {
        let parts = text.split(separator: ":").map { Int32($0) ?? 0 }
        return parts.count == 2 ? (parts[0], parts[1]) : (0, 0)
    }

    private static func nodes(_ text: String) -> String {
        ["None assigned", "(null)", "None"].contains(text) ? "" : text
    }

    /// sacct's sizes: `1234K`, `1.50M`, `0`, empty. In units of 1024.
    private static func bytes(_ text: String) -> Int64? {
        guard let last = text.last else { return nil }
        let units: [Character: Double] = ["K": 0x1p10, "M": 0x1p20, "G": 0x1p30, "T": 0x1p40, "P": 0x1p50]
        let unit = units[last]
        guard let number = Double(unit == nil ? text[...] : text.dropLast()), number >= 0, number < 1e15 else {
            return nil
        }
        return Int64(number * (unit ?? 1))
    }
}
