import Protocol
import RPCServer

/// `grpc.testing.TestService` as gRPC's interop test descriptions ask for it.
struct TestService: Sendable {
    static let name = "grpc.testing.TestService"

    /// Of one payload asked for, in bytes: more than any case wants, less than would hurt.
    private static let largestPayload = 16 << 20

    /// All but UnimplementedCall, which must not be there.
    var methods: [RPCMethod] {
        [
            .unary("/\(Self.name)/EmptyCall") { (_: Wire.Empty, context) in
                context.echoMetadata()
                return Wire.Empty()
            },
            .unary("/\(Self.name)/UnaryCall") { try unary($0, $1) },
            .unary("/\(Self.name)/CacheableUnaryCall") { try unary($0, $1) },
            .streaming("/\(Self.name)/StreamingOutputCall", kind: .serverStream) {
                (requests: RequestStream<Wire.StreamingOutputCallRequest>, responses, context) in
                context.echoMetadata()
                for try await request in requests { try await answer(request, responses, context) }
            },
            .streaming("/\(Self.name)/StreamingInputCall", kind: .clientStream) { requests, responses, context in
                context.echoMetadata()
                try await responses.send(Wire.StreamingInputCallResponse(aggregatedPayloadSize: sum(requests)))
            },
            .streaming("/\(Self.name)/FullDuplexCall") {
                (requests: RequestStream<Wire.StreamingOutputCallRequest>, responses, context) in
                context.echoMetadata()
                for try await request in requests { try await answer(request, responses, context) }
            },
            .streaming("/\(Self.name)/HalfDuplexCall") {
                (requests: RequestStream<Wire.StreamingOutputCallRequest>, responses, context) in
                context.echoMetadata()
                var all: [Wire.StreamingOutputCallRequest] = []
                for try await request in requests { all.append(request) }
                for request in all { try await answer(request, responses, context) }
            },
        ]
    }

    private func unary(
        _ request: Wire.SimpleRequest, _ context: CallContext
    ) throws(Status) -> Wire.SimpleResponse {
        context.echoMetadata()
        try request.expectCompressed.check(came: context.wasRequestCompressed)
        try request.responseStatus.throwIfNotOK()
        if request.responseCompressed?.value == true { context.response.compress() }
        return Wire.SimpleResponse(
            payload: try Self.payload(request.responseSize, field: "response_size"),
            serverID: request.fillServerID ? "interop-server" : "")
    }

    /// Refuses at the first message that should have come compressed: the caller waits for that before it goes on.
    private func sum(_ requests: RequestStream<Wire.StreamingInputCallRequest>) async throws -> Int32 {
        var requests = requests.makeAsyncIterator()
        var size: Int32 = 0
        while let request = try await requests.next() {
            try request.expectCompressed.check(came: requests.wasCompressed)
            size &+= Int32(truncatingIfNeeded: request.payload?.body.count ?? 0)
        }
        return size
    }

    private func answer(
        _ request: Wire.StreamingOutputCallRequest, _ responses: ResponseStream<Wire.StreamingOutputCallResponse>,
        _ context: CallContext
    ) async throws {
        try request.responseStatus.throwIfNotOK()
        if request.responseParameters.contains(where: { $0.compressed?.value == true }) { context.response.compress() }
        for parameters in request.responseParameters {
            if parameters.intervalUs > 0 { try await Task.sleep(for: .microseconds(Int64(parameters.intervalUs))) }
            try await responses.send(
                Wire.StreamingOutputCallResponse(
                    payload: try Self.payload(parameters.size, field: "response_parameters.size")),
                compressed: parameters.compressed?.value ?? false)
        }
    }

    private static func payload(_ size: Int32, field: String) throws(Status) -> Wire.Payload {
        guard size >= 0, size <= largestPayload else {
            throw .badRequest(field: field, "\(field): \(size) bytes; ask for 0 to \(largestPayload)")
        }
        return Wire.Payload(body: [UInt8](repeating: 0, count: Int(size)))
    }
}

extension CallContext {
    /// Sends back what the caller sent for that.
    fileprivate func echoMetadata() {
        if let text = metadata.text("x-grpc-test-echo-initial") {
            var initial = Metadata()
            initial.add("x-grpc-test-echo-initial", text)
            response.setInitial(initial)
        }
        var trailing = Metadata()
        for case .binary(let bytes) in metadata["x-grpc-test-echo-trailing-bin"] {
            trailing.add("x-grpc-test-echo-trailing-bin", bytes: bytes)
        }
        response.setTrailing(trailing)
    }
}

extension Wire.EchoStatus? {
    fileprivate func throwIfNotOK() throws(Status) {
        guard let self, self.code != 0 else { return }
        throw Status(StatusCode(rawValue: Int(self.code)) ?? .unknown, self.message)
    }
}

extension Wire.BoolValue? {
    fileprivate func check(came compressed: Bool) throws(Status) {
        guard let self, self.value, !compressed else { return }
        throw .badRequest(field: "expect_compressed", "expect_compressed: true, and the message came as it is")
    }
}
