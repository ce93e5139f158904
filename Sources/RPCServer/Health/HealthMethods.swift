import Protocol

extension HealthRegistry {
    public static let serviceName = "grpc.health.v1.Health"

    /// Longest name that is looked up, in bytes of UTF-8; the C++ server has the same limit.
    static let longestName = 200

    /// Check, Watch and List.
    public var methods: [RPCMethod] {
        [
            .unary("/\(Self.serviceName)/Check") { bytes, reply in
                do {
                    let request: Wire.HealthCheckRequest
                    do throws(WireError) {
                        request = try Wire.HealthCheckRequest(decoding: bytes, in: reply.arena)
                    } catch {
                        throw Status.malformed(error)
                    }
                    try self.check(request).framed(in: reply.arena).withUnsafeBytes { reply.write(framed: $0) }
                    return .answered
                } catch let status as Status {
                    return .failed(status)
                } catch {
                    return .deferred
                }
            } otherwise: { (request: Wire.HealthCheckRequest, _) in
                try self.check(request)
            },
            .serverStream("/\(Self.serviceName)/Watch") { (request: Wire.HealthCheckRequest, _) in
                HealthWatch(of: try Self.name(request), in: self)
            },
            .unary("/\(Self.serviceName)/List") { (_: Wire.HealthListRequest, _) in
                Wire.HealthListResponse(statuses: self.statuses.mapValues { Wire.HealthCheckResponse(status: $0) })
            },
        ]
    }

    private func check(_ request: Wire.HealthCheckRequest) throws(Status) -> Wire.HealthCheckResponse {
        let name = try Self.name(request)
        guard let status = status(of: name) else {
            throw Status(.notFound, "service: \"\(name)\" is not served here; Health.List has the names")
                .because("SERVICE_UNKNOWN").about("service", name)
        }
        return Wire.HealthCheckResponse(status: status)
    }

    private static func name(_ request: Wire.HealthCheckRequest) throws(Status) -> String {
        let length = request.service.utf8.count
        guard length <= longestName else {
            throw .badRequest(field: "service", "service: \(length) bytes; send at most \(longestName)")
        }
        return request.service
    }
}
