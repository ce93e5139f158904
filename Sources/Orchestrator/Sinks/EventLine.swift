/// An event as every sink tells it: one JSON object on one line, with exactly the keys of the contract.
public enum EventLine {
    /// Without the newline at its end.
    public static func json(_ event: Event) -> [UInt8] {
        var json = JSONWriter()
        json.object { json in
            json.key("sequence")
            json.integer(event.sequence)
            json.key("type")
            json.string(event.type.rawValue)
            json.key("timestamp")
            json.string(event.time.rfc3339)
            json.key("data")
            if event.data.isEmpty {
                json.object {
                    $0.key("task_id")
                    $0.string(event.jobID)
                }
            } else {
                // In JSON a line break can only stand between tokens, where a space means the same.
                json.raw(event.data.lazy.map { $0 == 0x0A || $0 == 0x0D ? 0x20 : $0 })
            }
            json.key("source")
            json.string(event.source)
        }
        return json.bytes
    }
}
