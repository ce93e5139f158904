import Foundation
import HTTPTypes
import Hummingbird
import NIOCore

extension GatewayRoutes {
    /// `GET /`: the page that a person leaves open. It holds nothing of this server's: what it shows, it asks for with the
    /// rights of whoever opened it.
    @Sendable func statusPage(_ request: Request, _ context: GatewayContext) async throws -> Response {
        let nonce = StatusPage.nonce()
        return Response(
            status: .ok,
            headers: [
                .contentType: "text/html; charset=utf-8", .cacheControl: "no-store", .xContentTypeOptions: "nosniff",
                .contentSecurityPolicy: StatusPage.policy(nonce: nonce), .referrerPolicy: "no-referrer",
            ], body: ResponseBody(byteBuffer: ByteBuffer(string: StatusPage.html(nonce: nonce))))
    }
}

/// `Resources/status.html`, built into the program.
enum StatusPage {
    private static let template = String(decoding: PackageResources.status_html, as: UTF8.self)

    /// Where the page marks its script and its style as its own.
    static func html(nonce: String) -> String { template.replacing("{{nonce}}", with: nonce) }

    /// Nothing but the page's own script and style, and this server's answers: what a job or an agent wrote can't run here.
    static func policy(nonce: String) -> String {
        "default-src 'none'; script-src 'nonce-\(nonce)'; style-src 'nonce-\(nonce)'; connect-src 'self'; img-src data:; "
            + "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    }

    /// 128 bits from the system's generator.
    static func nonce() -> String {
        Data((0..<16).map { _ in UInt8.random(in: .min ... .max) }).base64EncodedString()
    }
}

extension HTTPField.Name {
    static let referrerPolicy = HTTPField.Name("Referrer-Policy") ?? .cacheControl
}
