import Glibc

/// A directory the server keeps files in: made when absent, and known to be writable before anything relies on it.
public enum UsableDirectory {
    /// - Parameters:
    ///   - setting: what the user set it with, for the message.
    ///   - isPrivate: made for this user only, for what holds payloads.
    /// - Throws: `failedPrecondition` that names the setting, the path, and why.
    public static func require(
        _ path: String, setting: String, isPrivate: Bool = false
    ) throws(OrchestratorError) {
        let why: String
        do {
            try WholeFile.makeDirectories(path, mode: isPrivate ? 0o700 : 0o755)
            if access(path, R_OK | W_OK | X_OK) == 0 { return }
            why = SystemError("access", path).description
        } catch {
            why = error.description
        }
        throw OrchestratorError(
            .failedPrecondition,
            "\(setting): can't keep files in \(path) (\(why)); choose a directory that this user may write to")
    }
}
