/// A large value whose copies share one object until one of them is changed.
struct Shared<Value: Sendable & Equatable>: Sendable {
    private var content: Content

    /// `@unchecked Sendable`: changed only by `Shared` while nobody else has it.
    private final class Content: @unchecked Sendable {
        /// Not checked at run time: it is changed only through a `Shared` that is being changed itself, and that no other
        /// one shares it with.
        @exclusivity(unchecked) var value: Value
        init(_ value: Value) { self.value = value }
    }

    init(_ value: Value) { content = Content(value) }

    var value: Value {
        _read { yield content.value }
        _modify {
            if !isKnownUniquelyReferenced(&content) { content = Content(content.value) }
            yield &content.value
        }
    }
}

extension Shared: Equatable {
    static func == (left: Shared, right: Shared) -> Bool {
        left.content === right.content || left.content.value == right.content.value
    }
}
