/// What one attempt executes.
public struct JobCommand: Sendable, Equatable {
    /// The program, then its arguments; never empty. Never read by a shell.
    public var arguments: [String]
    /// What the payload adds to the clean environment.
    public var environment: [String: String]
    /// An absolute path; nil is the attempt's own empty directory.
    public var workingDirectory: String?
    /// nil is no input.
    public var standardInput: String?
    /// As the payload asks; the job's own timeout comes first, the class's default last.
    public var timeout: Duration?
    /// The handler whose worker does it, instead of a process of its own.
    public var worker: Handler?

    public init(
        arguments: [String], environment: [String: String] = [:], workingDirectory: String? = nil,
        standardInput: String? = nil, timeout: Duration? = nil
    ) {
        self.arguments = arguments
        self.environment = environment
        self.workingDirectory = workingDirectory
        self.standardInput = standardInput
        self.timeout = timeout
    }
}
