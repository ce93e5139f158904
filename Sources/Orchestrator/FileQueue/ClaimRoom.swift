/// How many more tasks of each class this server claims now.
///
/// Alone on its directory a server claims all there is. Among several each claims what it can start soon, so that the
/// others have the rest: as many as it has places, and of short tasks as many again, so that a place does not wait for a
/// claim.
struct ClaimRoom: Equatable {
    /// nil is any number; a class that is not there is not run here.
    private var left: [JobClass: Int?]

    static func unlimited(_ classes: Set<JobClass>) -> ClaimRoom {
        ClaimRoom(left: Dictionary(uniqueKeysWithValues: classes.map { ($0, nil) }))
    }

    private init(left: [JobClass: Int?]) { self.left = left }

    /// - Parameters:
    ///   - classes: those that are run here.
    ///   - loads: how the local ones among them stand. What other programs execute has any room.
    ///   - claimed: claims whose jobs have not ended, whether the scheduler has heard of them or not.
    init(_ classes: Set<JobClass>, loads: [JobClass: Scheduler.ClassLoad], claimed: [JobClass: Int]) {
        left = Dictionary(
            uniqueKeysWithValues: classes.map { jobClass in
                guard jobClass.isLocal else { return (jobClass, nil) }
                let load = loads[jobClass] ?? Scheduler.ClassLoad(limit: 0, inFlight: 0, waiting: 0)
                let wanted = jobClass == .cpuShort ? load.limit * 2 : load.limit
                let there = max(claimed[jobClass] ?? 0, load.inFlight + load.waiting)
                return (jobClass, max(0, wanted - there))
            })
    }

    func has(_ jobClass: JobClass) -> Bool {
        guard let left = left[jobClass] else { return false }
        return left.map { $0 > 0 } ?? true
    }

    /// One of them, if there is room.
    mutating func take(_ jobClass: JobClass) -> Bool {
        guard has(jobClass) else { return false }
        if let number = left[jobClass] ?? nil { left[jobClass] = .some(number - 1) }
        return true
    }
}
