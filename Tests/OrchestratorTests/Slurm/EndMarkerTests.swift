import Testing

@testable import Orchestrator

@Suite struct EndMarkerTests {
    private static let whole = """
        slurm_job_id=12
        restarts=1
        node=n1
        nodes=n[1-2]
        started_ns=1795468208316185188
        exit_code=0
        finished_ns=1795468209000000000
        terminated=0
        end=1

        """

    @Test func `a whole marker is read`() throws {
        let marker = try #require(EndMarker(parsing: Array(Self.whole.utf8)))
        #expect(marker.end == .exited(code: 0) && marker.slurmJobID == "12" && marker.restarts == 1)
        #expect(marker.startedAt == Timestamp(nanoseconds: 1_795_468_208_316_185_188))
        #expect(marker.isConclusive)
    }

    @Test func `half a marker is none`() {
        let lines = Self.whole.split(separator: "\n")
        for count in 0..<lines.count {
            let part = lines.prefix(count).joined(separator: "\n")
            #expect(EndMarker(parsing: Array(part.utf8)) == nil, "\(part)")
        }
    }

    @Test func `Slurm's notice in the output shows who ended the command`() {
        let notice =
            "slurmstepd-n1: error: *** JOB 12 ON n1 CANCELLED AT 2026-11-23T21:10:35 DUE TO TIME LIMIT ***\nTerminated\n"
        #expect(EndMarker.isNotice(Array(notice.utf8), slurmJobID: "12"))
        #expect(!EndMarker.isNotice(Array(notice.utf8), slurmJobID: "1"))
        #expect(!EndMarker.isNotice(Array("Terminated\n".utf8), slurmJobID: "12"))
    }
}
