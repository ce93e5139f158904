/// The event file and those it has become. One writer; calls block on the disk.
struct RotatingFile: ~Copyable {
    typealias Line = (sequence: UInt64, time: Timestamp, bytes: [UInt8])

    let path: String
    private let rotation: EventFileRotation
    private let now: @Sendable () -> Timestamp
    private let rotated: RotatedFiles
    private var file: JSONLFile?
    /// Time of the open file's first event; nil when it is empty or not ours.
    private var begun: Timestamp?

    init(path: String, rotation: EventFileRotation, now: @escaping @Sendable () -> Timestamp) {
        self.path = path
        self.rotation = rotation
        self.now = now
        rotated = RotatedFiles(of: path)
    }

    /// Appends the first lines: as many as belong into one file, all of them or none when it throws.
    ///
    /// - Returns: how many, at least one.
    mutating func append(_ lines: ArraySlice<Line>) throws(OrchestratorError) -> Int {
        guard let first = lines.first else { return 0 }
        try open()
        var size = try file?.size() ?? 0
        if rotation.isDue(size: size, adding: first.bytes.count, begun: begun, now: now()) {
            try rotate()
            size = 0
        }
        var bytes: [UInt8] = []
        var count = 0
        for line in lines {
            let total = size + Int64(bytes.count + line.bytes.count)
            if count > 0, let limit = rotation.maxBytes, total > limit { break }
            bytes += line.bytes
            count += 1
        }
        try file?.append(bytes)
        if size == 0 { begun = first.time }
        return count
    }

    mutating func synchronize() throws(OrchestratorError) { try file?.synchronize() }

    /// Of this file, or of the one before it when this one has none yet.
    mutating func lastLine() throws(OrchestratorError) -> [UInt8]? {
        try open()
        if let line = try file?.lastLine() { return line }
        guard let before = rotated.all().last else { return nil }
        return try JSONLFile.open(path: before).lastLine()
    }

    private mutating func open() throws(OrchestratorError) {
        if let isInPlace = file?.isInPlace {
            if isInPlace { return }
            // What somebody moved away is to be as safe as the new one's.
            try file?.synchronize()
            file = nil
        }
        file = try JSONLFile.open(path: path)
        begun = try file?.firstLine().flatMap { EventMark($0) }?.time
    }

    private mutating func rotate() throws(OrchestratorError) {
        // The cursor may move past these lines with the next flush, which only knows the new file.
        try file?.synchronize()
        let last = try file?.lastLine().flatMap { EventMark($0) }
        try rotated.take(path, last: last?.sequence ?? 0)
        file = nil
        // At once, for those that wait for the name to come back.
        try open()
        if let keep = rotation.keep { rotated.keep(keep) }
    }
}
