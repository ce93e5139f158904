import Logging
import Synchronization

/// A value made of files, and made anew when they change. While the files can't be used the last good value stays.
public final class Reloaded<Value: Sendable>: Sendable {
    private struct State {
        var value: Value
        var stamps: [FileStamp?]
        var failure: String?
    }

    private let files: [CredentialFile]
    private let load: @Sendable () throws(CredentialsError) -> Value
    private let logger: Logger
    private let state: Mutex<State>

    /// - Throws: what `load` throws: there is no good value yet.
    public init(
        _ files: [CredentialFile], logger: Logger, load: @escaping @Sendable () throws(CredentialsError) -> Value
    ) throws(CredentialsError) {
        // Before the files are read: a change in between is seen as one later.
        let stamps = files.map { FileStamp($0.path) }
        self.files = files
        self.load = load
        self.logger = logger
        state = Mutex(State(value: try load(), stamps: stamps))
    }

    public var value: Value { state.withLock { $0.value } }

    /// What is wrong with the files as they are now; nil when `value` is made of them.
    public var failure: String? { state.withLock { $0.failure } }

    /// Looks at the files once, and reads them if they changed.
    public func refresh() {
        let stamps = files.map { FileStamp($0.path) }
        guard state.withLock({ $0.stamps != stamps }) else { return }
        let loaded: Result<Value, CredentialsError>
        do throws(CredentialsError) { loaded = .success(try load()) } catch { loaded = .failure(error) }
        state.withLock { state in
            state.stamps = stamps
            switch loaded {
            case .success(let value):
                state.value = value
                state.failure = nil
            case .failure(let error):
                state.failure = error.message
            }
        }
        let settings = files.map(\.setting).joined(separator: ", ")
        switch loaded {
        case .success: logger.notice("credentials read again: \(settings)")
        case .failure(let error): logger.error("the last good \(settings) stay in use: \(error)")
        }
    }

    /// Looks at the files every so often, until the task is cancelled.
    public func run(every interval: Duration = .seconds(2), clock: some Clock<Duration> = ContinuousClock()) async {
        while (try? await clock.sleep(for: interval)) != nil { refresh() }
    }
}
