/// The server's version, as `--version`, `/health` and GetMetrics tell it.
enum Version {
    static let current = "0.1.0"
}
