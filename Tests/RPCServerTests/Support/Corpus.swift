import Foundation

/// The bytes kept in `Tests/fuzz/corpus`, and how they are spoiled.
enum Corpus {
    static func files(_ directory: String) throws -> [(name: String, bytes: [UInt8])] {
        let root = URL(filePath: #filePath).deletingLastPathComponent().appending(
            path: "../../fuzz/corpus/\(directory)")
        return try FileManager.default.contentsOfDirectory(at: root, includingPropertiesForKeys: nil)
            .filter { $0.pathExtension == "bin" }
            .sorted { $0.lastPathComponent < $1.lastPathComponent }
            .map { ($0.lastPathComponent, Array(try Data(contentsOf: $0))) }
    }

    /// Changes a few places behind `start`.
    static func mutate(
        _ bytes: inout [UInt8], with other: [UInt8], from start: Int = 0, _ random: inout some RandomNumberGenerator
    ) {
        for _ in 0...Int.random(in: 0..<4, using: &random) {
            guard bytes.count > start else { return bytes += other }
            let place = Int.random(in: start..<bytes.count, using: &random)
            switch Int.random(in: 0..<7, using: &random) {
            case 0: bytes[place] = UInt8.random(in: 0...255, using: &random)
            case 1: bytes[place] ^= 1 << UInt8.random(in: 0..<8, using: &random)
            case 2: bytes.remove(at: place)
            case 3: bytes.insert(UInt8.random(in: 0...255, using: &random), at: place)
            case 4: bytes.removeSubrange(place...)
            case 5: bytes.insert(contentsOf: bytes[place...].prefix(100), at: place)
            default: bytes.replaceSubrange(place..., with: other.dropFirst(min(place, other.count)))
            }
        }
    }
}
