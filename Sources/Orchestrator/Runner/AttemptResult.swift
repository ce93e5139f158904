/// What an attempt left as its result: the file named in `DSPY_RESULT_PATH`, else the JSON behind the marker on the last
/// such line of its standard output.
enum AttemptResult: Sendable, Equatable {
    case none
    case json([UInt8])
    /// There was one, but it can't be kept; one line says why.
    case unusable(String)

    static let marker = Array("__DSPY_RESULT__:".utf8)

    /// `bytes` holds at most one byte more than `cap`: enough to see that there were too many.
    static func file(_ bytes: [UInt8], cap: Int) -> AttemptResult {
        checked(bytes[...], cap: cap, origin: "the result file ($DSPY_RESULT_PATH)")
    }

    /// `tail` is the end of standard output; `isWhole` when it is all of it, so that its beginning is a line's.
    static func output(tail: [UInt8], isWhole: Bool, cap: Int) -> AttemptResult {
        var end = tail.count
        while true {
            let newline = tail[..<end].lastIndex(of: UInt8(ascii: "\n"))
            let start = newline.map { $0 + 1 } ?? 0
            if newline != nil || isWhole, tail[start..<end].starts(with: marker) {
                return checked(
                    tail[(start + marker.count)..<end], cap: cap,
                    origin: "the text after __DSPY_RESULT__: on standard output")
            }
            guard let newline else { return .none }
            end = newline
        }
    }

    /// A worker's answer, which was JSON already; null is no result.
    static func worker(_ json: [UInt8], cap: Int) -> AttemptResult {
        json == Array("null".utf8) ? .none : checked(json[...], cap: cap, origin: "the worker's result")
    }

    private static func checked(_ text: ArraySlice<UInt8>, cap: Int, origin: String) -> AttemptResult {
        guard text.count <= cap else {
            return .unusable(
                "\(origin) is larger than \(cap) bytes; write large results to a file and put its path in the result")
        }
        let isSpace = { (byte: UInt8) in byte == 0x20 || byte == 0x0a || byte == 0x0d || byte == 0x09 }
        let start = text.firstIndex { !isSpace($0) }
        guard let start, let end = text.lastIndex(where: { !isSpace($0) }) else { return .none }
        let json = Array(text[start...end])
        do {
            _ = try JSONNode(parsing: json)
            return .json(json)
        } catch {
            return .unusable("\(origin) is not valid JSON: \(error)")
        }
    }
}
