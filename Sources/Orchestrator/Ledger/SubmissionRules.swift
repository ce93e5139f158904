/// What a submitted job must look like (contract: SubmitJobRequest). Runs on the caller's side of the ledger's queue, so
/// that a large payload is read there and not by the one writer.
struct SubmissionRules: Sendable {
    /// Bytes.
    var maxPayloadBytes: Int
    var acceptsSlurm = false

    static let maxTimeout = Duration.seconds(365 * 86_400)
    static let maxParents = 256

    /// `spec` in the form it is stored and compared in, or the error that names the offending field.
    func checked(_ spec: JobSpec) throws(OrchestratorError) -> JobSpec {
        if spec.jobClass == .gpuSlurm, !acceptsSlurm {
            throw OrchestratorError(
                .failedPrecondition,
                "job_class gpu_slurm: this server has no Slurm bridge configured; submit it as gpu, cpu_long or "
                    + "cpu_short, or start the server with --slurm true"
            ).because(.slurmNotConfigured)
        }
        if !spec.id.isEmpty { try Self.checkID(spec.id, field: "job_id") }
        try checkPayload(spec.payload)
        try checkLabels(spec.labels)
        try checkLimit(spec.timeout, field: "timeout")
        try checkLimit(spec.deadline, field: "deadline")
        try checkRetry(spec.retry)
        try checkParents(spec)
        try checkResources(spec.resources)

        var stored = spec
        if stored.payload.isEmpty { stored.payload = Array("{}".utf8) }
        // The database holds nanoseconds; equality with what it gives back needs the same here. Only where there is one:
        // to set it is to copy the whole.
        if let timeout = spec.timeout { stored.timeout = .nanoseconds(timeout.nanoseconds) }
        if let deadline = spec.deadline { stored.deadline = .nanoseconds(deadline.nanoseconds) }
        if let backoff = spec.retry.initialBackoff { stored.retry.initialBackoff = .nanoseconds(backoff.nanoseconds) }
        if let backoff = spec.retry.maxBackoff { stored.retry.maxBackoff = .nanoseconds(backoff.nanoseconds) }
        if !spec.retry.retryOn.isEmpty { stored.retry.retryOn = Set(spec.retry.retryOn).sorted() }
        if spec.dependsOn.count > 1 { stored.dependsOn = Set(spec.dependsOn).sorted() }
        return stored
    }

    static func checkID(_ id: String, field: String) throws(OrchestratorError) {
        let bytes = id.utf8
        guard (1...128).contains(bytes.count) else {
            throw .invalidArgument(field, "\(field) of \(bytes.count) bytes: 1 to 128 are allowed")
        }
        guard bytes.first != UInt8(ascii: "."), bytes.first != UInt8(ascii: "-"), bytes.allSatisfy(Self.isAllowedInID)
        else {
            throw .invalidArgument(
                field,
                "\(field) \(id.debugDescription): allowed are A-Z a-z 0-9 . _ : @ + = ~ , - and it must not start with . or -"
            )
        }
    }

    private static func isAllowedInID(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: ":"),
            UInt8(ascii: "@"), UInt8(ascii: "+"), UInt8(ascii: "="), UInt8(ascii: "~"), UInt8(ascii: ","),
            UInt8(ascii: "-"):
            true
        default: false
        }
    }

    private func checkPayload(_ payload: [UInt8]) throws(OrchestratorError) {
        if payload.isEmpty { return }
        guard payload.count <= maxPayloadBytes else {
            throw .invalidArgument(
                "payload",
                "payload of \(payload.count) bytes: at most \(maxPayloadBytes) are allowed; put large data in a file and "
                    + "pass its path")
        }
        do {
            _ = try JSONNode(parsingObject: payload)
        } catch {
            throw .invalidArgument("payload", "payload must be one JSON object in UTF-8: \(error)")
        }
    }

    private func checkLabels(_ labels: [String: String]) throws(OrchestratorError) {
        guard labels.count <= 64 else {
            throw .invalidArgument("labels", "labels: \(labels.count) given, at most 64 are allowed")
        }
        for (key, value) in labels {
            guard !key.isEmpty, key.utf8.count <= 63, !Self.hasControlCharacter(key) else {
                throw .invalidArgument(
                    "labels",
                    "label key \(key.debugDescription): 1 to 63 bytes without control characters are allowed")
            }
            guard value.utf8.count <= 255, !Self.hasControlCharacter(value) else {
                throw .invalidArgument(
                    "labels",
                    "value of label \(key.debugDescription): at most 255 bytes without control characters are allowed")
            }
        }
    }

    private static func hasControlCharacter(_ text: String) -> Bool {
        text.unicodeScalars.contains { $0.properties.generalCategory == .control }
    }

    private func checkParents(_ spec: JobSpec) throws(OrchestratorError) {
        guard spec.dependsOn.count <= Self.maxParents else {
            throw .invalidArgument(
                "depends_on",
                "depends_on: \(spec.dependsOn.count) jobs, at most \(Self.maxParents) are allowed; put a job between")
        }
        for parent in spec.dependsOn {
            try Self.checkID(parent, field: "depends_on")
            if parent == spec.id {
                throw .invalidArgument(
                    "depends_on", "depends_on \(parent.debugDescription): a job can't depend on itself")
            }
        }
    }

    private func checkResources(_ resources: Resources) throws(OrchestratorError) {
        guard resources.cpus >= 0, resources.cpus <= 1_000_000 else {
            throw .invalidArgument(
                "resources.cpus", "resources.cpus of \(resources.cpus): must be 0 or more and at most 1000000")
        }
        guard resources.memoryBytes <= UInt64(Int64.max) else {
            throw .invalidArgument(
                "resources.memory_bytes",
                "resources.memory_bytes of \(resources.memoryBytes): at most \(Int64.max) are allowed")
        }
    }

    private func checkLimit(_ limit: Duration?, field: String) throws(OrchestratorError) {
        guard let limit else { return }
        guard limit > .zero, limit <= Self.maxTimeout else {
            throw .invalidArgument(
                field, "\(field) of \(limit.inSeconds) s: must be more than 0 and at most 365 days")
        }
    }

    private func checkBackoff(_ backoff: Duration?, field: String) throws(OrchestratorError) {
        guard let backoff else { return }
        guard backoff >= .zero, backoff <= Self.maxTimeout else {
            throw .invalidArgument(
                field, "\(field) of \(backoff.inSeconds) s: must be 0 or more and at most 365 days")
        }
    }

    private func checkRetry(_ retry: RetryPolicy) throws(OrchestratorError) {
        guard retry.maxAttempts <= 100 else {
            throw .invalidArgument(
                "retry.max_attempts", "retry.max_attempts of \(retry.maxAttempts): at most 100 are allowed")
        }
        try checkBackoff(retry.initialBackoff, field: "retry.initial_backoff")
        try checkBackoff(retry.maxBackoff, field: "retry.max_backoff")
        for reason in retry.retryOn where FailureReason(rawValue: reason) == nil {
            throw .invalidArgument(
                "retry.retry_on", "retry.retry_on has the unknown reason \(reason): see FailureReason, 1 to 10")
        }
    }
}
