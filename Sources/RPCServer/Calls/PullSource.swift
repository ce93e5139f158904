import Protocol

/// The messages of a server stream, asked for when the peer's window and the socket have room: no queue stands between
/// the source and the wire, so a slow peer costs nothing but its place in the source.
///
/// A source is used on its connection's event loop only, after its handler has returned it.
public protocol PullSource: AnyObject, Sendable {
    /// Fills the buffer with framed messages, which may be cut anywhere, and says how it went. Must not wait.
    func read(into buffer: UnsafeMutableRawBufferPointer) -> PullOutcome

    /// Called once, before the first read. `wake` asks for another read after a `.pending`; it may be called on any
    /// thread.
    func attach(wake: @escaping @Sendable () -> Void)

    /// The call is over, whoever ended it. Called once.
    func close()

    /// How the stream ends when the server is shutting down, or its connection's age and grace are over: a status that
    /// says how to go on elsewhere or later. What the source has ready is sent before, within reason.
    func statusAtShutdown() -> Status
}

public enum PullOutcome: Sendable {
    /// So many bytes, more than 0; there may be more.
    case bytes(Int)
    /// Nothing now; asked again after `RPCServer.wakeStreams()` or the stream's own wake.
    case pending
    /// The stream's end.
    case ended(Status)
}
