import Synchronization

/// Those that follow the ledger, and what it last had to complain about.
final class LedgerObservers: Sendable {
    private let observers = Mutex<[@Sendable (CommittedBatch) -> Void]>([])
    /// Why the newest commit failed; nil when it did not.
    let writeFailure = Mutex<String?>(nil)
    /// Why nothing is written any more; nil unless the disk or the database can't be relied on.
    let end = Mutex<OrchestratorError?>(nil)

    let history = Mutex(HistorySize())

    func add(_ observer: @escaping @Sendable (CommittedBatch) -> Void) { observers.withLock { $0.append(observer) } }

    func tell(_ batch: CommittedBatch) {
        for observer in observers.withLock({ $0 }) { observer(batch) }
    }
}
