/// One of the two output streams of an attempt.
public enum LogStream: String, Sendable, Hashable, CaseIterable {
    case stdout
    case stderr
}

/// What a reader of an attempt's output wants.
public struct LogRequest: Sendable, Equatable {
    public var jobID: String
    /// nil is both, interleaved piece by piece.
    public var stream: LogStream?
    /// Of the first byte wanted; with both streams 0.
    public var offset: UInt64
    /// Go on while the attempt runs.
    public var follows: Bool
    /// From 1; 0 is the newest.
    public var attempt: UInt32

    public init(
        jobID: String, stream: LogStream? = nil, offset: UInt64 = 0, follows: Bool = false, attempt: UInt32 = 0
    ) {
        self.jobID = jobID
        self.stream = stream
        self.offset = offset
        self.follows = follows
        self.attempt = attempt
    }
}

/// A run of bytes of one stream.
public struct LogPiece: Sendable, Equatable {
    public var stream: LogStream
    /// Of the first byte.
    public var offset: UInt64
    public var bytes: [UInt8]
    /// Something before it was not kept: the attempt wrote more than the cap. Then it may be empty.
    public var isTruncated: Bool
}
