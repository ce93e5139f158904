import Protocol

/// Finds files by name and by what they declare.
struct DescriptorIndex: Sendable {
    private let files: [String: DescriptorFile]
    /// Full name → file.
    private let symbols: [String: String]

    init(_ files: [DescriptorFile]) {
        self.files = Dictionary(files.map { ($0.name, $0) }) { first, _ in first }
        symbols = Dictionary(files.flatMap { file in file.symbols.map { ($0, file.name) } }) { first, _ in first }
    }

    func declares(_ symbol: String) -> Bool { symbols[symbol] != nil }

    /// The packed file, and all that it imports, each once. nil when there is no such file.
    func closure(ofFile name: String) -> [[UInt8]]? {
        guard files[name] != nil else { return nil }
        var waiting = [name]
        var seen = Set(waiting)
        var packed: [[UInt8]] = []
        while !waiting.isEmpty {
            guard let file = files[waiting.removeFirst()] else { continue }
            packed.append(file.packed)
            waiting += file.imports.filter { seen.insert($0).inserted }
        }
        return packed
    }

    func closure(ofSymbol symbol: String) -> [[UInt8]]? { symbols[symbol].flatMap { closure(ofFile: $0) } }
}
