/// An event as every sink tells it: one JSON object on one line, with exactly the keys of the contract.
public enum EventLine {
    /// Without the newline at its end.
    public static func json(_ event: Event) -> [UInt8] {
        // The rest takes a little over 100 bytes; one more is for the newline.
        var json = JSONWriter(capacity: event.data.count + 160)
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
            } else if event.data.contains(where: { $0 == 0x0A || $0 == 0x0D }) {
                // In JSON a line break can only stand between tokens, where a space means the same.
                json.raw(event.data.map { $0 == 0x0A || $0 == 0x0D ? 0x20 : $0 })
            } else {
                json.raw(event.data)
            }
            json.key("source")
            json.string(event.source)
        }
        return json.bytes
    }
}
