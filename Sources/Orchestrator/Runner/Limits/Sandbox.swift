import Glibc

/// What commands that nobody trusts may touch: no new privileges, files below these paths only, a temporary directory of
/// their own, and by default no network. Held by the kernel (Landlock and seccomp), without privileges.
public struct Sandbox: Sendable, Equatable {
    /// May be read and executed. Default: everything this server may read.
    public var readable: [String]
    /// May be written, besides the attempt's own directory and the usual devices.
    public var writable: [String]
    /// Default false.
    public var allowsNetwork: Bool

    public init(readable: [String] = ["/"], writable: [String] = [], allowsNetwork: Bool = false) {
        self.readable = readable
        self.writable = writable
        self.allowsNetwork = allowsNetwork
    }

    /// Written to by programs that want nothing else.
    private static let devices = ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"]

    /// A GPU is used by writing to its device files.
    private static func gpuDevices() -> [String] {
        ((try? WholeFile.names(in: "/dev")) ?? []).filter { $0.hasPrefix("nvidia") || $0 == "kfd" || $0 == "dri" }
            .sorted().prefix(24).map { "/dev/\($0)" }
    }

    /// For the supervisor.
    func arguments(_ directory: AttemptDirectory, _ jobClass: JobClass) -> [String] {
        var own = [directory.work, directory.temporary, directory.result] + Self.devices
        if jobClass == .gpu { own += Self.gpuDevices() }
        return ["--sandbox"] + (allowsNetwork ? ["--network"] : [])
            + (readable + [directory.payload]).flatMap { ["--readable", $0] }
            + (writable + own).flatMap { ["--writable", $0] }
    }

    /// Asks the supervisor whether this machine's kernel can hold a sandbox.
    ///
    /// - Throws: `failedPrecondition` that says what is missing.
    static func check(supervisor: String) throws(OrchestratorError) {
        let why: String
        do throws(SystemError) {
            let answer = try ShortCommand.run([supervisor, "--check-sandbox"], timeout: .seconds(10))
            if answer.status == 0 { return }
            why = answer.errors
        } catch {
            why = error.description
        }
        throw OrchestratorError(
            .failedPrecondition,
            "the sandbox that the configuration asks for can't be held by this kernel: \(why.isEmpty ? "unknown" : why); "
                + "it needs Landlock (Linux 5.13 or later, with landlock among /sys/kernel/security/lsm) and seccomp; "
                + "set sandbox: none to run jobs without")
    }
}
