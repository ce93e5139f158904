/// How one attempt ended: what a runner tells the ledger.
public struct AttemptOutcome: Sendable, Equatable {
    public var exitCode: Int32
    public var signal: Int32
    /// nil is success.
    public var failure: FailureReason?
    /// One line for people; empty on success.
    public var error: String
    /// JSON, or empty.
    public var result: [UInt8]
    /// What the attempt left on the disk, its working directory included.
    public var outputBytes: Int64

    public init(
        exitCode: Int32 = 0, signal: Int32 = 0, failure: FailureReason? = nil, error: String = "", result: [UInt8] = [],
        outputBytes: Int64 = 0
    ) {
        self.exitCode = exitCode
        self.signal = signal
        self.failure = failure
        self.error = error
        self.result = result
        self.outputBytes = outputBytes
    }
}
