import CLibnghttp2
import Protocol

/// A gRPC caller over libnghttp2's client, driven by the test: nothing happens but in `pump`, which has a deadline. It
/// gives the test the means a well-behaved library hides: windows, frame sizes, half-open requests.
final class HTTP2Client {
    struct Disconnected: Error {
        var waitingFor: String
    }

    struct GoAway: Equatable {
        var lastStream: Int32
        var code: UInt32
    }

    let socket: Socket
    private var session: OpaquePointer?
    private var calls: [Int32: Call] = [:]
    private var output: ArraySlice<UInt8> = []
    private var pongs = 0

    private(set) var goAways: [GoAway] = []
    private(set) var isDisconnected = false

    /// - Parameters:
    ///   - window: the stream window offered to the server.
    ///   - opensWindows: false leaves windows closed until `consume`.
    init(port: Int, window: UInt32 = 65_535, opensWindows: Bool = true) throws {
        socket = try Socket(port: port)
        var callbacks: OpaquePointer?
        var option: OpaquePointer?
        nghttp2_session_callbacks_new(&callbacks)
        nghttp2_option_new(&option)
        defer {
            nghttp2_session_callbacks_del(callbacks)
            nghttp2_option_del(option)
        }
        nghttp2_session_callbacks_set_on_header_callback(callbacks, onHeader)
        nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, onData)
        nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, onFrame)
        nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, onClose)
        if !opensWindows { nghttp2_option_set_no_auto_window_update(option, 1) }
        nghttp2_session_client_new2(&session, callbacks, Unmanaged.passUnretained(self).toOpaque(), option)
        var settings = nghttp2_settings_entry(
            settings_id: Int32(NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE.rawValue), value: window)
        nghttp2_submit_settings(session, none, &settings, 1)
    }

    deinit { nghttp2_session_del(session) }

    // MARK: Calls

    /// Opens a stream. `body` is what is sent of the request's DATA for now; `ends` says whether that is all.
    func open(
        _ path: String, body: [UInt8] = [], ends: Bool = true, method: String = "POST",
        contentType: String? = "application/grpc", headers: [(String, String)] = [], frameSize: Int = .max
    ) -> Call {
        var fields = [(":method", method), (":scheme", "http"), (":path", path), (":authority", "test")]
        fields += headers
        if let contentType { fields.append(("content-type", contentType)) }
        fields.append(("te", "trailers"))
        let call = Call(body: body, ends: ends, frameSize: frameSize)
        var provider = nghttp2_data_provider(
            source: nghttp2_data_source(ptr: Unmanaged.passUnretained(call).toOpaque()), read_callback: readBody)
        call.id = withNameValues(fields) { nghttp2_submit_request(session, nil, $0, $1, &provider, nil) }
        calls[call.id] = call
        return call
    }

    /// One whole call with one message.
    func call(
        _ path: String, _ message: some WireMessage = Wire.LogChunk(), headers: [(String, String)] = []
    ) throws -> Call {
        let call = open(path, body: message.framed(), headers: headers)
        try pump("the end of \(path)") { call.isClosed }
        return call
    }

    func send(_ call: Call, _ bytes: [UInt8], ends: Bool = false) {
        call.body += bytes
        call.ends = ends
        if call.isDeferred {
            call.isDeferred = false
            nghttp2_session_resume_data(session, call.id)
        }
    }

    func reset(_ call: Call, code: UInt32 = NGHTTP2_CANCEL.rawValue) {
        nghttp2_submit_rst_stream(session, none, call.id, code)
    }

    /// Says goodbye, as a client does that closes its channel.
    func leave() { nghttp2_submit_goaway(session, none, 0, NGHTTP2_NO_ERROR.rawValue, nil, 0) }

    /// Opens the windows again for so many bytes that have come.
    func consume(_ call: Call, _ count: Int) { nghttp2_session_consume(session, call.id, count) }

    /// A round trip: what was sent before has been acted on when it returns.
    func ping() throws {
        // libnghttp2 sends a PING before all else, so all else goes first.
        gather()
        while !output.isEmpty { try pump("room to send") { output.isEmpty } }
        let awaited = pongs + 1
        nghttp2_submit_ping(session, none, nil)
        try pump("the answer to a PING") { self.pongs >= awaited }
    }

    // MARK: The wire

    /// Sends and receives until the condition holds.
    func pump(_ what: String, within limit: Duration = .seconds(180), until done: () -> Bool) throws {
        let deadline = ContinuousClock.now + limit
        while true {
            gather()
            if done() { return }
            guard !isDisconnected else { throw Disconnected(waitingFor: what) }
            let ready = try socket.wait(for: what, writing: !output.isEmpty, until: deadline)
            if ready.readable { receive() }
            // After a GOAWAY and with no stream left libnghttp2 reads no more: such a client closes.
            if nghttp2_session_want_read(session) == 0, nghttp2_session_want_write(session) == 0, output.isEmpty {
                socket.closeOutput()
            }
        }
    }

    func pumpUntilDisconnected() throws { try pump("the server to close the connection") { isDisconnected } }

    private func gather() {
        while true {
            if !output.isEmpty {
                guard let taken = socket.write(output) else {
                    output = []
                    return
                }
                output = output.dropFirst(taken)
                if !output.isEmpty { return }
            }
            var bytes: UnsafePointer<UInt8>?
            let count = nghttp2_session_mem_send(session, &bytes)
            guard count > 0 else { return }
            output = ArraySlice(Array(UnsafeBufferPointer(start: bytes, count: count)))
        }
    }

    private func receive() {
        guard let bytes = socket.read() else {
            isDisconnected = true
            return
        }
        _ = bytes.withUnsafeBufferPointer { nghttp2_session_mem_recv(session, $0.baseAddress, $0.count) }
    }

    // MARK: What libnghttp2 tells

    fileprivate func received(_ frame: nghttp2_frame) {
        let call = calls[frame.hd.stream_id]
        switch UInt32(frame.hd.type) {
        case NGHTTP2_HEADERS.rawValue:
            call?.headerBlocks += 1
        case NGHTTP2_RST_STREAM.rawValue:
            call?.resetWith = frame.rst_stream.error_code
        case NGHTTP2_PING.rawValue where UInt32(frame.hd.flags) & NGHTTP2_FLAG_ACK.rawValue != 0:
            pongs += 1
        case NGHTTP2_GOAWAY.rawValue:
            goAways.append(GoAway(lastStream: frame.goaway.last_stream_id, code: frame.goaway.error_code))
        default:
            break
        }
    }

    fileprivate func received(header name: String, _ value: String, on id: Int32) {
        guard let call = calls[id] else { return }
        if call.headerBlocks == 0 { call.headers[name] = value } else { call.trailers[name] = value }
    }

    fileprivate func received(_ bytes: UnsafeBufferPointer<UInt8>, on id: Int32) { calls[id]?.received += bytes }

    fileprivate func closed(_ id: Int32, code: UInt32) {
        calls[id]?.closedWith = code
        calls[id] = nil
    }
}

extension HTTP2Client {
    final class Call {
        fileprivate(set) var id: Int32 = 0
        fileprivate(set) var headers: [String: String] = [:]
        fileprivate(set) var trailers: [String: String] = [:]
        fileprivate(set) var received: [UInt8] = []
        /// Of RST_STREAM, when the server sent one.
        fileprivate(set) var resetWith: UInt32?
        fileprivate(set) var closedWith: UInt32?
        fileprivate var headerBlocks = 0

        fileprivate var body: [UInt8]
        fileprivate var ends: Bool
        fileprivate var isDeferred = false
        fileprivate let frameSize: Int
        fileprivate var sent = 0

        fileprivate init(body: [UInt8], ends: Bool, frameSize: Int) {
            self.body = body
            self.ends = ends
            self.frameSize = frameSize
        }

        var isClosed: Bool { closedWith != nil }
        /// Bytes of the body that the windows have held back so far.
        var unsent: Int { body.count - sent }
        private func field(_ name: String) -> String? { trailers[name] ?? headers[name] }
        var code: StatusCode? { field("grpc-status").flatMap { Int($0) }.flatMap { StatusCode(rawValue: $0) } }
        /// As it stands on the wire.
        var message: String? { field("grpc-message") }
        var details: String? { field("grpc-status-details-bin") }

        var messages: [[UInt8]] {
            var deframer = MessageDeframer(limit: .max)
            received.withUnsafeBytes { deframer.append($0) }
            var messages: [[UInt8]] = []
            while case .message(let message) = deframer.next() { messages.append(message) }
            return messages
        }

        func chunks() throws -> [Wire.LogChunk] {
            let arena = Arena()
            return try messages.map { try Wire.LogChunk(decoding: $0, in: arena) }
        }

        fileprivate func read(into buffer: UnsafeMutableBufferPointer<UInt8>, flags: inout UInt32) -> Int {
            let count = min(body.count - sent, buffer.count, frameSize)
            if count > 0 { _ = buffer.update(fromContentsOf: body[sent..<(sent + count)]) }
            sent += count
            if sent == body.count, ends {
                flags = NGHTTP2_DATA_FLAG_EOF.rawValue
                return count
            }
            guard count > 0 else {
                isDeferred = true
                return Int(NGHTTP2_ERR_DEFERRED.rawValue)
            }
            return count
        }
    }
}

private let none = UInt8(NGHTTP2_FLAG_NONE.rawValue)

private func client(_ userData: UnsafeMutableRawPointer?) -> HTTP2Client? {
    userData.map { Unmanaged<HTTP2Client>.fromOpaque($0).takeUnretainedValue() }
}

private let onHeader: nghttp2_on_header_callback = { _, frame, name, nameLength, value, valueLength, _, userData in
    let name = String(decoding: UnsafeBufferPointer(start: name, count: nameLength), as: UTF8.self)
    let value = String(decoding: UnsafeBufferPointer(start: value, count: valueLength), as: UTF8.self)
    if let frame { client(userData)?.received(header: name, value, on: frame.pointee.hd.stream_id) }
    return 0
}

private let onData: nghttp2_on_data_chunk_recv_callback = { _, _, id, bytes, count, userData in
    client(userData)?.received(UnsafeBufferPointer(start: bytes, count: count), on: id)
    return 0
}

private let onFrame: nghttp2_on_frame_recv_callback = { _, frame, userData in
    if let frame { client(userData)?.received(frame.pointee) }
    return 0
}

private let onClose: nghttp2_on_stream_close_callback = { _, id, code, userData in
    client(userData)?.closed(id, code: code)
    return 0
}

private let readBody: nghttp2_data_source_read_callback = { _, _, buffer, length, flags, source, _ in
    guard let source, let pointer = source.pointee.ptr, let flags else { return 0 }
    let call = Unmanaged<HTTP2Client.Call>.fromOpaque(pointer).takeUnretainedValue()
    return call.read(into: UnsafeMutableBufferPointer(start: buffer, count: length), flags: &flags.pointee)
}

private func withNameValues(
    _ fields: [(String, String)], _ body: (UnsafePointer<nghttp2_nv>?, Int) -> Int32
) -> Int32 {
    var bytes: [UInt8] = []
    for (name, value) in fields { bytes += Array(name.utf8) + Array(value.utf8) }
    return bytes.withUnsafeMutableBufferPointer { bytes in
        guard var next = bytes.baseAddress else { return 0 }
        var values: [nghttp2_nv] = []
        for (name, value) in fields {
            let count = (name.utf8.count, value.utf8.count)
            values.append(
                nghttp2_nv(
                    name: next, value: next + count.0, namelen: count.0, valuelen: count.1,
                    flags: UInt8(NGHTTP2_NV_FLAG_NONE.rawValue)))
            next += count.0 + count.1
        }
        return body(values, values.count)
    }
}
