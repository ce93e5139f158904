import Testing

@testable import RPCServer

@Suite struct TraceParentTests {
    private static let trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    private static let known = "00-\(trace)-00f067aa0ba902b7-01"

    @Test func `a traceparent is kept as it is`() {
        #expect(TraceParent.checked(Self.known) == Self.known)
        #expect(TraceParent.traceID(Self.known) == Self.trace)
    }

    @Test(arguments: [known.replacing("00-4", with: "cc-4"), known.replacing("00-4", with: "cc-4") + "-what-comes"])
    func `of a later version the known part is handed on`(text: String) {
        #expect(TraceParent.checked(text) == Self.known)
    }

    @Test(arguments: [
        "", "00-abc", known + "-more", known + " ", String(known.dropLast()), known.uppercased(),
        known.replacing(trace, with: String(repeating: "0", count: 32)),
        known.replacing("00f067aa0ba902b7", with: "0000000000000000"), "ff" + known.dropFirst(2),
        "cc" + known.dropFirst(2) + "x", known.replacing("-", with: "_"), known.replacing("4bf", with: "é"),
    ])
    func `what is none is ignored`(text: String) {
        #expect(TraceParent.checked(text) == nil)
    }
}
