/// What is kept of the end of a batch job's stream once its beginning has filled the file: the newest pieces, which the
/// job's wrapper writes one after the other and of which it removes the older ones.
///
/// ```
///   stdout         (gone)      stdout.rest.6    stdout.rest.7
/// 0 ───── kept               6 pieces behind it            total behind it
/// ```
struct OutputRest: Sendable, Equatable {
    /// Of each but the newest. Two of them hold the largest result, with its marker.
    static let pieceBytes: UInt64 = 2 << 20

    struct Piece: Sendable, Equatable {
        /// How many were before it.
        var number: UInt64
        var bytes: UInt64
    }

    private let path: String
    /// Without a gap, the newest last; not empty.
    private let pieces: [Piece]

    /// nil when there is none: the file has all of the stream.
    ///
    /// - Parameter path: of the stream's file.
    init?(of path: String) {
        let slash = path.lastIndex(of: "/") ?? path.startIndex
        let prefix = path[slash...].dropFirst() + ".rest."
        let numbers = ((try? WholeFile.names(in: String(path[..<slash]))) ?? []).compactMap { name in
            name.hasPrefix(prefix) ? UInt64(name.dropFirst(prefix.count)) : nil
        }
        self.init(
            numbers.compactMap { number in
                let facts = try? WholeFile.facts("\(path).rest.\(number)")
                guard let facts, facts.isRegular, facts.size > 0 else { return nil }
                return Piece(number: number, bytes: min(UInt64(clamping: facts.size), Self.pieceBytes))
            }, of: path)
    }

    init?(_ found: [Piece], of path: String) {
        guard let newest = found.max(by: { $0.number < $1.number }) else { return nil }
        var pieces = [newest]
        for piece in found.sorted(by: { $0.number > $1.number }).dropFirst() {
            guard piece.number + 1 == pieces[0].number, piece.bytes == Self.pieceBytes else { break }
            pieces.insert(piece, at: 0)
        }
        self.pieces = pieces
        self.path = path
    }

    /// Bytes the stream had beyond its file.
    var total: UInt64 { pieces[pieces.count - 1].number * Self.pieceBytes + pieces[pieces.count - 1].bytes }

    /// Bytes of these that are there, the last ones.
    var kept: UInt64 { total - pieces[0].number * Self.pieceBytes }

    /// - Parameter offset: in what is kept.
    /// - Returns: the file that has it, and where; nil at the end.
    func place(of offset: UInt64) -> (path: String, at: UInt64)? {
        guard offset < kept else { return nil }
        let piece = pieces[Int(offset / Self.pieceBytes)]
        return ("\(path).rest.\(piece.number)", offset % Self.pieceBytes)
    }

    /// The last bytes, at most `limit`.
    func end(_ limit: Int) -> [UInt8] {
        var end: [UInt8] = []
        for piece in pieces.reversed() where end.count < limit {
            let room = limit - end.count
            let bytes = (try? WholeFile.read("\(path).rest.\(piece.number)", from: -Int64(room), limit: room)) ?? []
            end.insert(contentsOf: bytes, at: 0)
        }
        return end
    }
}
