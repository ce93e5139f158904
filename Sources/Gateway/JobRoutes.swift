import Foundation
import HTTPTypes
import Hummingbird
import Orchestrator

extension GatewayRoutes {
    /// `GET /v1/jobs/{id}`: one job, whole.
    @Sendable func job(_ request: Request, _ context: GatewayContext) async throws -> Response {
        let job = try await dependencies.job(id(context))
        return .json { $0.job(job) }
    }

    /// `GET /v1/jobs`: newest first, in pages, without payload and result.
    @Sendable func jobs(_ request: Request, _ context: GatewayContext) async throws -> Response {
        let page = try await dependencies.list(try JobFilter.query(request.uri.queryParameters))
        return .json { json in
            json.object { json in
                json.key("jobs")
                json.array { json in
                    for job in page.jobs { json.job(job, withContent: false) }
                }
                json.key("next_page_token")
                json.string(page.nextPageToken)
            }
        }
    }

    func id(_ context: GatewayContext) -> String {
        let raw = context.parameters.get("id") ?? ""
        return raw.removingPercentEncoding ?? raw
    }
}
