import Orchestrator
import Protocol

/// What the ledger keeps encoded for us: an event as it stands in a stream's DATA frames, and a job as the whole answer
/// of GetStatus. Each is made once, however many read it.
public enum WireImages {
    public static let encoders = Ledger.Encoders(
        event: { Wire.Event($0).framed() },
        job: { Wire.GetStatusResponse(job: Wire.Job($0)).framed() })
}
