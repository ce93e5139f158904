import Foundation

/// Where events go in RedDB, and how to get there.
public struct RedDBConfiguration: Sendable {
    /// http or https, without a slash at its end.
    public var url: String
    public var namespace: String
    public var stream: String
    /// Asked for once at the start, and again when the server refuses what it gave; nil is none.
    public var token: @Sendable () -> String?
    /// Of one request, with its answer. Default 10 s.
    public var timeout: Duration
    /// How long a server that is healthy may fail at one event before the event is passed over; nil is for ever. Default
    /// 5 min.
    public var giveUp: Duration?

    public init(
        url: String, namespace: String = "dspy", stream: String = "agent_events", timeout: Duration = .seconds(10),
        giveUp: Duration? = .seconds(300), token: @escaping @Sendable () -> String? = { nil }
    ) {
        self.url = url
        self.namespace = namespace
        self.stream = stream
        self.timeout = timeout
        self.giveUp = giveUp
        self.token = token
    }

    /// An http or https URL without user, query and fragment, and without slashes at its end; nil for anything else.
    public static func base(_ text: String) -> String? {
        guard let parts = URLComponents(string: text), let scheme = parts.scheme?.lowercased(),
            ["http", "https"].contains(scheme), parts.host?.isEmpty == false, parts.user == nil, parts.query == nil,
            parts.fragment == nil
        else { return nil }
        return String(text.reversed().drop { $0 == "/" }.reversed())
    }

    /// A name that stands in a path as it is: 1 to 128 of a-z A-Z 0-9 . _ - and neither "." nor "..".
    public static func isName(_ text: String) -> Bool { text.utf8.count <= 128 && KafkaConfiguration.isTopic(text) }
}
