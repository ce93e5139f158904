import Hummingbird
import Orchestrator

/// What the status page shows besides jobs and events.
public struct Overview: Sendable {
    var lastSequence: UInt64
    var totals: [JobState: Int]
    var classes: [ClassStats]
    var steps: [RecentActivity.Step]
    /// When the last step ends.
    var end: Timestamp

    public init(
        lastSequence: UInt64, totals: [JobState: Int], classes: [ClassStats],
        activity: (steps: [RecentActivity.Step], end: Timestamp)
    ) {
        self.lastSequence = lastSequence
        self.totals = totals
        self.classes = classes
        steps = activity.steps
        end = activity.end
    }
}

extension GatewayRoutes {
    /// `GET /v1/overview`: queue, classes and the last minutes, in one small answer.
    @Sendable func overview(_ request: Request, _ context: GatewayContext) async throws -> Response {
        let overview = dependencies.overview()
        let checks = await dependencies.health()
        return .json { json in
            json.object { json in
                json.key("version")
                json.string(dependencies.version)
                json.key("uptime_seconds")
                json.number(dependencies.uptime().inSeconds)
                json.key("draining")
                json.bool(dependencies.isDraining())
                json.key("time")
                json.string(Timestamp.now().rfc3339)
                json.key("last_sequence")
                json.integer(overview.lastSequence)
                json.key("problems")
                json.array { json in
                    for check in checks where !check.isHealthy { json.string("\(check.name): \(check.detail)") }
                }
                json.key("totals")
                json.object { json in
                    for state in JobState.allCases {
                        json.key(state.word)
                        json.integer(overview.totals[state] ?? 0)
                    }
                }
                json.key("classes")
                json.array { json in
                    for stats in overview.classes { json.stats(stats) }
                }
                json.key("activity")
                json.object { $0.activity(overview) }
            }
        }
    }
}

extension JSONWriter {
    fileprivate mutating func stats(_ stats: ClassStats) {
        object { json in
            json.key("class")
            json.string(stats.jobClass.word)
            for (name, number) in [
                ("queued", stats.queueDepth), ("running", stats.inflight), ("limit", stats.concurrencyLimit),
                ("submitted", stats.submitted), ("succeeded", stats.succeeded), ("failed", stats.failed),
                ("cancelled", stats.cancelled),
            ] {
                json.key(name)
                json.integer(number)
            }
            for (name, seconds) in [
                ("p50_seconds", stats.p50Seconds), ("p95_seconds", stats.p95Seconds),
                ("p99_seconds", stats.p99Seconds),
            ] {
                json.key(name)
                json.number(seconds)
            }
        }
    }

    fileprivate mutating func activity(_ overview: Overview) {
        key("step_seconds")
        integer(RecentActivity.stepSeconds)
        key("end")
        string(overview.end.rfc3339)
        for (name, value) in [
            ("submitted", \RecentActivity.Step.submitted), ("succeeded", \.succeeded), ("failed", \.failed),
            ("cancelled", \.cancelled),
        ] {
            key(name)
            array { json in
                for step in overview.steps { json.integer(step[keyPath: value]) }
            }
        }
        key("p95_seconds")
        array { json in
            for step in overview.steps {
                if let seconds = step.p95Seconds { json.number(seconds) } else { json.null() }
            }
        }
    }
}
