import DequeModule

/// Tasks that are left in `pending/` because there is no room for them, or because their class is not run here: looked at
/// once, and again when there is room.
struct TasksLeft {
    private var classes: [String: JobClass] = [:]
    private var names: [JobClass: Deque<String>] = [:]

    var counts: [JobClass: Int] { names.mapValues(\.count).filter { $0.value > 0 } }

    mutating func add(_ name: String, _ jobClass: JobClass) {
        guard classes.updateValue(jobClass, forKey: name) == nil else { return }
        names[jobClass, default: []].append(name)
    }

    /// The first one of a class that has room; it is no longer among them.
    mutating func next(_ room: ClaimRoom) -> String? {
        for jobClass in JobClass.allCases where room.has(jobClass) {
            guard let name = names[jobClass]?.popFirst() else { continue }
            classes[name] = nil
            return name
        }
        return nil
    }

    /// Forgets those that are no longer there, and returns what is not among them.
    ///
    /// - Parameter listed: all that is there, in the order in which they are to be taken.
    mutating func keep(_ listed: [String]) -> [String] {
        if classes.isEmpty { return listed }
        let before = classes
        self = TasksLeft()
        return listed.filter { name in
            guard let jobClass = before[name] else { return true }
            add(name, jobClass)
            return false
        }
    }
}
