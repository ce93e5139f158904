import Foundation

/// How many attempts of each class run at once on this machine.
public struct ConcurrencyLimits: Sendable, Equatable {
    /// At least 1 each.
    public var byClass: [JobClass: Int]

    /// Those of these classes move between two numbers, and start at the lower.
    public var adaptive: [JobClass: ConcurrencyRange]

    public init(byClass: [JobClass: Int], adaptive: [JobClass: ConcurrencyRange] = [:]) {
        self.byClass = byClass.mapValues { max(1, $0) }.merging(adaptive.mapValues(\.floor)) { _, floor in floor }
        self.adaptive = adaptive.filter { $0.value.floor < $0.value.ceiling }
    }

    /// cpu_short twice the processors, as short tasks often wait; cpu_long one a processor; gpu one.
    public static func defaults(
        processors: Int = ProcessInfo.processInfo.activeProcessorCount
    ) -> ConcurrencyLimits {
        ConcurrencyLimits(byClass: [.cpuShort: 2 * processors, .cpuLong: processors, .gpu: 1])
    }
}
