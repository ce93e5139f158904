import Glibc
import Synchronization

/// The machine's GPUs, each with one job at a time.
public final class GPUDevices: Sendable {
    public enum Setting: Sendable, Equatable {
        /// Those that `nvidia-smi` lists; none where there is no such program.
        case auto
        /// As CUDA_VISIBLE_DEVICES names them: "0", "1", or UUIDs.
        case devices([String])
    }

    private struct Waiter {
        var wanted: Int
        var continuation: CheckedContinuation<[String], Never>
    }

    private struct State {
        var free: [String]
        var waiters: [Waiter] = []
    }

    public let all: [String]
    private let state: Mutex<State>

    public init(_ devices: [String]) {
        all = devices
        state = Mutex(State(free: devices))
    }

    /// Asks `nvidia-smi` where the setting leaves it to that. Blocks for as long as that takes, at most 10 seconds.
    public convenience init(_ setting: Setting, path: String) {
        switch setting {
        case .devices(let devices): self.init(devices)
        case .auto:
            let rows = Self.query("index", path: path)
            self.init(rows)
        }
    }

    public var count: Int { all.count }

    /// The first `wanted` that come free, in the order of asking. More than there are is all of them.
    func take(_ wanted: Int) async -> [String] {
        let wanted = min(wanted, all.count)
        if wanted == 0 { return [] }
        return await withCheckedContinuation { continuation in
            let ready = state.withLock { state -> [(Waiter, [String])] in
                state.waiters.append(Waiter(wanted: wanted, continuation: continuation))
                return Self.serve(&state)
            }
            for (waiter, devices) in ready { waiter.continuation.resume(returning: devices) }
        }
    }

    /// Those that an attempt from before has, whoever else may.
    func adopt(_ devices: [String]) {
        state.withLock { state in state.free.removeAll { devices.contains($0) } }
    }

    func giveBack(_ devices: [String]) {
        let ready = state.withLock { state -> [(Waiter, [String])] in
            let returned = devices.filter { all.contains($0) && !state.free.contains($0) }
            state.free = all.filter { state.free.contains($0) || returned.contains($0) }
            return Self.serve(&state)
        }
        for (waiter, devices) in ready { waiter.continuation.resume(returning: devices) }
    }

    private static func serve(_ state: inout State) -> [(Waiter, [String])] {
        var ready: [(Waiter, [String])] = []
        while let first = state.waiters.first, first.wanted <= state.free.count {
            ready.append((first, Array(state.free.prefix(first.wanted))))
            state.free.removeFirst(first.wanted)
            state.waiters.removeFirst()
        }
        return ready
    }

    /// The mean of the devices' utilisation from 0 to 1, or nil where nobody can tell. Blocks.
    public static func utilization(path: String) -> Double? {
        let numbers = query("utilization.gpu", path: path).compactMap { Double($0) }
        return numbers.isEmpty ? nil : numbers.reduce(0, +) / Double(numbers.count) / 100
    }

    /// One word a device; empty when there is no such program, or it fails.
    private static func query(_ field: String, path: String) -> [String] {
        for directory in path.split(separator: ":") {
            let program = "\(directory)/nvidia-smi"
            guard access(program, X_OK) == 0 else { continue }
            let arguments = [program, "--query-gpu=\(field)", "--format=csv,noheader,nounits"]
            guard let answer = try? ShortCommand.run(arguments, timeout: .seconds(10)), answer.status == 0 else {
                return []
            }
            return answer.output.split(whereSeparator: \.isNewline)
                .compactMap { line in line.split(whereSeparator: \.isWhitespace).first.map(String.init) }
        }
        return []
    }
}
