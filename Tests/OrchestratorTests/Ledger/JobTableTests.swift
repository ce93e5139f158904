import Testing

@testable import Orchestrator

@Suite struct JobTableTests {
    /// Hashes of few values put many ids into one run of places, which also goes around the end of the table.
    @Test(arguments: [1, 7, 64, Int.max], [0, Int.min])
    func `a table says what a dictionary says`(hashes: Int, first: Int) {
        let seed = UInt64.random(in: .min ... .max)
        var generator = SeededRandom(seed: seed)
        var table = JobTable<Int>()
        var model: [String: Int] = [:]
        func key(_ id: String) -> JobKey { JobKey(id, hash: first &+ id.hashValue % hashes) }
        for step in 0..<20_000 {
            let id = "job \(Int.random(in: 0..<300, using: &generator))"
            switch Int.random(in: 0..<10, using: &generator) {
            case 0..<4:
                table[key(id)] = step
                model[id] = step
            case 4..<7:
                #expect(table.removeValue(forKey: key(id)) == model.removeValue(forKey: id), "seed \(seed)")
            case 7:
                table[key(id)] = nil
                model[id] = nil
            default:
                #expect(table[key(id)] == model[id], "seed \(seed)")
            }
            #expect(table.count == model.count, "seed \(seed)")
        }
        #expect(table.values.sorted() == model.values.sorted(), "seed \(seed)")
        for (id, value) in model { #expect(table[key(id)] == value, "seed \(seed)") }
    }

    @Test func `room is made at once`() {
        var table = JobTable<Int>()
        table.reserveCapacity(1_000)
        for number in 0..<1_000 { table[JobKey("\(number)")] = number }
        #expect(table.count == 1_000 && !table.isEmpty && table[JobKey("999")] == 999 && table[JobKey("")] == nil)
    }
}
