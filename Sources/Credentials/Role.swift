/// What a caller may do.
public enum Role: String, Sendable, CaseIterable {
    /// Hand in and cancel jobs.
    case submit
    /// See jobs, events, logs and numbers.
    case read
    /// Everything.
    case admin
}

/// Someone the server knows.
public struct Principal: Sendable, Equatable {
    /// As the token file or the client's certificate names them.
    public var subject: String
    public var roles: Set<Role>

    public init(subject: String, roles: Set<Role>) {
        self.subject = subject
        self.roles = roles
    }

    /// `admin` implies all.
    public func has(_ role: Role) -> Bool { roles.contains(role) || roles.contains(.admin) }
}
