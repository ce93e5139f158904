/// One .proto file as protoc sees it, for reflection. Instances are generated; see `scripts/generate`.
public struct DescriptorFile: Sendable {
    /// As other files import it.
    public let name: String
    /// Names of the files it imports itself.
    public let imports: [String]
    private let symbolLines: String
    private let base64: String

    /// - Parameters:
    ///   - symbols: full names, one a line.
    ///   - base64: the packed `google.protobuf.FileDescriptorProto`.
    public init(name: String, imports: [String], symbols: String, base64: String) {
        self.name = name
        self.imports = imports
        symbolLines = symbols
        self.base64 = base64
    }

    /// Full names of all that the file declares: messages, fields, enums, values, services and methods.
    public var symbols: [String] { symbolLines.split(separator: "\n").map(String.init) }

    /// The packed `google.protobuf.FileDescriptorProto`.
    public var packed: [UInt8] { Array(base64.utf8).withUnsafeBytes { Base64.decode($0) } ?? [] }
}
