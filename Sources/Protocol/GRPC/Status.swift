/// How a call ends: the code, one line for people, and the packed `google.rpc.Status` when there are details.
public struct Status: Error, Sendable, Equatable, CustomStringConvertible {
    public var code: StatusCode
    public var message: String
    /// For `grpc-status-details-bin`; empty is none.
    public var details: [UInt8]

    public init(_ code: StatusCode, _ message: String = "", details: [UInt8] = []) {
        self.code = code
        self.message = message
        self.details = details
    }

    public static let ok = Status(.ok)

    public var description: String { message.isEmpty ? code.label : "\(code.label): \(message)" }
}

extension Wire.Duration {
    public init(_ duration: Duration) {
        let (seconds, attoseconds) = duration.components
        self.init(seconds: seconds, nanos: Int32(attoseconds / 1_000_000_000))
    }

    /// protobuf's Duration spans ±10,000 years; anything else in the fields is refused.
    public func checked(field: String) throws(WireError) -> Duration {
        // Magnitudes: abs() traps on the least number, which a peer may send.
        guard nanos.magnitude < 1_000_000_000, seconds.magnitude <= 315_576_000_000,
            seconds == 0 || nanos == 0 || (seconds < 0) == (nanos < 0)
        else {
            throw WireError(
                field: field, problem: "\(seconds) s and \(nanos) ns are not a valid google.protobuf.Duration")
        }
        return .seconds(seconds) + .nanoseconds(Int64(nanos))
    }
}
