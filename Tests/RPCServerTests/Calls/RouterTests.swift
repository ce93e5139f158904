import Protocol
import Testing

@testable import RPCServer

struct RouterTests {
    private func router(_ paths: [String]) -> Router {
        Router(paths.map { path in .unary(path) { (request: Wire.LogChunk, _) in request } })
    }

    private func find(_ path: String, in router: Router) -> Int? {
        Array(path.utf8).withUnsafeBytes { router.find($0) }
    }

    @Test func `every method is found by its whole path`() {
        let paths =
            (0..<500).map { "/package.Service\($0 % 7)/Method\($0)" } + ["", "/", "/a/b", "/a/c", "/long.Name/b"]
        let router = router(paths)
        for (index, path) in paths.enumerated() { #expect(find(path, in: router) == index) }
    }

    @Test(arguments: [
        "/a/B", "/a/b/", "a/b", "/a/bb", "/x/b", "/a/%62", "/a/b?x=1", String(repeating: "/a/b", count: 999),
    ])
    func `nothing else is`(path: String) {
        #expect(find(path, in: router(["/a/b", "/service.Name/Method"])) == nil)
    }

    @Test func `a router of nothing finds nothing`() { #expect(find("/a/b", in: router([])) == nil) }

    @Test func `an unknown method is named, but not at any length`() {
        let status = Array("/a/\(String(repeating: "x", count: 9000))".utf8).withUnsafeBytes {
            router([]).unknownMethod($0)
        }
        #expect(status.code == .unimplemented)
        #expect(status.message.contains("/a/xxx"))
        #expect(status.message.utf8.count < 400)
    }
}
