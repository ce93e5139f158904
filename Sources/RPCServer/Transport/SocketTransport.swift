import CLinux
import Glibc
import NIOCore

/// A connection on a socket of its own, in plain text.
final class SocketTransport: ConnectionTransport, SocketWatcher {
    private let loop: SocketLoop
    private let descriptor: Int32
    private let driver: ConnectionDriver
    private let whenClosed: () -> Void
    private var watch: SocketLoop.Watch?
    private var takesInput = true
    /// The peer's end comes after what is there to read.
    private var hasEnd = false
    /// What the socket did not take, from `sent` on.
    private var rest: [UInt8] = []
    private var sent = 0
    private var onceWritten: (() -> Void)?

    /// - Parameters:
    ///   - descriptor: a connected socket that does not block; closed with the transport.
    ///   - whenClosed: called once, on the loop.
    init(_ loop: SocketLoop, _ descriptor: Int32, driver: ConnectionDriver, whenClosed: @escaping () -> Void) {
        self.loop = loop
        self.descriptor = descriptor
        self.driver = driver
        self.whenClosed = whenClosed
    }

    /// On the loop, whose table keeps it until it is closed.
    ///
    /// - Throws: `IOError` when it can't be watched; the descriptor is still the caller's then.
    func start(peer: Peer) throws {
        watch = try loop.watch(descriptor, self)
        driver.start(self, peer: peer)
    }

    // MARK: From the loop

    func readable(isLast: Bool) {
        hasEnd = hasEnd || isLast
        guard takesInput else {
            // Nobody is there to read the output that holds the input up.
            if hasEnd { close() }
            return
        }
        let count = clinux_receive(descriptor, loop.input.baseAddress, loop.input.count)
        guard count > 0 else {
            // The peer's end ends the connection, as does an error.
            if count == 0 || errno != EAGAIN { close() }
            return
        }
        driver.received(UnsafeRawBufferPointer(rebasing: loop.input[..<count]))
        driver.readComplete()
        takesInput = driver.takesInput()
        // A read that was not filled has taken all there was.
        if let watch, hasEnd || takesInput && count == loop.input.count { loop.again(watch) }
    }

    func writable() {
        // Held here: a send that fails closes the transport, and `rest` goes with it.
        let (waiting, from) = (rest, sent)
        guard !waiting.isEmpty else { return }
        let taken = waiting.withUnsafeBytes { send(UnsafeRawBufferPointer(rebasing: $0[from...])) }
        guard isOpen else { return }
        sent = from + taken
        guard sent == waiting.count else { return }
        rest = []
        sent = 0
        if let onceWritten {
            self.onceWritten = nil
            onceWritten()
        } else {
            driver.outputMoves()
        }
    }

    // MARK: From the driver

    var isOpen: Bool { watch != nil }
    var takesOutput: Bool { rest.isEmpty && watch != nil }
    var pendingBytes: Int { rest.count - sent }

    func write(_ bytes: UnsafeRawBufferPointer) {
        guard isOpen else { return }
        // After what waits already.
        let taken = rest.isEmpty ? send(bytes) : 0
        if isOpen, taken < bytes.count { rest += bytes[taken...] }
    }

    /// - Returns: how many the socket took. Closes when it takes none any more.
    private func send(_ bytes: UnsafeRawBufferPointer) -> Int {
        let count = clinux_send(descriptor, bytes.baseAddress, bytes.count)
        if count < 0, errno != EAGAIN { close() }
        return max(0, count)
    }

    func whenWritten(_ body: @escaping () -> Void) {
        guard isOpen else { return }
        if rest.isEmpty { body() } else { onceWritten = body }
    }

    func readOn() {
        takesInput = true
        // What has come meanwhile was told, and will not be again.
        if let watch { loop.again(watch) }
    }

    func closeOutput() { shutdown(descriptor, Int32(SHUT_WR)) }

    func close() {
        guard let watch else { return }
        self.watch = nil
        loop.unwatch(watch)
        Glibc.close(descriptor)
        rest = []
        sent = 0
        onceWritten = nil
        driver.ended()
        whenClosed()
    }
}
