import Synchronization

/// How often callers were refused, by why, over all fronts. Outlives the token file it is counted for.
public final class RefusalCounts: Sendable {
    private let counts = Mutex<[CredentialRefusal: UInt64]>([:])

    public init() {}

    func count(_ refusal: CredentialRefusal) { counts.withLock { $0[refusal, default: 0] += 1 } }

    public func total(_ refusal: CredentialRefusal) -> UInt64 { counts.withLock { $0[refusal] ?? 0 } }
}
