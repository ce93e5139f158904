from __future__ import annotations

import functools
import math
from collections import defaultdict
from pathlib import Path

import grpc
import pytest
from eventually import eventually
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text
from refusals import refused
from server import Server

from dspy_orchestrator import Client
from dspy_orchestrator.v1 import orchestrator_pb2 as pb

OPENMETRICS = "application/openmetrics-text; version=1.0.0"

PROMISED = {
    "env_queue_depth",
    "orchestrator_concurrency_limit",
    "orchestrator_inflight_tasks",
    "events_published_total",
    "grpc_server_started_total",
    "grpc_server_handled_total",
    "grpc_server_msg_received_total",
    "grpc_server_msg_sent_total",
    "grpc_server_handling_seconds_count",
}


def run_some(client: Client) -> None:
    for command in (["true"], ["false"]):
        client.wait(client.submit(command).job_id, timeout=60)


def samples(families: object) -> list[tuple[str, frozenset[tuple[str, str]], float]]:
    return [
        (sample.name, frozenset(sample.labels.items()), sample.value)
        for family in families  # type: ignore[attr-defined]
        for sample in family.samples
    ]


def assert_sound(found: list[tuple[str, frozenset[tuple[str, str]], float]]) -> None:
    """What no parser checks: no series twice, buckets cumulative and closed by +Inf, which is the count."""
    series = [(name, labels) for name, labels, _ in found]
    assert len(series) == len(set(series))
    buckets: defaultdict[tuple[str, frozenset[tuple[str, str]]], list[tuple[float, float]]] = defaultdict(list)
    counts = {(name.removesuffix("_count"), labels): value for name, labels, value in found if name.endswith("_count")}
    for name, labels, value in found:
        if name.endswith("_bucket"):
            bound = float(dict(labels)["le"])
            key = (name.removesuffix("_bucket"), frozenset(pair for pair in labels if pair[0] != "le"))
            buckets[key].append((bound, value))
    assert buckets
    for key, steps in buckets.items():
        steps.sort()
        assert [value for _, value in steps] == sorted(value for _, value in steps), key
        assert steps[-1] == (math.inf, counts[key]), key


def test_the_text_format_is_sound(server: Server, client: Client) -> None:
    run_some(client)
    answer = server.request("/metrics")
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    found = samples(parse_text(answer.text))
    assert_sound(found)
    assert {name for name, _, _ in found} >= PROMISED


def test_openmetrics_is_sound_when_asked_for(server: Server, client: Client) -> None:
    run_some(client)
    answer = server.request("/metrics", Accept=OPENMETRICS)
    assert answer.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert answer.text.endswith("# EOF\n")
    found = samples(parse_openmetrics(answer.text))
    assert_sound(found)
    assert {name for name, _, _ in found} >= PROMISED


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("*/*", "text/plain"),
        ("text/html", "text/plain"),
        (f"{OPENMETRICS};q=0.9,text/plain;version=0.0.4;q=0.5", "application/openmetrics-text"),
        (f"{OPENMETRICS};q=0.1,text/plain;version=0.0.4;q=0.5", "text/plain"),
    ],
)
def test_the_accept_header_decides_the_format(server: Server, accept: str, expected: str) -> None:
    assert server.request("/metrics", Accept=accept).headers["content-type"].startswith(expected)


def value(server: Server, name: str, **labels: str) -> float:
    found = samples(parse_text(server.request("/metrics").text))
    return sum(number for sample, of, number in found if sample == name and labels.items() <= dict(of).items())


def test_every_method_is_there_from_the_start_at_zero(server: Server) -> None:
    found = samples(parse_text(server.request("/metrics").text))
    methods = {dict(labels).get("grpc_method") for name, labels, _ in found if name == "grpc_server_started_total"}
    assert methods >= {"SubmitJob", "GetStatus", "StreamEvents", "GetMetrics", "CancelJob"}


def test_calls_are_counted_by_method_and_code(server: Server) -> None:
    stub = server.stub()
    for _ in range(3):
        refused(lambda: stub.GetStatus(pb.GetStatusRequest(job_id="none"), timeout=10))
    assert value(server, "grpc_server_handled_total", grpc_method="GetStatus", grpc_code="NotFound") == 3
    assert value(server, "grpc_server_started_total", grpc_method="GetStatus") == 3


def test_unknown_methods_make_no_series_of_their_own(server: Server) -> None:
    channel = server.channel()
    for number in range(20):
        path = f"/dspy_orchestrator.v1.Orchestrator/Invented{number}"
        method = channel.unary_unary(path)
        error = refused(functools.partial(method, b"", timeout=10))
        assert error.code() is grpc.StatusCode.UNIMPLEMENTED
    assert "Invented" not in server.request("/metrics").text


def test_no_job_id_becomes_a_label(server: Server, client: Client) -> None:
    job = client.submit(["true"], labels={"secret-label": "secret-value"})
    client.wait(job.job_id, timeout=60)
    text = server.request("/metrics").text
    assert job.job_id not in text
    assert "secret" not in text


def test_the_rpc_tells_the_same_numbers(server: Server, client: Client) -> None:
    run_some(client)
    # Counted a moment after its end is told.
    eventually(lambda: client.metrics().classes["cpu_short"].failed == 1, "both counted")  # type: ignore[index]
    metrics = client.metrics()
    stats = metrics.classes["cpu_short"]  # type: ignore[index]
    assert (stats.submitted, stats.succeeded, stats.failed, stats.inflight, stats.queue_depth) == (2, 1, 1, 0, 0)
    assert stats.errors == {"exit_code": 1}
    assert 0 < stats.p50_seconds <= stats.p95_seconds <= stats.p99_seconds
    assert metrics.uptime_seconds > 0
    assert metrics.version == server.request("/health").json["version"]
    assert metrics.value("events_published_total") is not None
    assert sum(sample.value for sample in metrics.metrics if sample.name == "events_published_total") == value(
        server, "events_published_total"
    )


def test_metrics_can_be_turned_off(tmp_path: Path) -> None:
    quiet = Server(tmp_path, METRICS_ENABLED="false")
    try:
        quiet.start()
        assert quiet.request("/metrics").status == 404
        assert quiet.request("/health").status == 200
    finally:
        quiet.close()
