import Foundation

/// Why credentials can't be used. One line: the setting, the file, what is wrong, and what to do.
public struct CredentialsError: Error, Sendable, Equatable, CustomStringConvertible {
    public var message: String
    public var description: String { message }

    public init(_ message: String) { self.message = message }
}

/// A file of certificates, a key or tokens, and the setting that names it.
public struct CredentialFile: Sendable, Equatable {
    public var path: String
    /// For messages: `--tls-key`.
    public var setting: String

    /// Far beyond any chain of certificates or list of tokens; what is larger is the wrong file.
    static let maxBytes = 4 << 20

    public init(_ path: String, setting: String) {
        self.path = path
        self.setting = setting
    }

    func error(_ problem: String) -> CredentialsError { CredentialsError("\(setting): \(path) \(problem)") }

    func read() throws(CredentialsError) -> [UInt8] {
        let bytes: Data
        do {
            let attributes = try FileManager.default.attributesOfItem(
                atPath: URL(fileURLWithPath: path).resolvingSymlinksInPath().path)
            // A pipe would hold the server up until somebody writes to it.
            guard attributes[.type] as? FileAttributeType == .typeRegular else {
                throw error("is no file: name a file that the server may read")
            }
            bytes = try Data(contentsOf: URL(fileURLWithPath: path))
        } catch let known as CredentialsError {
            throw known
        } catch {
            throw self.error("can't be read (\(Self.reason(error))): name a file that the server may read")
        }
        guard bytes.count <= Self.maxBytes else {
            throw error("has \(bytes.count) bytes, more than \(Self.maxBytes): it is hardly the file that is meant")
        }
        return Array(bytes)
    }

    /// Foundation's own texts repeat the path and speak of folders.
    private static func reason(_ error: any Error) -> String {
        switch (error as? CocoaError)?.code {
        case .fileReadNoSuchFile, .fileNoSuchFile: "there is no such file"
        case .fileReadNoPermission: "no permission"
        default: "\(error)"
        }
    }
}
