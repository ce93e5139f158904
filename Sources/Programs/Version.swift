/// The programs' version, as `--version`, `/health` and GetMetrics tell it.
package enum Version {
    package static let current = "0.1.0"
}
