import CNghttp2

/// One HTTP/2 connection as the server sees it, over libnghttp2: bytes in, a record of events, bytes out. Knows no
/// socket and no gRPC service. Belongs to one thread.
final class HTTP2Session {
    typealias Stream = UnsafeMutablePointer<cng_stream>

    /// The peer broke HTTP/2 or flooded us; what is left is to drain (the GOAWAY) and close.
    struct Failure: Error, CustomStringConvertible {
        var code: Int32
        var description: String { String(cString: cng_error_text(code)) }
    }

    /// nil once closed; the C functions take it as it is, and none may be called then.
    private var session: OpaquePointer?

    init(limits: ServerLimits) throws(Failure) {
        var limits = limits.c
        // NGHTTP2_ERR_NOMEM is the only way this fails.
        guard let session = cng_session_create(&limits) else { throw Failure(code: -901) }
        self.session = session
    }

    deinit { close() }

    /// Gives the memory back to the thread's pool, and so must run on that thread; `deinit` may run on any. Idempotent.
    func close() {
        cng_session_destroy(session)
        session = nil
    }

    /// Feeds bytes and walks the record of what they brought. The events' pointers are valid inside `body` only.
    func feed(
        _ bytes: UnsafeRawBufferPointer, _ body: (UnsafeBufferPointer<cng_event>) -> Void
    ) throws(Failure) {
        let code = cng_session_feed(session, bytes.baseAddress?.assumingMemoryBound(to: UInt8.self), bytes.count)
        walk(body)
        if code != 0 { throw Failure(code: code) }
    }

    /// Walks what sending recorded: streams that closed with their last frame.
    func walk(_ body: (UnsafeBufferPointer<cng_event>) -> Void) {
        var count = 0
        let events = cng_session_events(session, &count)
        if count > 0 { body(UnsafeBufferPointer(start: events, count: count)) }
        cng_session_clear_events(session)
    }

    /// The header fields of a request, while its record is walked.
    func headers(_ request: cng_request) -> UnsafeBufferPointer<cng_header> {
        guard let headers = cng_session_headers(session) else { return UnsafeBufferPointer(start: nil, count: 0) }
        return UnsafeBufferPointer(start: headers + request.first_header, count: request.header_count)
    }

    /// Copies what is to be sent into the buffer; 0 when there is nothing.
    func drain(into buffer: UnsafeMutableRawBufferPointer) throws(Failure) -> Int {
        let count = cng_session_drain(
            session, buffer.baseAddress?.assumingMemoryBound(to: UInt8.self), buffer.count)
        guard count >= 0 else { throw Failure(code: Int32(count)) }
        return count
    }

    var isAlive: Bool { cng_session_is_alive(session) }
    /// Bytes written that the peer's windows have no room for, or that nobody has drained yet.
    var unsentBytes: Int { cng_session_unsent(session) }
    /// The error code of the last GOAWAY sent.
    var blame: UInt32 { cng_session_blame(session) }
    /// What the GOAWAY was for.
    var fault: cng_fault { cng_session_fault(session) }
    /// Streams refused so far because there were too many.
    var refusedStreams: UInt64 { cng_session_refused_streams(session) }
    var openStreams: Int { Int(cng_session_open_streams(session)) }
    var hasWaitingPulls: Bool { cng_session_waiting_pulls(session) > 0 }

    func consume(_ stream: Stream, _ count: Int) { cng_stream_consume(session, stream, count) }

    /// Writes framed messages. An error is the stream's or the connection's end, which the record will tell.
    func write(_ stream: Stream, _ bytes: UnsafeRawBufferPointer) {
        _ = cng_stream_write(session, stream, bytes.baseAddress?.assumingMemoryBound(to: UInt8.self), bytes.count)
    }

    func pending(_ stream: Stream) -> Int { cng_stream_pending(stream) }
    func notifyDrained(_ stream: Stream, at low: Int) { cng_stream_notify_drained(stream, low) }

    func setInitial(_ stream: Stream, _ fields: EncodedFields) {
        fields.withFields { _ = cng_stream_set_initial(stream, $0.baseAddress, $0.count) }
    }

    func setTrailing(_ stream: Stream, _ fields: EncodedFields) {
        fields.withFields { _ = cng_stream_set_trailing(stream, $0.baseAddress, $0.count) }
    }

    func start(_ stream: Stream) { _ = cng_stream_start(session, stream) }

    func finish(_ stream: Stream, _ status: EncodedStatus) {
        status.withBytes { message, details in
            _ = cng_stream_finish(session, stream, status.code, message, details)
        }
    }

    /// Ends a stream that is started without waiting for its window.
    func cut(_ stream: Stream, _ status: EncodedStatus) {
        status.withBytes { message, details in
            _ = cng_stream_cut(session, stream, status.code, message, details)
        }
    }

    func finishOK(_ stream: Stream) {
        let none = cng_bytes(start: nil, length: 0)
        _ = cng_stream_finish(session, stream, 0, none, none)
    }

    func startPull(_ stream: Stream, _ pull: @escaping cng_pull, _ context: UnsafeMutableRawPointer) {
        _ = cng_stream_start_pull(session, stream, pull, context)
    }

    func resume(_ stream: Stream) { cng_stream_resume(session, stream) }
    func resumeAll() { cng_session_resume_all(session) }

    func reject(_ stream: Stream, status: StaticString, body: String) {
        var body = body
        body.withUTF8 { body in
            let bytes = cng_bytes(start: body.baseAddress, length: body.count)
            status.withUTF8Buffer { status in
                _ = status.withMemoryRebound(to: CChar.self) {
                    cng_stream_reject(session, stream, $0.baseAddress, bytes)
                }
            }
        }
    }

    func dismissRejected() { cng_session_dismiss_rejected(session) }

    func reset(_ stream: Stream, code: UInt32) { _ = cng_stream_reset(session, stream, code) }
    func ping(_ opaque: UInt64) {
        withUnsafeBytes(of: opaque) { bytes in
            _ = cng_session_ping(session, bytes.baseAddress?.assumingMemoryBound(to: UInt8.self))
        }
    }
    func announceShutdown() { _ = cng_session_announce_shutdown(session) }
    /// The connection's end: a GOAWAY that no stream outlives.
    func terminate(code: UInt32) { _ = cng_session_terminate(session, code) }
    func goAway(code: UInt32) { _ = cng_session_goaway(session, code) }
}
