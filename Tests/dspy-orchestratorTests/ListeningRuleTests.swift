import Programs
import Testing

@testable import dspy_orchestrator

@Suite struct ListeningRuleTests {
    private static let beyond = ["0.0.0.0", "::", "10.0.0.1", "gpu-box"].map { ListenAddress(host: $0, port: 1) }
    private static let local = ["127.0.0.1", "127.9.9.9", "::1", "localhost"].map { ListenAddress(host: $0, port: 1) }
    private static let both = [true, false]

    private func objection(
        _ address: ListenAddress, encrypted: Bool, known: Bool, insecure: Bool = false
    ) -> String? {
        ListeningRule(isEncrypted: encrypted, knowsCallers: known, isInsecure: insecure)
            .objection(flag: "--rpc-listen", address: address)
    }

    @Test(arguments: both, both) func `on this machine everything goes`(encrypted: Bool, known: Bool) {
        for address in Self.local { #expect(objection(address, encrypted: encrypted, known: known) == nil) }
    }

    @Test(arguments: both, both) func `the word opens everything`(encrypted: Bool, known: Bool) {
        for address in Self.beyond {
            #expect(objection(address, encrypted: encrypted, known: known, insecure: true) == nil)
        }
    }

    @Test func `beyond this machine it takes encryption and callers that are known`() {
        for address in Self.beyond { #expect(objection(address, encrypted: true, known: true) == nil) }
    }

    @Test(arguments: [
        (true, false, ["--auth-tokens", "--tls-client-ca"]),
        (false, true, ["--tls-certificate", "--tls-key", "readable"]),
        (false, false, ["--tls-certificate", "--tls-key", "--auth-tokens"]),
    ])
    func `what is missing is named, and the ways out`(encrypted: Bool, known: Bool, words: [String]) throws {
        for address in Self.beyond {
            let message = try #require(objection(address, encrypted: encrypted, known: known))
            for word in words + ["--rpc-listen", address.text, "127.0.0.1", "--insecure true"] {
                #expect(message.contains(word), "\(message)")
            }
        }
    }
}
