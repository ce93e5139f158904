/// A batch template: a shell script of the operator's, with `#SBATCH` lines for what it needs of Slurm. A job's
/// parameters come to it as data: `DSPY_PARAM_<NAME>` in the environment, and the whole payload in the file
/// `$DSPY_PAYLOAD_PATH`.
struct SlurmTemplate: Sendable, Equatable {
    var name: String
    var text: [UInt8]
    /// Its `#SBATCH` lines, as they stand.
    var directives: [String]
    /// Parameters without which it can't run: its lines `#DSPY require NAME...`.
    var required: [String]

    static let fileExtension = ".sbatch"
    /// Bytes.
    static let maxSize = 256 << 10

    /// What this server sets itself, or what would make one job several.
    private static let reserved: Set<String> = [
        "--job-name", "-J", "--comment", "--output", "-o", "--error", "-e", "--open-mode", "--export", "--export-file",
        "--array", "-a", "--chdir", "-D", "--wrap", "--parsable", "--wait", "-W", "--test-only", "--hold", "-H",
        "--get-user-env", "--clusters", "-M", "--input", "-i", "--quiet", "-Q", "--begin", "-b", "--ignore-pbs",
    ]

    /// - Throws: `failedPrecondition` with the file, the line and what to change.
    init(name: String, text: [UInt8], path: String) throws(OrchestratorError) {
        func objection(_ why: String) -> OrchestratorError {
            OrchestratorError(.failedPrecondition, "template \(path): \(why)")
        }
        guard Self.isName(name) else {
            throw objection("its name may have letters, digits, _ and - only, at most 64")
        }
        guard text.count <= Self.maxSize else { throw objection("larger than \(Self.maxSize) bytes") }
        guard !text.contains(0x0d) else {
            throw objection("has carriage returns, which sbatch refuses; save it with \\n")
        }
        guard !text.contains(0) else { throw objection("has a NUL byte; it must be a shell script") }
        guard text.starts(with: "#!".utf8) else {
            throw objection("does not start with #!; a batch script begins with #!/bin/bash")
        }
        directives = []
        required = []
        let lines = String(decoding: text, as: UTF8.self).split(separator: "\n", omittingEmptySubsequences: false)
        for (number, line) in lines.enumerated() {
            if line.hasPrefix("#DSPY") {
                let words = line.split(separator: " ")
                guard words.first == "#DSPY", words.dropFirst().first == "require",
                    words.dropFirst(2).allSatisfy({ Self.isParameter($0) })
                else { throw objection("line \(number + 1) must be: #DSPY require NAME...") }
                required += words.dropFirst(2).map(String.init)
                continue
            }
            // sbatch reads directives up to the first command.
            guard line.isEmpty || line.hasPrefix("#") else { break }
            guard line.hasPrefix("#SBATCH") else { continue }
            guard !line.contains("$"), !line.contains("`") else {
                throw objection(
                    "line \(number + 1): sbatch reads directives literally, $ and ` stand for themselves there")
            }
            for word in line.split(separator: " ").dropFirst() {
                let option = word.hasPrefix("--") ? String(word.prefix { $0 != "=" }) : String(word.prefix(2))
                if Self.reserved.contains(option) {
                    throw objection("line \(number + 1): \(option) is set by this server for each job; leave it out")
                }
            }
            directives.append(String(line))
        }
        self.name = name
        self.text = text
    }

    static func isName(_ name: some StringProtocol) -> Bool {
        (1...64).contains(name.utf8.count) && !name.hasPrefix("-")
            && name.utf8.allSatisfy { isLetterOrDigit($0) || $0 == 0x5f || $0 == 0x2d }
    }

    static func isParameter(_ name: some StringProtocol) -> Bool {
        guard let first = name.utf8.first, !(0x30...0x39).contains(first) else { return false }
        return name.utf8.count <= 64 && name.utf8.allSatisfy { isLetterOrDigit($0) || $0 == 0x5f }
    }

    private static func isLetterOrDigit(_ byte: UInt8) -> Bool {
        (0x30...0x39).contains(byte) || (0x41...0x5a).contains(byte) || (0x61...0x7a).contains(byte)
    }

    /// Every `*.sbatch` of a directory, by name.
    static func all(in directory: String) throws(OrchestratorError) -> [String: SlurmTemplate] {
        var templates: [String: SlurmTemplate] = [:]
        do {
            for file in try WholeFile.names(in: directory).sorted()
            where file.hasSuffix(fileExtension) && !file.hasPrefix(".") {
                let path = "\(directory)/\(file)"
                let name = String(file.dropLast(fileExtension.count))
                // A mounted ConfigMap's files are links.
                let text = try WholeFile.read(WholeFile.resolved(path), limit: maxSize + 1)
                templates[name] = try SlurmTemplate(name: name, text: text, path: path)
            }
        } catch let error as OrchestratorError {
            throw error
        } catch {
            throw OrchestratorError(.failedPrecondition, "the Slurm templates can't be read: \(error)")
        }
        return templates
    }
}
