/// How messages may be compressed: `grpc-encoding` and `grpc-accept-encoding`.
public enum MessageEncoding: String, Sendable, CaseIterable {
    case identity
    case gzip

    /// As `grpc-encoding` names it; nil for one that is not known here.
    public init?(name: UnsafeRawBufferPointer) {
        guard let known = Self.allCases.first(where: { name.elementsEqual($0.rawValue.utf8) }) else { return nil }
        self = known
    }

    /// Whether a `grpc-accept-encoding` list has it.
    public func isAccepted(by list: String) -> Bool {
        list.split(separator: ",").contains { $0.drop { $0 == " " }.prefix { $0 != " " && $0 != ";" } == rawValue }
    }

    /// A message as it stands in DATA: prefix and bytes, compressed when that is asked and this is not identity.
    public func frame(_ message: [UInt8], compressed: Bool) -> [UInt8] {
        guard compressed, self == .gzip else { return Self.frame(message[...], flag: 0) }
        return Self.frame(message.withUnsafeBytes { Gzip.compress($0) }[...], flag: 1)
    }

    private static func frame(_ body: ArraySlice<UInt8>, flag: UInt8) -> [UInt8] {
        var framed: [UInt8] = []
        framed.reserveCapacity(body.count + MessageDeframer.prefixLength)
        framed.append(flag)
        withUnsafeBytes(of: UInt32(body.count).bigEndian) { framed.append(contentsOf: $0) }
        framed += body
        return framed
    }
}
