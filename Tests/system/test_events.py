from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

import grpc
import pytest
from eventually import eventually
from jobs import TERMINAL, assert_each_ended_once, assert_gapless, history
from proxy import Proxy
from refusals import refused
from server import Server

from dspy_orchestrator import Client, Event
from dspy_orchestrator.v1 import orchestrator_pb2 as pb


@pytest.fixture
def proxy(server: Server) -> Iterator[Proxy]:
    made = Proxy(server.rpc)
    yield made
    made.close()


def test_a_thousand_jobs_from_sixteen_threads_all_end_exactly_once(server: Server, client: Client) -> None:
    with ThreadPoolExecutor(16) as pool:
        jobs = list(pool.map(lambda number: client.submit(["true"], job_id=f"job-{number}"), range(1000)))
    job_ids = [job.job_id for job in jobs]
    last: dict[str, Event] = {}
    seen: list[Event] = []
    with client.events(timeout=150) as events:
        for event in events:
            seen.append(event)
            if event.type in TERMINAL:
                last[event.job_id] = event
            if len(last) == len(jobs):
                break
    assert_gapless(seen)
    assert_each_ended_once(seen, job_ids)
    assert {event.type for event in last.values()} == {"task_completed"}
    assert len(seen) == 3 * len(jobs)
    assert {client.status(job_id).state.value for job_id in job_ids} == {"succeeded"}


def test_a_subscriber_cut_off_in_the_middle_sees_every_sequence_exactly_once(
    server: Server, client: Client, proxy: Proxy
) -> None:
    count = 150
    seen: list[Event] = []
    with Client(proxy.address) as subscriber, subscriber.events(timeout=120) as events:

        def submit() -> None:
            for _ in range(count):
                client.submit(["true"])

        threading.Thread(target=submit, daemon=True).start()
        for event in islice(events, 3 * count):
            seen.append(event)
            if len(seen) in (5, 40, 41, 200, 333):
                proxy.cut()
    assert_gapless(seen)
    assert proxy.connections >= 4
    assert seen == history(client, len(seen))


def test_a_subscriber_outlives_a_restart_of_the_server(server: Server, client: Client) -> None:
    seen: list[Event] = []
    enough = threading.Event()

    def follow() -> None:
        with client.events(timeout=120) as events:
            for event in events:
                seen.append(event)
                if event.job_id == "after" and event.type in TERMINAL:
                    break
        enough.set()

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    client.submit(["true"], job_id="before")
    client.wait("before", timeout=60)
    eventually(lambda: len(seen) >= 3, "the first job's events")
    assert server.stop() == 0
    server.start()
    client.submit(["true"], job_id="after")
    assert enough.wait(60)
    assert_gapless(seen)
    assert_each_ended_once(seen, ["before", "after"])


def test_wait_outlives_a_restart_of_the_server(server: Server, client: Client, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    script = f"until test -e {gate}; do sleep 0.05; done; echo __DSPY_RESULT__:1"
    job = client.submit(["sh", "-c", script], job_id="long")
    ended: list[object] = []
    thread = threading.Thread(target=lambda: ended.append(client.wait(job.job_id, timeout=90).result), daemon=True)
    thread.start()
    eventually(lambda: client.status("long").state == "running", "the job running")
    server.kill()
    server.start()
    gate.touch()
    thread.join(90)
    assert ended == [1]


def test_history_is_read_from_any_cursor(client: Client) -> None:
    for number in range(5):
        client.submit(["true"], job_id=f"job-{number}")
    for number in range(5):
        client.wait(f"job-{number}", timeout=60)
    whole = history(client, 15)
    for after in (1, 7, 14):
        with client.events(after) as events:
            assert list(islice(events, 15 - after)) == whole[after:]


def test_from_now_gives_only_what_comes_later(client: Client) -> None:
    client.submit(["true"], job_id="old")
    old = client.wait("old", timeout=60)
    with client.events(from_now=True, timeout=60) as events:
        client.submit(["true"], job_id="new")
        first = next(events)
    assert (first.job_id, first.type, first.sequence) == ("new", "task_submitted", old.last_sequence + 1)


def test_from_now_of_the_server_itself_gives_only_what_comes_later(server: Server, client: Client) -> None:
    client.submit(["true"], job_id="old")
    client.wait("old", timeout=60)
    call = server.stub().StreamEvents(pb.StreamEventsRequest(from_now=True), timeout=60)
    # The stream's "now" has passed for certain once a job submitted behind it shows up.
    numbers = iter(range(1000))
    done = threading.Event()

    def keep_submitting() -> None:
        while not done.wait(0.05):
            client.submit(["true"], job_id=f"new-{next(numbers)}")

    thread = threading.Thread(target=keep_submitting, daemon=True)
    thread.start()
    first = next(call)
    done.set()
    thread.join()
    call.cancel()
    assert first.job_id.startswith("new-")


def test_filters_by_job_and_by_type(client: Client) -> None:
    for name in ("a", "b", "c"):
        client.submit(["true"], job_id=name)
        client.wait(name, timeout=60)
    both = client.events(job_ids=["a", "c"], end_when_done=True, timeout=30)
    assert [event.job_id for event in both] == ["a"] * 3 + ["c"] * 3
    with client.events(types=["task_completed"], timeout=30) as completed:
        assert [event.job_id for event in islice(completed, 3)] == ["a", "b", "c"]


def test_end_when_done_ends_at_once_for_jobs_that_have_ended(client: Client) -> None:
    client.submit(["true"], job_id="a")
    job = client.wait("a", timeout=60)
    assert list(client.events(job.last_sequence, job_ids=["a"], end_when_done=True, timeout=30)) == []


def test_a_cursor_beyond_the_end_waits_or_is_refused_but_never_repeats(server: Server, client: Client) -> None:
    client.submit(["true"], job_id="a")
    client.wait("a", timeout=60)
    error = refused(lambda: next(server.stub().StreamEvents(pb.StreamEventsRequest(after_sequence=1000), timeout=0.5)))
    assert error.code() in (
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.OUT_OF_RANGE,
        grpc.StatusCode.INVALID_ARGUMENT,
    )


def test_from_now_with_a_cursor_is_refused(server: Server) -> None:
    request = pb.StreamEventsRequest(from_now=True, after_sequence=3)
    error = refused(lambda: next(server.stub().StreamEvents(request, timeout=10)))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_filters_combine_and_the_end_is_seen_though_its_type_is_not_asked_for(server: Server, client: Client) -> None:
    for name in ("a", "b"):
        client.submit(["true"], job_id=name)
        client.wait(name, timeout=60)
    request = pb.StreamEventsRequest(job_ids=["a", "b"], types=["task_started"], end_when_done=True)
    for _ in range(2):
        # From memory, then from the database of a server that has started anew.
        call = server.stub().StreamEvents(request, timeout=30)
        assert [(event.type, event.job_id) for event in call] == [("task_started", "a"), ("task_started", "b")]
        assert call.code() is grpc.StatusCode.OK
        server.stop()
        server.start()


def test_end_when_done_waits_for_the_last_job_named(server: Server, client: Client) -> None:
    client.submit(["true"], job_id="quick")
    client.wait("quick", timeout=60)
    client.submit(["sleep", "600"], job_id="slow")
    request = pb.StreamEventsRequest(job_ids=["quick", "slow"], end_when_done=True)
    call = server.stub().StreamEvents(request, timeout=60)
    seen = [next(call) for _ in range(5)]
    assert [event.type for event in seen if event.job_id == "quick"][-1] == "task_completed"
    client.cancel("slow")
    assert [event.type for event in call] == ["task_cancelled"]


@pytest.mark.parametrize(
    ("code", "fields"),
    [
        (grpc.StatusCode.INVALID_ARGUMENT, {"end_when_done": True}),
        (grpc.StatusCode.INVALID_ARGUMENT, {"job_ids": [f"job-{number}" for number in range(1001)]}),
        (grpc.StatusCode.NOT_FOUND, {"job_ids": ["nobody"], "end_when_done": True}),
        (grpc.StatusCode.OUT_OF_RANGE, {"after_sequence": 1000}),
    ],
)
def test_a_subscription_that_makes_no_sense_is_refused(
    server: Server, code: grpc.StatusCode, fields: dict[str, Any]
) -> None:
    request = pb.StreamEventsRequest(**fields)
    error = refused(lambda: next(server.stub().StreamEvents(request, timeout=10)))
    assert error.code() is code
    assert error.details()
