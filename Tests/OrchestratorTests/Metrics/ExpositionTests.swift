import Testing

@testable import Orchestrator

@Suite struct ExpositionTests {
    private let histogram = MetricFamily(
        name: "wait_seconds", help: "Waiting.", kind: .histogram,
        samples: [
            MetricSample(
                labels: [MetricLabel("class", "gpu")],
                value: .histogram(HistogramSnapshot(bounds: [0.5, 1], counts: [2, 1, 4], sum: 12.25)))
        ])

    @Test func `a histogram's buckets are cumulative and end at +Inf with the count`() {
        #expect(
            Exposition.render([histogram], as: .prometheusText) == """
                # HELP wait_seconds Waiting.
                # TYPE wait_seconds histogram
                wait_seconds_bucket{class="gpu",le="0.5"} 2
                wait_seconds_bucket{class="gpu",le="1"} 3
                wait_seconds_bucket{class="gpu",le="+Inf"} 7
                wait_seconds_sum{class="gpu"} 12.25
                wait_seconds_count{class="gpu"} 7

                """)
    }

    @Test func `OpenMetrics writes canonical bounds and ends with EOF`() {
        let text = Exposition.render([histogram], as: .openMetrics)
        #expect(text.contains("le=\"1.0\"} 3\n"))
        #expect(text.contains("le=\"+Inf\"} 7\n"))
        #expect(text.hasSuffix("wait_seconds_count{class=\"gpu\"} 7\n# EOF\n"))
    }

    @Test func `a counter's family loses its suffix in OpenMetrics only, and its samples never do`() {
        let family = MetricFamily(name: "jobs_total", help: "Jobs.", kind: .counter, value: 3)
        #expect(
            Exposition.render([family], as: .prometheusText)
                == "# HELP jobs_total Jobs.\n# TYPE jobs_total counter\njobs_total 3\n")
        #expect(
            Exposition.render([family], as: .openMetrics)
                == "# TYPE jobs counter\n# HELP jobs Jobs.\njobs_total 3\n# EOF\n")
    }

    @Test func `label values and help are escaped as each format asks`() {
        let family = MetricFamily(
            name: "odd", help: "a \\ and \"b\"\nc", kind: .gauge,
            samples: [MetricSample(labels: [MetricLabel("path", "C:\\x \"y\"\nz é")], value: .number(1))])
        let text = Exposition.render([family], as: .prometheusText)
        #expect(text.contains("# HELP odd a \\\\ and \"b\"\\nc\n"))
        #expect(text.contains("odd{path=\"C:\\\\x \\\"y\\\"\\nz é\"} 1\n"))
        #expect(Exposition.render([family], as: .openMetrics).contains("# HELP odd a \\\\ and \\\"b\\\"\\nc\n"))
    }

    @Test(arguments: [
        (0.0, "0"), (-3, "-3"), (0.25, "0.25"), (1e300, "1e+300"), (.infinity, "+Inf"), (-.infinity, "-Inf"),
        (.nan, "NaN"), (1_700_000_000.5, "1700000000.5"),
    ])
    func `numbers are written so that a parser reads the same one`(value: Double, text: String) {
        #expect(Exposition.number(value) == text)
    }

    @Test(arguments: [
        (nil, ExpositionFormat.prometheusText),
        ("", .prometheusText),
        ("*/*", .prometheusText),
        ("text/html,*/*;q=0.8", .prometheusText),
        ("application/openmetrics-text", .openMetrics),
        // Prometheus 2 and 3.
        (
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            .openMetrics
        ),
        (
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;version=0.0.4;q=0.3",
            .openMetrics
        ),
        ("text/plain, application/openmetrics-text;q=0.1", .prometheusText),
        ("application/openmetrics-text;q=0", .prometheusText),
        ("application/openmetrics-text; version=2.0.0", .prometheusText),
        (";;,=,;q=", .prometheusText),
    ])
    func `the Accept header chooses the format`(accept: String?, format: ExpositionFormat) {
        #expect(ExpositionFormat.negotiated(accept: accept) == format)
    }
}
