import UnixSignals

/// The time between telling that the server is not ready and turning jobs away. Who sends clients here, such as a load
/// balancer or Kubernetes' endpoints, hears of it by asking now and then; until then calls come, and are to be served.
struct DrainDelay {
    private let duration: Duration

    init(_ duration: Duration) { self.duration = duration }

    /// Returns when it is over, at a further SIGTERM or SIGINT, which says that nobody will wait, or when cancelled.
    func wait() async {
        guard duration > .zero else { return }
        let signals = await UnixSignalsSequence(trapping: .sigterm, .sigint)
        await withTaskGroup(of: Void.self) { group in
            group.addTask { try? await Task.sleep(for: duration) }
            group.addTask { for await _ in signals { return } }
            await group.next()
            group.cancelAll()
        }
    }
}
