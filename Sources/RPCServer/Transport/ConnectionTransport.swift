/// What carries one connection's bytes. Belongs to its event loop, and tells the connection's `ConnectionDriver` what
/// happens.
protocol ConnectionTransport: AnyObject {
    var isOpen: Bool { get }
    /// Whether more may be written now; the driver is told when it may again.
    var takesOutput: Bool { get }
    /// Bytes that were written and that the socket has not taken.
    var pendingBytes: Int { get }
    /// Takes all of it. A write that fails ends the transport, perhaps at once.
    func write(_ bytes: UnsafeRawBufferPointer)
    /// Calls back once all that was written has gone out, or can't any more.
    func whenWritten(_ body: @escaping () -> Void)
    /// Reads, when the driver had not wanted to.
    func readOn()
    /// Nothing more will be written.
    func closeOutput()
    func close()
}
