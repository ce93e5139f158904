import Programs

/// Whether the server may listen where it was told to. Whoever can reach a port can run commands, so beyond this machine
/// callers must be known and what they send encrypted, or the operator must have said in words that the network is
/// trusted.
struct ListeningRule {
    var isEncrypted: Bool
    /// Tokens, or certificates of clients.
    var knowsCallers: Bool
    var isInsecure: Bool

    /// What stands against it and the ways out, or nil.
    func objection(flag: String, address: ListenAddress) -> String? {
        if address.isLoopback || isInsecure || (isEncrypted && knowsCallers) { return nil }
        let (danger, remedy) =
            switch (isEncrypted, knowsCallers) {
            case (true, _):
                (
                    "and whoever reaches it can run commands here, encrypted or not",
                    "add --auth-tokens FILE or --tls-client-ca FILE"
                )
            case (false, true):
                ("and tokens would cross the network readable", "add --tls-certificate FILE and --tls-key FILE")
            case (false, false):
                (
                    "and whoever reaches it can run commands here",
                    "add --tls-certificate, --tls-key and --auth-tokens"
                )
            }
        return
            "\(flag): \(address.text) can be reached from other machines, \(danger); listen on 127.0.0.1, or \(remedy), "
            + "or add --insecure true if the network is trusted"
    }
}
