import CNghttp2
import Protocol

/// Who is at the other end of a connection.
public struct Peer: Sendable, Equatable {
    /// Address and port, for logs; empty when it is not known.
    public var address: String
    /// The same without the port, to tell peers apart by.
    public var host: String
    /// Of the client's certificate, when TLS asked for one and it was verified.
    public var certificateSubject: String?

    public init(address: String = "", host: String = "", certificateSubject: String? = nil) {
        self.address = address
        self.host = host
        self.certificateSubject = certificateSubject
    }
}

/// What is known of a call when its headers have come. Valid inside `CallInterceptor.began` only.
public struct CallHead: ~Copyable {
    public let method: RPCMethod
    public let peer: Peer
    /// Calls open on the connection, this one included.
    public let openCalls: Int
    let headers: UnsafeBufferPointer<cng_header>

    /// The first header field of that name, lower-case.
    public func header(_ name: StaticString) -> String? { headers.first(name) }
}

extension UnsafeBufferPointer<cng_header> {
    /// The value of the first field of that name, lower-case.
    func first(_ name: StaticString) -> String? {
        for field in self where field.name.length == name.utf8CodeUnitCount {
            guard name.withUTF8Buffer({ $0.elementsEqual(UnsafeRawBufferPointer(field.name)) }) else { continue }
            return String(decoding: UnsafeRawBufferPointer(field.value), as: UTF8.self)
        }
        return nil
    }
}

/// What interceptors find out about a call, for each other, its handler and the log.
public struct CallNotes: Sendable, Equatable {
    /// Who calls, once that is authenticated.
    public var subject: String?
    /// Names the call in the log; the caller's `x-request-id` or one of the server's.
    public var requestID: String?
    /// The caller's W3C `traceparent`, checked.
    public var traceParent: String?

    public init() {}
}

public enum CallVerdict: Sendable {
    case proceed
    case refuse(Status)
}

/// A call that is over.
public struct CallSummary: Sendable {
    public var path: String
    public var code: StatusCode
    /// From its headers to its status.
    public var duration: Duration
    public var peer: Peer
    public var notes: CallNotes
}

/// Stands between every call and its method. Interceptors run in the order they are given, on the event loop: no waiting.
/// `ended` is called for each call whose `began` was, also when this or a later interceptor refused it.
public protocol CallInterceptor: Sendable {
    func began(_ head: borrowing CallHead, _ notes: inout CallNotes) -> CallVerdict
    func ended(_ call: CallSummary)
}

extension CallInterceptor {
    public func ended(_ call: CallSummary) {}
}
