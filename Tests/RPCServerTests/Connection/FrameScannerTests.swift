import Testing

@testable import RPCServer

struct FrameScannerTests {
    private typealias Frame = RawConnection.Frame

    private static func scan(_ bytes: [UInt8], by size: Int) -> (FrameScanner.Tally, FrameScanner) {
        var scanner = FrameScanner()
        var sum = FrameScanner.Tally()
        var rest = bytes[...]
        while !rest.isEmpty {
            let tally = rest.prefix(size).withUnsafeBytes { scanner.scan($0) }
            rest = rest.dropFirst(size)
            sum.pings += tally.pings
            sum.useful += tally.useful
            sum.idle += tally.idle
            sum.hasSettings = sum.hasSettings || tally.hasSettings
        }
        return (sum, scanner)
    }

    private static let stream: [UInt8] =
        RawConnection.preface + Frame.headers(path: "/a", stream: 7).bytes
        + Frame.data([1, 2, 3], stream: 7, ends: false).bytes + Frame.data([], stream: 7, ends: false).bytes
        + Frame.data([], stream: 7, ends: true).bytes
        + Frame(type: 6, flags: 0, stream: 0, payload: Array(repeating: 0, count: 8)).bytes
        + Frame(type: 6, flags: 1, stream: 0, payload: Array(repeating: 0, count: 8)).bytes
        + Frame(type: 4, flags: 1, stream: 0, payload: []).bytes
        + Frame(type: 0xFA, flags: 0, stream: 0, payload: Array(repeating: 0, count: 300)).bytes
        + Frame(type: 8, flags: 0, stream: 0, payload: [0, 0, 0, 1]).bytes + Frame.reset(7, code: 8).bytes

    @Test(arguments: [1, 2, 8, 9, 10, 33, 100_000])
    func `frames are counted alike however their bytes are cut`(size: Int) {
        let (tally, scanner) = Self.scan(Self.stream, by: size)
        #expect(tally == FrameScanner.Tally(pings: 1, useful: 3, idle: 4, hasSettings: true))
        #expect(scanner.lastStream == 7)
        #expect(scanner.unfinished == nil)
    }

    @Test func `a frame is unfinished from its first byte to its last`() {
        var scanner = FrameScanner()
        func scan(_ bytes: ArraySlice<UInt8>) { _ = bytes.withUnsafeBytes { scanner.scan($0) } }
        let bytes = Self.stream.prefix(60)
        for end in 1...bytes.count {
            scan(bytes[(end - 1)..<end])
            // The preface, the empty SETTINGS, and the HEADERS that follow.
            #expect((scanner.unfinished == nil) == [24, 33].contains(end), "after \(end) bytes")
        }
    }

    @Test func `a header block is one unfinished frame until END_HEADERS`() {
        var scanner = FrameScanner()
        func scan(_ bytes: [UInt8]) { _ = bytes.withUnsafeBytes { scanner.scan($0) } }
        scan(RawConnection.preface)
        var headers = Frame.headers(path: "/a", stream: 1)
        headers.flags = 0
        scan(headers.bytes)
        let block = scanner.unfinished
        #expect(block != nil)
        scan(Frame(type: 9, flags: 0, stream: 1, payload: [0]).bytes)
        #expect(scanner.unfinished == block)
        scan(Frame(type: 9, flags: 4, stream: 1, payload: []).bytes)
        #expect(scanner.unfinished == nil)
    }
}
