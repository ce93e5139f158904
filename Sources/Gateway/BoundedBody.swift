import HTTPTypes
import Hummingbird
import NIOCore

/// Why a body was not read to its end. The connection can't be used further.
enum BodyError: Error, Equatable {
    case tooLarge(limit: Int)
    case tooSlow(Duration)

    var status: HTTPResponse.Status {
        switch self {
        case .tooLarge: .contentTooLarge
        case .tooSlow: .requestTimeout
        }
    }

    var message: String {
        switch self {
        case .tooLarge(let limit): "the body is larger than \(limit) bytes; put large data in a file and pass its path"
        case .tooSlow(let time): "the body did not arrive within \(time); send it in one piece"
        }
    }
}

extension Request {
    /// The whole body, if it keeps to the limits: neither a large nor a slow one may hold the server.
    func boundedBody(maxBytes: Int, within timeout: Duration) async throws -> [UInt8] {
        if let length = headers[.contentLength].flatMap({ Int($0) }), length > maxBytes {
            throw BodyError.tooLarge(limit: maxBytes)
        }
        let body = self.body
        return try await withThrowingTaskGroup(of: [UInt8].self) { group in
            group.addTask {
                do {
                    return Array(buffer: try await body.collect(upTo: maxBytes))
                } catch is NIOTooManyBytesError {
                    throw BodyError.tooLarge(limit: maxBytes)
                }
            }
            group.addTask {
                try await Task.sleep(for: timeout)
                throw BodyError.tooSlow(timeout)
            }
            defer { group.cancelAll() }
            return try await group.next() ?? []
        }
    }
}
