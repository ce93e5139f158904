import Orchestrator

/// Where events go in Kafka, and how to get there.
public struct KafkaConfiguration: Sendable, Equatable {
    /// A setting of librdkafka's, by its own name.
    public struct Property: Sendable, Equatable {
        public var name: String
        public var value: String
        /// Where it was given, for messages; no value, which may be a secret.
        public var origin: String

        public init(name: String, value: String, origin: String) {
            self.name = name
            self.value = value
            self.origin = origin
        }
    }

    /// HOST:PORT, with commas between.
    public var bootstrapServers: String
    public var topic: String
    /// One of `compressions`.
    public var compression: String
    /// Security and the like, in librdkafka's own words; they come after what is set here.
    public var properties: [Property]

    public static let compressions = ["none", "gzip", "snappy", "lz4", "zstd"]

    public init(
        bootstrapServers: String, topic: String = "agent.events", compression: String = "lz4",
        properties: [Property] = []
    ) {
        self.bootstrapServers = bootstrapServers
        self.topic = topic
        self.compression = compression
        self.properties = properties
    }

    /// What nobody may change: without it events could be lost, or what was delivered would not be known.
    static let fixed = [
        ("enable.idempotence", "true"), ("acks", "all"), ("delivery.report.only.error", "false"),
    ]
    private static let reserved: Set<String> = Set(fixed.map(\.0)).union([
        "bootstrap.servers", "metadata.broker.list", "request.required.acks", "transactional.id",
        "compression.codec", "compression.type", "plugin.library.paths",
    ])

    /// Every setting for librdkafka, in order; a later one beats an earlier one.
    var settings: [Property] {
        let own = [
            ("bootstrap.servers", bootstrapServers), ("compression.codec", compression),
            ("client.id", "dspy-orchestrator"),
            // The same job is on the same partition for clients in every language: Java's partitioner.
            ("partitioner", "murmur2_random"),
            // Events come in batches already.
            ("linger.ms", "1"),
        ]
        return (own + Self.fixed).map { Property(name: $0.0, value: $0.1, origin: "the server's own") } + properties
    }

    /// Names that Kafka takes: 1 to 249 of a-z A-Z 0-9 . _ - and neither "." nor "..".
    public static func isTopic(_ name: String) -> Bool {
        (1...249).contains(name.utf8.count) && name != "." && name != ".."
            && name.utf8.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "-"):
                    true
                default: false
                }
            }
    }

    /// `name=value` lines; empty ones and those that begin with # say nothing. A value is everything after the first `=`,
    /// without blanks around it.
    ///
    /// - Parameter file: its name, for messages.
    /// - Throws: `invalidArgument` that names the line, and never shows a value.
    public static func properties(_ text: String, file: String) throws(OrchestratorError) -> [Property] {
        var properties: [Property] = []
        for (index, line) in text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline).enumerated() {
            let line = line.trimmingBlanks
            if line.isEmpty || line.hasPrefix("#") { continue }
            let origin = "\(file):\(index + 1)"
            guard let equals = line.firstIndex(of: "=") else {
                throw .invalidArgument(
                    "kafka-config", "\(origin): no \"=\"; write NAME=VALUE, such as security.protocol=sasl_ssl")
            }
            let name = String(line[..<equals].trimmingBlanks)
            if reserved.contains(name) {
                throw .invalidArgument(
                    "kafka-config", "\(origin): \(name) is the server's own to set; take the line out")
            }
            properties.append(
                Property(name: name, value: String(line[line.index(after: equals)...].trimmingBlanks), origin: origin))
        }
        return properties
    }
}

extension Substring {
    fileprivate var trimmingBlanks: Substring {
        func isBlank(_ character: Character) -> Bool { character == " " || character == "\t" || character == "\r" }
        guard let first = firstIndex(where: { !isBlank($0) }), let last = lastIndex(where: { !isBlank($0) }) else {
            return ""
        }
        return self[first...last]
    }
}
