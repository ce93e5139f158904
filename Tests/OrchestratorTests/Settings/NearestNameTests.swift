import Testing

@testable import Orchestrator

@Suite struct NearestNameTests {
    @Test(arguments: [
        ("rpc_listn", "rpc_listen"), ("rpc_lisetn", "rpc_listen"), ("http_listen", "http_listen"),
        ("limit", "limits"), ("Limits", "limits"),
    ])
    func `a slip of the finger finds the name`(written: String, meant: String) {
        #expect(NearestName.of(written, in: ["limits", "rpc_listen", "http_listen"]) == meant)
    }

    @Test(arguments: ["colour", "", "x"])
    func `what is nothing like a name finds none`(written: String) {
        #expect(NearestName.of(written, in: ["limits", "rpc_listen"]) == nil)
    }
}
