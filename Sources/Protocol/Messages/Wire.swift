/// The messages of `proto/`, as Swift values. Generated; see `scripts/generate`.
public enum Wire {}

/// A message that can be read from and written to the protobuf wire format. Conformances are generated: they go through
/// protobuf-c, whose structures live in an `Arena` for the length of one call.
public protocol WireMessage: Sendable {
    /// The C structure in the arena, or nil when the bytes are not this message or exceed the arena's limit.
    static func unpack(_ bytes: UnsafeRawBufferPointer, in arena: Arena) -> UnsafeRawPointer?

    /// - Parameter wire: what `unpack` returned.
    init(wire: UnsafeRawPointer) throws(WireError)

    /// The C structure in the arena, ready to be packed.
    func wire(in arena: Arena) -> UnsafeMutableRawPointer
}

/// Why bytes are not a valid message. `field` is its path from the message's top, empty when the whole is broken.
public struct WireError: Error, Equatable, CustomStringConvertible {
    public var field: String
    public var problem: String

    public init(field: String, problem: String) {
        self.field = field
        self.problem = problem
    }

    public var description: String { field.isEmpty ? problem : "\(field): \(problem)" }
}
