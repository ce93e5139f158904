/// What a status carries for programs beside its words for people (`google/rpc/error_details.proto`), at most one of each
/// kind. `Documentation/errors.md` lists the reasons.
extension Status {
    /// In which an `ErrorInfo`'s reasons are unique.
    public static let errorDomain = "dspy-orchestrator"

    /// Bytes of a value in `ErrorInfo` and of a name in `ResourceInfo`: they may be the caller's own, and all trailers
    /// together should stay below what clients take.
    private static let longestValue = 256

    /// INVALID_ARGUMENT with a `google.rpc.BadRequest` that names the field.
    public static func badRequest(field: String, _ message: String) -> Status {
        let violation = Wire.BadRequest.FieldViolation(field: field, description: message)
        return Status(.invalidArgument, message)
            .attaching("google.rpc.BadRequest", Wire.BadRequest(fieldViolations: [violation]))
            .because("INVALID_FIELD", ["field": field])
    }

    /// The same status with a `google.rpc.ErrorInfo`.
    /// - Parameters:
    ///   - reason: a constant word in capitals.
    ///   - metadata: values that belong to it, by names in lower case.
    public func because(_ reason: String, _ metadata: [String: String] = [:]) -> Status {
        attaching(
            "google.rpc.ErrorInfo",
            Wire.ErrorInfo(
                reason: reason, domain: Self.errorDomain, metadata: metadata.mapValues { Self.short($0) }))
    }

    /// The same status with a `google.rpc.ResourceInfo`: what was looked for, or is there already.
    /// - Parameter type: a message's full name where there is one.
    public func about(_ type: String, _ name: String) -> Status {
        attaching(
            "google.rpc.ResourceInfo",
            Wire.ResourceInfo(resourceType: type, resourceName: Self.short(name), description: Self.short(message)))
    }

    /// The same status with a `google.rpc.RetryInfo`: when the caller may try again.
    public func retrying(after delay: Duration) -> Status {
        attaching("google.rpc.RetryInfo", Wire.RetryInfo(retryDelay: Wire.Duration(delay)))
    }

    private func attaching(_ type: String, _ detail: some WireMessage) -> Status {
        let any = Wire.AnyMessage(typeUrl: "type.googleapis.com/\(type)", value: detail.encoded())
        var copy = self
        if details.isEmpty { copy.details = Wire.Status(code: Int32(code.rawValue), message: message).encoded() }
        // Two encoded messages after each other are their merger, and lists append.
        copy.details += Wire.Status(details: [any]).encoded()
        return copy
    }

    private static func short(_ value: String) -> String {
        value.utf8.count <= longestValue ? value : String(decoding: value.utf8.prefix(longestValue), as: UTF8.self)
    }
}
