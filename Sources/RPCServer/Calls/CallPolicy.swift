/// What holds for every call, whatever its method.
public struct CallPolicy: Sendable {
    /// Between every call and its method, in this order.
    public var interceptors: [any CallInterceptor] = []
    /// Calls open at once on the whole server; more are refused with RESOURCE_EXHAUSTED and when to come back. An event
    /// stream is a call for as long as it lasts.
    public var maxOpenCalls = 100_000
    /// The longest that a unary call may take, also when its caller would wait longer.
    public var longestUnaryCall: Duration = .seconds(300)

    public init() {}
}
