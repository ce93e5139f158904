/// Between how many and how many attempts of a class run at once.
public struct ConcurrencyRange: Sendable, Equatable {
    /// At least 1.
    public var floor: Int
    /// At least `floor`. The same as it: a fixed limit.
    public var ceiling: Int

    public init(floor: Int, ceiling: Int) {
        self.floor = max(1, floor)
        self.ceiling = max(self.floor, ceiling)
    }
}
