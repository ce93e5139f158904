/// Who has the claim on a job that came as a file of the queue. Others on the same directory take it over from a server
/// that shows no sign of life; the job stays open here until it is known how it ended there.
public enum TaskClaim: Int32, Sendable, Hashable {
    /// This server, or there is none, as the job came by another road.
    case here = 0
    /// Another one, or nobody any more: nothing of the job starts here, and what runs of it is ended and does not count.
    /// Of a job that has ended: it ended there, if anywhere, and its done file is the other's.
    case elsewhere = 1
    /// This server again, while an attempt from before is still to be ended, which does not count.
    case returned = 2
}
