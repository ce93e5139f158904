extension WireMessage {
    /// The message as it stands in a DATA frame: five bytes of prefix, uncompressed, and the packed message.
    public func framed(in arena: Arena = .ofThisThread) -> [UInt8] {
        var bytes = encoded(after: MessageDeframer.prefixLength, in: arena)
        let length = UInt32(bytes.count - MessageDeframer.prefixLength)
        withUnsafeBytes(of: length.bigEndian) { length in
            for index in 0..<4 { bytes[1 + index] = length[index] }
        }
        return bytes
    }
}
