/// The environment a command starts with: clean, so that a job never depends on how its server was started and never
/// sees the server's secrets.
struct CommandEnvironment: Sendable {
    /// What jobs see of the server's own environment.
    let inherited: [String: String]

    /// `PATH` has a value even when the server has none: programs are found by it.
    static let defaultPath = "/usr/local/bin:/usr/bin:/bin"

    init(server: [String: String], inherit names: [String]) {
        var inherited = server.filter { names.contains($0.key) }
        if inherited["PATH"] == nil { inherited["PATH"] = Self.defaultPath }
        self.inherited = inherited
    }

    /// Later ones win: the server's, the submission's trace, the payload's, then those that tell the job about itself.
    func variables(for job: Job, command: JobCommand, directory: AttemptDirectory) -> [String: String] {
        var variables = inherited
        // The name that OpenTelemetry's libraries read.
        variables["TRACEPARENT"] = job.spec.traceParent
        variables.merge(command.environment) { _, payload in payload }
        variables["DSPY_JOB_ID"] = job.id
        variables["DSPY_JOB_CLASS"] = job.jobClass.word
        variables["DSPY_ATTEMPT"] = String(job.attempt)
        variables["DSPY_PAYLOAD_PATH"] = directory.payload
        variables["DSPY_RESULT_PATH"] = directory.result
        return variables
    }
}
