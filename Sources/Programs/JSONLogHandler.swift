import Foundation
import Logging
import Orchestrator

/// Log lines as JSON, one object a line: `time` (RFC 3339), `level`, `logger`, `message`, and each piece of metadata under
/// its own name. Names that are taken stand behind `metadata.`.
package struct JSONLogHandler: LogHandler {
    package var logLevel: Logger.Level = .info
    package var metadata: Logger.Metadata = [:]
    package var metadataProvider: Logger.MetadataProvider?
    private let label: String
    private let write: @Sendable ([UInt8]) -> Void
    private let now: @Sendable () -> Timestamp

    private static let ownKeys: Set<String> = ["time", "level", "logger", "message"]

    init(
        label: String, now: @escaping @Sendable () -> Timestamp = { .now() },
        write: @escaping @Sendable ([UInt8]) -> Void
    ) {
        self.label = label
        self.write = write
        self.now = now
    }

    package subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    package func log(event: LogEvent) {
        var all = metadata
        if let provided = metadataProvider?.get() { all.merge(provided) { $1 } }
        if let own = event.metadata { all.merge(own) { $1 } }
        var json = JSONWriter()
        json.object { json in
            json.key("time")
            json.string(now().rfc3339)
            json.key("level")
            json.string(event.level.rawValue)
            json.key("logger")
            json.string(label)
            json.key("message")
            json.string(event.message.description)
            for (key, value) in all.sorted(by: { $0.key < $1.key }) {
                json.key(Self.ownKeys.contains(key) ? "metadata.\(key)" : key)
                json.string("\(value)")
            }
        }
        write(json.bytes + [UInt8(ascii: "\n")])
    }

    /// One write a line, so that lines of several threads don't mix.
    package static func standardError(label: String) -> JSONLogHandler {
        JSONLogHandler(label: label) { line in
            var written = 0
            while written < line.count {
                let count = line.withUnsafeBytes {
                    Foundation.write(2, $0.baseAddress?.advanced(by: written), line.count - written)
                }
                if count < 0, errno == EINTR { continue }
                // Nobody is left to tell.
                guard count > 0 else { return }
                written += count
            }
        }
    }
}
