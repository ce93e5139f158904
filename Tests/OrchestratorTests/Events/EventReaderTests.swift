import Synchronization
import Testing

@testable import Orchestrator

@Suite struct EventReaderTests {
    let directory = LedgerDirectory()

    func submit(_ count: Int, to ledger: Ledger, prefix: String = "j") async {
        for start in stride(from: 0, to: count, by: 100) {
            _ = await ledger.submit((start..<min(start + 100, count)).map { JobSpec(id: "\(prefix)\($0)") })
        }
    }

    @Test func `no more events are in memory than the ring may hold`() async throws {
        let ledger = try directory.open { $0.ringEvents = 8 }
        for number in 0..<20 { _ = try await ledger.submit(JobSpec(id: "job-\(number)")) }
        #expect(ledger.events.recentEvents(after: 11, limit: 20) == nil)
        #expect(ledger.events.recentEvents(after: 12, limit: 20)?.map(\.sequence) == Array(13...20))
        #expect(try await ledger.events.events(after: 11, limit: 20).map(\.sequence) == Array(12...20))
        await ledger.close()
    }

    @Test(.timeLimit(.minutes(5))) func aReaderSeesHistoryThenLiveEvents() async throws {
        let ledger = try directory.open()
        await submit(3, to: ledger)
        let reader = try await ledger.makeReader(after: 1)
        var transcript = ReaderTranscript()
        #expect(try await transcript.drain(reader, of: ledger.events) == .caughtUp)
        #expect(transcript.text == "2:task_submitted:j1;3:task_submitted:j2;")
        await submit(1, to: ledger, prefix: "k")
        #expect(try await transcript.drain(reader, of: ledger.events) == .caughtUp)
        #expect(transcript.text.hasSuffix("4:task_submitted:k0;") && transcript.pages == 0)
        await ledger.close()
    }

    @Test(.timeLimit(.minutes(5)), arguments: [1, 7, 25, 26, 64, 1_000])
    func anEventThatDoesNotFitGoesOnInTheNextRead(room: Int) async throws {
        let ledger = try directory.open { $0.ringEvents = 32 }
        await submit(100, to: ledger)
        for filter in [EventFilter.all, EventFilter(types: ["task_submitted"])] {
            let reader = try await ledger.makeReader(after: 0, filter: filter)
            var transcript = ReaderTranscript()
            #expect(try await transcript.drain(reader, of: ledger.events, room: room) == .caughtUp)
            #expect(transcript.text == (1...100).map { "\($0):task_submitted:j\($0 - 1);" }.joined())
            #expect(transcript.pages > 0)
        }
        await ledger.close()
    }

    @Test(.timeLimit(.minutes(5))) func anEventCutOffByTheRingsEndGoesOnFromHistory() async throws {
        let ledger = try directory.open { $0.ringEvents = 8 }
        await submit(2, to: ledger)
        let reader = try await ledger.makeReader(after: 0)
        var text = ""
        withUnsafeTemporaryAllocation(byteCount: 30, alignment: 1) { buffer in
            #expect(reader.read(into: buffer) == .bytes(30))
            text = String(decoding: buffer, as: UTF8.self)
        }
        await submit(50, to: ledger, prefix: "k")
        var rest = ReaderTranscript()
        #expect(try await rest.drain(reader, of: ledger.events, room: 10) == .caughtUp)
        #expect(rest.pages > 0)
        let whole = ReaderTranscript(text: text + rest.text)
        #expect(whole.sequences == Array(1...52))
        #expect(whole.text.hasPrefix("1:task_submitted:j0;2:task_submitted:j1;3:task_submitted:k0;"))
        await ledger.close()
    }

    @Test(.timeLimit(.minutes(5)), arguments: [EventFilter.all, EventFilter(types: ["task_submitted"])])
    func readersOverASmallRingSeeEverySequenceOnceWhileEventsComeIn(filter: EventFilter) async throws {
        let ledger = try directory.open { $0.ringEvents = 64 }
        let total = 3_000
        try await withThrowingTaskGroup(of: [UInt64].self) { group in
            for room in [50, 333, 16_384, 65_536] {
                group.addTask {
                    let news = Signal()
                    let token = ledger.events.addWaker { news.raise() }
                    defer { ledger.events.removeWaker(token) }
                    let reader = try await ledger.makeReader(after: 0, filter: filter)
                    var transcript = ReaderTranscript()
                    while true {
                        #expect(try await transcript.drain(reader, of: ledger.events, room: room) == .caughtUp)
                        if reader.cursor == UInt64(total) { return transcript.sequences }
                        await news.wait()
                    }
                }
            }
            group.addTask {
                for number in 0..<total / 10 {
                    _ = await ledger.submit((0..<10).map { JobSpec(id: "w\(number)-\($0)") })
                }
                return Array(1...UInt64(total))
            }
            for try await sequences in group { #expect(sequences == Array(1...UInt64(total))) }
        }
        await ledger.close()
    }

    @Test(.timeLimit(.minutes(5))) func aFilterChoosesJobsAndTypesInRingAndHistory() async throws {
        for ringEvents in [65_536, 8] {
            let directory = LedgerDirectory()
            let ledger = try directory.open { $0.ringEvents = ringEvents }
            await submit(40, to: ledger)
            try await ledger.run("j3")
            try await ledger.run("j30")
            await submit(40, to: ledger, prefix: "k")
            func read(_ filter: EventFilter, after: UInt64 = 0) async throws -> String {
                let reader = try await ledger.makeReader(after: after, filter: filter)
                var transcript = ReaderTranscript()
                #expect(try await transcript.drain(reader, of: ledger.events, room: 20) == .caughtUp)
                #expect(reader.cursor == ledger.events.lastSequence)
                return transcript.text
            }
            #expect(
                try await read(EventFilter(jobIDs: ["j3", "nobody"]))
                    == "4:task_submitted:j3;41:task_started:j3;42:task_completed:j3;")
            #expect(
                try await read(EventFilter(types: ["task_completed"]))
                    == "42:task_completed:j3;44:task_completed:j30;")
            #expect(try await read(EventFilter(jobIDs: ["j30"], types: ["task_started"])) == "43:task_started:j30;")
            #expect(try await read(EventFilter(jobIDs: ["j30"]), after: 43) == "44:task_completed:j30;")
            await ledger.close()
        }
    }

    @Test(.timeLimit(.minutes(5)), arguments: [65_536, 8])
    func aReaderEndsOnceEveryListedJobHasEnded(ringEvents: Int) async throws {
        let ledger = try directory.open { $0.ringEvents = ringEvents }
        await submit(3, to: ledger)
        let reader = try await ledger.makeReader(
            after: 0, filter: EventFilter(jobIDs: ["j0", "j1"], types: ["task_started"]), endWhenDone: true)
        var transcript = ReaderTranscript()
        #expect(try await transcript.drain(reader, of: ledger.events) == .caughtUp)
        try await ledger.run("j0")
        #expect(try await transcript.drain(reader, of: ledger.events) == .caughtUp)
        try await ledger.run("j2")
        _ = try await ledger.cancel("j1", reason: "", source: "rpc")
        await submit(30, to: ledger, prefix: "k")
        // Its terminal event is not among the types asked for, and ends the stream all the same.
        #expect(try await transcript.drain(reader, of: ledger.events) == .ended)
        #expect(transcript.text == "4:task_started:j0;")
        await ledger.close()
    }

    @Test(.timeLimit(.minutes(5))) func aReaderOfEndedJobsEndsWithWhatLiesAhead() async throws {
        let ledger = try directory.open { $0.recentJobs = 0 }
        await submit(1, to: ledger)
        try await ledger.run("j0")
        func read(after: UInt64, fromNow: Bool = false) async throws -> (String, ReadOutcome) {
            let reader = try await ledger.makeReader(
                after: after, filter: EventFilter(jobIDs: ["j0"]), fromNow: fromNow, endWhenDone: true)
            var transcript = ReaderTranscript()
            let outcome = try await transcript.drain(reader, of: ledger.events)
            return (transcript.text, outcome)
        }
        #expect(try await read(after: 2) == ("3:task_completed:j0;", .ended))
        #expect(try await read(after: 3) == ("", .ended))
        #expect(try await read(after: 0, fromNow: true) == ("", .ended))
        await ledger.close()
    }

    @Test(.timeLimit(.minutes(5))) func whatCannotBeReadIsRefusedWithTheReason() async throws {
        let ledger = try directory.open()
        await submit(2, to: ledger)
        func kind(
            after: UInt64 = 0, _ filter: EventFilter = .all, fromNow: Bool = false, endWhenDone: Bool = false
        ) async -> OrchestratorError.Kind? {
            let error = await #expect(throws: OrchestratorError.self) {
                _ = try await ledger.makeReader(
                    after: after, filter: filter, fromNow: fromNow, endWhenDone: endWhenDone)
            }
            return error?.kind
        }
        #expect(await kind(after: 3) == .outOfRange(oldest: 1))
        #expect(await kind(after: .max) == .outOfRange(oldest: 1))
        #expect(await kind(after: 1, fromNow: true) == .invalidArgument(field: "after_sequence"))
        #expect(await kind(endWhenDone: true) == .invalidArgument(field: "end_when_done"))
        #expect(await kind(EventFilter(jobIDs: ["j0", "nobody"]), endWhenDone: true) == .notFound)
        let many = Set((0...1_000).map { "\($0)" })
        #expect(await kind(EventFilter(jobIDs: many)) == .invalidArgument(field: "job_ids"))
        await ledger.close()
    }

    @Test(.timeLimit(.minutes(5))) func eventsComeAsValuesFromMemoryAndFromTheDatabase() async throws {
        let ledger = try directory.open()
        await submit(5_000, to: ledger)
        #expect(try await ledger.events.events(after: 4_990, limit: 100).map(\.sequence) == Array(4_991...5_000))
        #expect(try await ledger.events.events(after: 10, limit: 3).map(\.sequence) == [11, 12, 13])
        #expect(try await ledger.events.events(after: 5_000, limit: 3).isEmpty)
        #expect(try await ledger.allEvents().map(\.jobID) == (0..<5_000).map { "j\($0)" })
        await ledger.close()
    }

    @Test(.timeLimit(.minutes(5))) func wakersAreCalledOncePerBatchUntilRemoved() async throws {
        let ledger = try directory.open()
        let calls = Mutex(0)
        let token = ledger.events.addWaker { calls.withLock { $0 += 1 } }
        _ = await ledger.submit([JobSpec(id: "a"), JobSpec(id: "b")])
        _ = try await ledger.start("a")
        // Changes nothing, so has no waking of its own; its answer comes after the wakings before it.
        _ = try await ledger.submit(JobSpec(id: "a"))
        #expect(calls.withLock { $0 } == 2)
        ledger.events.removeWaker(token)
        _ = try await ledger.start("b")
        await ledger.close()
        #expect(calls.withLock { $0 } == 2)
    }
}
