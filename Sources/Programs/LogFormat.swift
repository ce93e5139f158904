import Logging

/// How the log is written, on standard error.
package enum LogFormat: String, Sendable {
    /// For people.
    case text
    case json

    /// For `LoggingSystem.bootstrap`.
    package func handler(label: String, level: Logger.Level) -> any LogHandler {
        var handler: any LogHandler =
            switch self {
            case .text: StreamLogHandler.standardError(label: label)
            case .json: JSONLogHandler.standardError(label: label)
            }
        handler.logLevel = level
        return handler
    }
}
