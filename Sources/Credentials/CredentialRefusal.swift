/// Why a caller was refused. The raw values are the words of metrics' `reason` label.
public enum CredentialRefusal: String, Sendable, CaseIterable {
    /// Neither a token nor a certificate.
    case missing
    /// An `authorization` that is not `Bearer TOKEN`.
    case malformed
    case unknownToken = "unknown_token"
    /// Verified by TLS, without a line in the token file.
    case unknownCertificate = "unknown_certificate"
    /// Known, but without the role.
    case roleMissing = "role_missing"
}
