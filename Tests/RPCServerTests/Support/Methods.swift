import Protocol
import RPCServer

/// Methods that several tests use. Their messages are `LogChunk`s: a number and bytes.
enum Methods {
    /// Answers its request, from the event loop.
    static let echoNow = RPCMethod.unary("/test.Echo/Now") { request, reply in
        var framed: [UInt8] = [0]
        withUnsafeBytes(of: UInt32(request.count).bigEndian) { framed += $0 }
        framed += request
        framed.withUnsafeBytes { reply.write(framed: $0) }
        return .answered
    } otherwise: { (request: Wire.LogChunk, _) in
        request
    }

    /// Answers its request, from a task.
    static let echo = RPCMethod.unary("/test.Echo/Async") { (request: Wire.LogChunk, _) in request }

    static func failing(_ path: String, _ error: any Error) -> RPCMethod {
        .unary(path) { (_: Wire.LogChunk, _) -> Wire.LogChunk in throw error }
    }

    /// Runs until it is cancelled.
    static func waiting(_ path: String, started: Signal, cancelled: Signal) -> RPCMethod {
        .unary(path) { (_: Wire.LogChunk, _) -> Wire.LogChunk in
            started.raise()
            await untilCancelled()
            cancelled.raise()
            throw CancellationError()
        }
    }

    static func stream(_ path: String, _ source: QueueSource) -> RPCMethod {
        .serverStream(path) { (_: Wire.LogChunk, _) in source }
    }
}

extension Wire.LogChunk {
    static func numbered(_ number: UInt64) -> Wire.LogChunk { Wire.LogChunk(offset: number) }
    static func sized(_ count: Int) -> Wire.LogChunk {
        Wire.LogChunk(data: (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31) })
    }
}
