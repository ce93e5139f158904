import Foundation
import Logging
import Orchestrator
import Synchronization
import Testing

@testable import Programs

@Suite struct JSONLogHandlerTests {
    private func lines(_ body: (inout Logger) -> Void) throws -> [[String: String]] {
        let written = Mutex<[UInt8]>([])
        var logger = Logger(label: "test") { label in
            JSONLogHandler(label: label, now: { Timestamp(nanoseconds: 1_700_000_000_250_000_000) }) { line in
                written.withLock { $0 += line }
            }
        }
        body(&logger)
        return try written.withLock { $0 }.split(separator: UInt8(ascii: "\n")).map {
            try #require(try JSONSerialization.jsonObject(with: Data($0)) as? [String: String])
        }
    }

    @Test func `a line is an object with its metadata beside the message`() throws {
        let found = try lines { $0.warning("it failed", metadata: ["job_id": "a", "error": "no \"room\"\nleft"]) }
        #expect(
            found == [
                [
                    "time": "2023-11-14T22:13:20.250Z", "level": "warning", "logger": "test", "message": "it failed",
                    "job_id": "a", "error": "no \"room\"\nleft",
                ]
            ])
    }

    @Test func `metadata can't take the place of the line's own keys, and a logger's own comes with each line`() throws
    {
        let found = try lines { logger in
            logger[metadataKey: "peer"] = "b"
            logger.info("hello", metadata: ["level": "none", "message": "other"])
        }
        #expect(found.first?["level"] == "info" && found.first?["message"] == "hello")
        #expect(found.first?["metadata.level"] == "none" && found.first?["metadata.message"] == "other")
        #expect(found.first?["peer"] == "b")
    }

    @Test func `what is below the level is not written`() throws {
        #expect(try lines { $0.debug("quiet") }.isEmpty)
    }
}
