"""/v1/events and /v1/jobs/{id}/logs of the real executable, by plain sockets."""

from __future__ import annotations

import json
import socket
import threading
import urllib.request
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from eventually import eventually
from jobs import occupy, shell
from server import Server
from sse import EventStream

from dspy_orchestrator import Client
from dspy_orchestrator.v1 import orchestrator_pb2 as pb


def submit_and_cancel(server: Server, count: int, prefix: str = "job") -> None:
    stub = server.stub()
    for start in range(0, count, 100):
        names = [f"{prefix}-{number}" for number in range(start, min(count, start + 100))]
        stub.SubmitJobs(
            pb.SubmitJobsRequest(
                jobs=[
                    pb.SubmitJobRequest(job_id=name, job_class=pb.JOB_CLASS_CPU_LONG, payload=b'{"command":["true"]}')
                    for name in names
                ]
            )
        )
        for call in [stub.CancelJob.future(pb.CancelJobRequest(job_id=name)) for name in names]:
            call.result()


def test_history_then_live_as_the_rpc_tells_it(server: Server, client: Client) -> None:
    client.submit(["true"], job_id="a", labels={"k": "v"})
    client.wait("a", timeout=60)
    stream = EventStream(server.http)
    assert stream.status == 200
    assert stream.headers["content-type"] == "text/event-stream"
    assert stream.headers["cache-control"] == "no-store"
    events = iter(stream)
    seen = list(islice(events, 3))
    assert stream.retry == [1000]
    client.submit(["true"], job_id="b")
    seen += islice(events, 3)
    stream.close()
    rpc = list(islice(client.events(timeout=30), 6))
    assert [(event["sequence"], event["type"], event["job_id"], event["source"]) for event in seen] == [
        (event.sequence, event.type, event.job_id, event.source) for event in rpc
    ]
    assert [event["data"] for event in seen] == [dict(event.data) for event in rpc]
    assert seen[2]["state"] == "succeeded"
    assert seen[2]["attempt"] == 1


def test_filters_and_the_end_when_done(server: Server, client: Client) -> None:
    for name in ("a", "b"):
        client.submit(["true"], job_id=name)
        client.wait(name, timeout=60)
    by_job = EventStream(server.http, "/v1/events?job_id=b&end_when_done=1")
    assert [event["type"] for event in by_job] == ["task_submitted", "task_started", "task_completed"]
    assert by_job.is_whole
    by_type = EventStream(server.http, "/v1/events?type=task_completed&job_id=a&job_id=b&end_when_done=true")
    assert [event["job_id"] for event in by_type] == ["a", "b"]
    # What a browser does next: it comes again, and is told that there is nothing more.
    again = EventStream(server.http, "/v1/events?job_id=b&end_when_done=1", Last_Event_ID=by_job.last_id)
    assert again.status == 204
    later = EventStream(server.http, "/v1/events?from_now=1")
    events = iter(later)
    threading.Timer(0.2, lambda: client.submit(["true"], job_id="c")).start()
    assert next(events)["job_id"] == "c"
    later.close()


@pytest.mark.parametrize(
    ("path", "headers", "word"),
    [
        ("?after_sequence=x", {}, "after_sequence"),
        ("?after_sequence=1000000", {}, "1000000"),
        ("?end_when_done=1", {}, "job_ids"),
        ("?from_now=1&after_sequence=1", {}, "from_now"),
        ("?from_now=perhaps", {}, "perhaps"),
        ("?colour=red", {}, "colour"),
        ("", {"Last_Event_ID": "abc"}, "Last-Event-ID"),
    ],
)
def test_what_makes_no_sense_is_refused(server: Server, path: str, headers: dict[str, Any], word: str) -> None:
    stream = EventStream(server.http, f"/v1/events{path}", **headers)
    assert stream.status == 400
    answer = json.loads(stream.read())
    assert answer["ok"] is False
    assert word in answer["error"]


def test_a_client_that_comes_again_misses_and_repeats_nothing_over_restarts(server: Server, client: Client) -> None:
    """Cut off in the middle, then over a stop, then over a kill: one gapless sequence."""
    seen: list[int] = []
    last = ""

    def take(count: int | None) -> EventStream:
        nonlocal last
        # The address is what it was the first time: the header goes before it.
        headers: dict[str, Any] = {"Last_Event_ID": last} if last else {}
        stream = EventStream(server.http, "/v1/events?after_sequence=0", **headers)
        for event in islice(stream, count):
            seen.append(event["sequence"])
            last = stream.last_id
        return stream

    for number in range(20):
        client.submit(["true"], job_id=f"before-{number}")
    take(7).close()
    take(11).close()
    for number in range(20):
        client.wait(f"before-{number}", timeout=60)

    ended: list[EventStream] = []
    thread = threading.Thread(target=lambda: ended.append(take(None)), daemon=True)
    thread.start()
    eventually(lambda: len(seen) == 60, "all events so far")
    assert server.stop() == 0
    thread.join(30)
    assert ended
    assert ended[0].is_whole
    assert ended[0].retry == [1000, 1000]
    assert "stopping" in ended[0].comments[-1]

    server.start()
    client.submit(["true"], job_id="middle")
    take(3).close()
    server.kill()
    server.start()
    client.submit(["true"], job_id="after")
    take(3).close()
    assert seen == list(range(1, 67))


def test_a_quiet_stream_is_kept_alive_and_outlives_the_idle_limit(stopped_server: Server) -> None:
    # The heartbeat is 15 s; nobody waits for it here: the first bytes come before any event.
    server = stopped_server.start()
    stream = EventStream(server.http)
    assert stream.status == 200
    first = stream.file.readline()
    assert int(first, 16) > 0
    stream.close()


@pytest.mark.timeout(300)
def test_a_hundred_subscribers_see_everything(server: Server, client: Client) -> None:
    occupy(client)
    first = int(client.status("occupies-0").last_sequence)
    streams = [EventStream(server.http, f"/v1/events?after_sequence={first}", timeout=200) for _ in range(100)]
    assert {stream.status for stream in streams} == {200}
    seen: list[list[int]] = [[] for _ in streams]

    def read(index: int) -> None:
        for event in streams[index]:
            seen[index].append(event["sequence"])
            if event["job_id"] == "the-last":
                return

    threads = [threading.Thread(target=read, args=(index,), daemon=True) for index in range(100)]
    for thread in threads:
        thread.start()
    submit_and_cancel(server, 500)
    client.submit(["true"], job_id="the-last", job_class="cpu_long")
    for thread in threads:
        thread.join(200)
    whole = seen[0]
    assert len(whole) >= 1001
    assert whole == list(range(first + 1, first + 1 + len(whole)))
    assert all(each == whole for each in seen)
    assert "gateway_streams 100" in server.request("/metrics").text
    for stream in streams:
        stream.close()


@pytest.mark.timeout(300)
def test_a_subscriber_that_reads_nothing_costs_little_and_then_reads_all(server: Server, client: Client) -> None:
    occupy(client)
    first = int(client.status("occupies-0").last_sequence)
    slow = [EventStream(server.http, f"/v1/events?after_sequence={first}", timeout=120) for _ in range(20)]
    before = server.rss_bytes()
    submit_and_cancel(server, 5_000)
    client.submit(["true"], job_id="the-last", job_class="cpu_long")
    # A queue for each would be 20 times 10,000 events of more than 200 bytes.
    assert server.rss_bytes() - before < 60 << 20
    sequences = []
    for event in slow[7]:
        sequences.append(event["sequence"])
        if event["job_id"] == "the-last":
            break
    assert sequences == list(range(first + 1, first + 1 + len(sequences)))
    for stream in slow:
        stream.close()


def test_a_disconnected_subscriber_gives_its_place_back(server: Server, client: Client) -> None:
    streams = [EventStream(server.http) for _ in range(5)]

    def places() -> bool:
        # Finding out takes a write: each commit is one.
        client.submit(["true"])
        return "gateway_streams 0" in server.request("/metrics").text

    assert "gateway_streams 5" in server.request("/metrics").text
    for stream in streams:
        stream.socket.shutdown(socket.SHUT_RDWR)
        stream.close()
    eventually(places, "the places given back")


def test_output_is_read_as_text_from_an_offset_from_the_end_and_followed(
    server: Server, client: Client, tmp_path: Path
) -> None:
    client.submit(shell("printf 'one two three'; printf oh >&2"), job_id="a")
    client.wait("a", timeout=60)
    whole = server.request("/v1/jobs/a/logs")
    assert (whole.status, whole.text) == (200, "one two three")
    assert whole.headers["content-type"] == "text/plain; charset=utf-8"
    assert whole.headers["x-content-type-options"] == "nosniff"
    assert server.request("/v1/jobs/a/logs?stream=stderr").text == "oh"
    assert server.request("/v1/jobs/a/logs?offset=4&attempt=1").text == "two three"
    tail = server.request("/v1/jobs/a/logs?tail=5")
    assert (tail.text, tail.headers["x-log-offset"], tail.headers["x-log-attempt"]) == ("three", "8", "1")
    assert server.request("/v1/jobs/a/logs?tail=999").text == "one two three"

    gate = tmp_path / "gate"
    client.submit(shell(f"echo on; while [ ! -e {gate} ]; do sleep 0.02; done; echo off"), job_id="b")
    with urllib.request.urlopen(f"http://{server.http}/v1/jobs/b/logs?follow=1", timeout=30) as response:
        assert response.readline() == b"on\n"
        gate.touch()
        assert response.read() == b"off\n"


@pytest.mark.parametrize(
    ("path", "status", "word"),
    [
        ("/v1/jobs/nobody/logs", 404, "nobody"),
        ("/v1/jobs/a/logs?stream=both", 400, "stdout, stderr"),
        ("/v1/jobs/a/logs?offset=-1", 400, "offset"),
        ("/v1/jobs/a/logs?offset=1&tail=1", 400, "tail"),
        ("/v1/jobs/a/logs?offset=99", 400, "99"),
        ("/v1/jobs/a/logs?attempt=2", 404, "attempt 2"),
        ("/v1/jobs/a/logs?colour=red", 400, "colour"),
    ],
)
def test_output_that_cannot_be_read_is_refused_with_the_reason(
    server: Server, client: Client, path: str, status: int, word: str
) -> None:
    client.submit(["echo", "x"], job_id="a")
    client.wait("a", timeout=60)
    answer = server.request(path)
    assert answer.status == status
    assert word in answer.json["error"]


def test_jobs_are_filtered_by_when_they_came(server: Server, client: Client) -> None:
    first = client.submit(["true"], job_id="first")
    client.wait("first", timeout=60)
    client.submit(["true"], job_id="second")
    moment = server.request("/v1/jobs/first").json["submitted_at"]
    assert first.job_id == "first"

    def ids(query: str) -> list[str]:
        return [job["job_id"] for job in server.request(f"/v1/jobs?{query}").json["jobs"]]

    assert ids(f"submitted_after={moment}") == ["second"]
    assert ids(f"submitted_before={moment}") == []
    assert ids("submitted_after=2020-01-01T01:00:00%2B01:00") == ["second", "first"]
    assert server.request("/v1/jobs?submitted_after=yesterday").status == 400


def test_the_overview_has_what_the_page_needs(server: Server, client: Client) -> None:
    for name, command in (("good", "true"), ("bad", "false")):
        client.submit([command], job_id=name)
        client.wait(name, timeout=60)
    # Counted a moment after its end is told.
    eventually(lambda: sum(server.request("/v1/overview").json["activity"]["failed"]) == 1, "both counted")
    overview = server.request("/v1/overview").json
    assert overview["totals"]["succeeded"] == overview["totals"]["failed"] == 1
    activity = overview["activity"]
    assert sum(activity["succeeded"]) == sum(activity["failed"]) == 1
    assert len(activity["succeeded"]) * activity["step_seconds"] == 900
    assert any(value is not None for value in activity["p95_seconds"])
    short = next(each for each in overview["classes"] if each["class"] == "cpu_short")
    assert (short["submitted"], short["succeeded"], short["failed"]) == (2, 1, 1)
    assert overview["last_sequence"] == 6


def test_the_page_is_self_contained_and_may_run_nothing_else(server: Server) -> None:
    answer = server.request("/")
    assert answer.status == 200
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    nonce = policy.split("'nonce-")[1].split("'")[0]
    assert answer.text.count(f'nonce="{nonce}"') == 2
    assert server.request("/").headers["content-security-policy"] != policy
    for outside in ('src="http', 'href="http', "@import", "url(http"):
        assert outside not in answer.text
