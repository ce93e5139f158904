import Protocol

/// `grpc.reflection.v1.ServerReflection`, and v1alpha for clients that know no other: what the server offers, told to
/// tools that have no .proto.
public struct Reflection: Sendable {
    public static let serviceNames = [
        "grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection",
    ]

    private let index: DescriptorIndex
    private let services: [String]

    /// - Parameters:
    ///   - services: full names of what the server offers; reflection itself is added.
    ///   - files: those that declare the services, with all they import.
    public init(services: [String], files: [DescriptorFile]) {
        self.services = (services + Self.serviceNames).sorted()
        index = DescriptorIndex(files)
    }

    public var methods: [RPCMethod] {
        Self.serviceNames.map { name in
            .streaming("/\(name)/ServerReflectionInfo") {
                (
                    requests: RequestStream<Wire.ServerReflectionRequest>,
                    responses: ResponseStream<Wire.ServerReflectionResponse>, context
                ) in
                for try await request in requests.endingAtDrain() { try await responses.send(answer(request)) }
                if context.drain.hasBegun {
                    throw Status(.unavailable, "the server is going away, or this connection is too old; ask again")
                        .because("SERVER_STOPPING")
                }
            }
        }
    }

    /// A question that has no answer is answered with an error of its own, for the stream goes on.
    func answer(_ request: Wire.ServerReflectionRequest) -> Wire.ServerReflectionResponse {
        var response = Wire.ServerReflectionResponse(validHost: request.host, originalRequest: request)
        if let name = request.fileByFilename {
            response.answer(index.closure(ofFile: name), orNotFound: "no file \"\(name)\" is known here")
        } else if let symbol = request.fileContainingSymbol {
            response.answer(
                index.closure(ofSymbol: symbol),
                orNotFound: "no file here declares \"\(symbol)\"; list_services has the services")
        } else if let wanted = request.fileContainingExtension {
            // The messages are proto3, which has no extensions but of options.
            response.answer(
                nil,
                orNotFound: "\"\(wanted.containingType)\" has no extension \(wanted.extensionNumber) that is known here"
            )
        } else if let type = request.allExtensionNumbersOfType {
            if index.declares(type) {
                response.allExtensionNumbersResponse = Wire.ExtensionNumberResponse(baseTypeName: type)
            } else {
                response.fail(.notFound, "no file here declares \"\(type)\"")
            }
        } else if request.listServices != nil {
            response.listServicesResponse = Wire.ListServiceResponse(
                service: services.map { Wire.ServiceResponse(name: $0) })
        } else {
            response.fail(.invalidArgument, "message_request: empty; set one of its fields")
        }
        return response
    }
}

extension Wire.ServerReflectionResponse {
    fileprivate mutating func answer(_ files: [[UInt8]]?, orNotFound message: String) {
        guard let files else { return fail(.notFound, message) }
        fileDescriptorResponse = Wire.FileDescriptorResponse(fileDescriptorProto: files)
    }

    fileprivate mutating func fail(_ code: StatusCode, _ message: String) {
        errorResponse = Wire.ErrorResponse(errorCode: Int32(code.rawValue), errorMessage: message)
    }
}
