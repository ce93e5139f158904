from __future__ import annotations

import threading
import time
from itertools import islice

import grpc
import pytest
from fake_orchestrator import Failure, FakeOrchestrator, exhausted
from google.rpc import error_details_pb2

from dspy_orchestrator import (
    Cancelled,
    Client,
    CursorTooOld,
    DeadlineExceeded,
    EventGap,
    InvalidArgument,
    Unavailable,
)
from dspy_orchestrator.v1 import orchestrator_pb2 as pb


def fill(fake: FakeOrchestrator, count: int) -> None:
    for number in range(count):
        fake.emit(f"job-{number % 3}", "task_submitted", pb.JOB_STATE_QUEUED)


def test_history_comes_first_and_live_events_after_it(fake: FakeOrchestrator, client: Client) -> None:
    fill(fake, 5)
    threading.Timer(0.1, fill, (fake, 5)).start()
    with client.events(after=2) as events:
        assert [event.sequence for event in islice(events, 8)] == list(range(3, 11))
        assert events.last_sequence == 10


def test_a_stream_cut_off_again_and_again_gives_every_sequence_once(fake: FakeOrchestrator, client: Client) -> None:
    fill(fake, 30)
    fake.break_streams_after.extend([7, 0, 1, 12])
    with client.events() as events:
        assert [event.sequence for event in islice(events, 30)] == list(range(1, 31))
    assert [request.after_sequence for request in fake.requests["StreamEvents"]] == [0, 7, 7, 8, 20]


def test_the_wait_that_the_server_asks_for_is_kept(fake: FakeOrchestrator, client: Client) -> None:
    fill(fake, 1)
    fake.failures["StreamEvents"].append(exhausted(0.4))
    begin = time.monotonic()
    assert next(client.events()).sequence == 1
    assert time.monotonic() - begin >= 0.4


def test_a_stream_reset_by_a_proxy_is_taken_up(fake: FakeOrchestrator, client: Client) -> None:
    fill(fake, 1)
    fake.failures["StreamEvents"].extend(
        [
            Failure(grpc.StatusCode.INTERNAL, "Received RST_STREAM with error code 2"),
            Failure(grpc.StatusCode.UNKNOWN, "Stream removed"),
            Failure(grpc.StatusCode.DEADLINE_EXCEEDED, "the longest a stream may last is 1 h"),
        ]
    )
    assert next(client.events()).sequence == 1


def test_an_event_that_comes_twice_is_handed_out_once(fake: FakeOrchestrator, client: Client) -> None:
    for sequence in (1, 2, 2, 3):
        fake.emit("a", "task_started", pb.JOB_STATE_RUNNING, sequence)
    assert [event.sequence for event in islice(client.events(), 3)] == [1, 2, 3]


def test_a_skipped_event_is_an_error(fake: FakeOrchestrator, client: Client) -> None:
    for sequence in (1, 2, 4):
        fake.emit("a", "task_started", pb.JOB_STATE_RUNNING, sequence)
    with pytest.raises(EventGap, match="from sequence 2 to 4"):
        list(islice(client.events(), 3))


def test_filters_reach_the_server(fake: FakeOrchestrator, client: Client) -> None:
    fill(fake, 9)
    assert [event.sequence for event in islice(client.events(job_ids=["job-1"]), 3)] == [2, 5, 8]


def test_a_cursor_too_old_names_the_oldest_kept(fake: FakeOrchestrator, client: Client) -> None:
    fake.oldest = 50
    with pytest.raises(CursorTooOld) as caught:
        next(client.events(after=3))
    assert caught.value.oldest == 50


def test_the_oldest_kept_is_read_from_the_details(fake: FakeOrchestrator, client: Client) -> None:
    detail = error_details_pb2.ErrorInfo(reason="EVENTS_NO_LONGER_KEPT", metadata={"oldest_sequence": "70"})
    fake.failures["StreamEvents"].append(Failure(grpc.StatusCode.OUT_OF_RANGE, "gone", detail))
    with pytest.raises(CursorTooOld, match=r"go on with events\(after=69\)") as caught:
        next(client.events(after=3))
    assert caught.value.oldest == 70


def test_from_now_skips_nothing_although_the_connection_breaks_before_the_first_event(
    fake: FakeOrchestrator, client: Client
) -> None:
    fill(fake, 4)
    fake.metrics.metrics.add(name="orchestrator_last_sequence", type=pb.METRIC_TYPE_GAUGE, value=4)
    fake.break_streams_after.append(0)
    events = client.events(from_now=True)
    fill(fake, 2)
    assert [event.sequence for event in islice(events, 2)] == [5, 6]


def test_from_now_against_a_server_that_does_not_say_where_now_is_never_skips_silently(
    fake: FakeOrchestrator, client: Client
) -> None:
    fill(fake, 4)
    fake.break_streams_after.append(0)
    with pytest.raises(Unavailable):
        next(client.events(from_now=True))


def test_end_when_done_ends_after_the_last_jobs_end(fake: FakeOrchestrator, client: Client) -> None:
    for job in "ab":
        fake.add_job(job)
        fake.emit(job, "task_submitted", pb.JOB_STATE_QUEUED)
    fake.emit("b", "task_cancelled", pb.JOB_STATE_CANCELLED)
    fake.emit("a", "task_completed", pb.JOB_STATE_SUCCEEDED)
    seen = [(event.job_id, event.type) for event in client.events(job_ids=["a", "b"], end_when_done=True)]
    assert seen == [("a", "task_submitted"), ("b", "task_submitted"), ("b", "task_cancelled"), ("a", "task_completed")]


def test_a_job_that_ended_before_the_cursor_ends_the_stream(fake: FakeOrchestrator, client: Client) -> None:
    fake.add_job("a", pb.JOB_STATE_SUCCEEDED)
    fake.end_streams_early = 1
    assert list(client.events(after=9, job_ids=["a"], end_when_done=True)) == []


def test_a_server_that_stays_away_is_reported_in_the_end(fake: FakeOrchestrator, client: Client) -> None:
    fill(fake, 1)
    events = client.events(reconnect_for=0.5)
    assert next(events).sequence == 1
    fake.stop()
    with pytest.raises(Unavailable):
        next(events)


def test_a_timeout_says_where_to_go_on(fake: FakeOrchestrator, client: Client) -> None:
    fill(fake, 2)
    with pytest.raises(DeadlineExceeded, match=r"events\(after=2\)"):
        list(client.events(timeout=2))


def test_closing_the_stream_from_another_thread_ends_the_iteration(fake: FakeOrchestrator, client: Client) -> None:
    events = client.events()
    threading.Timer(0.2, events.close).start()
    assert list(events) == []


def test_closing_the_client_ends_its_streams_with_an_error(fake: FakeOrchestrator, client: Client) -> None:
    events = client.events()
    threading.Timer(0.2, client.close).start()
    with pytest.raises(Cancelled):
        next(events)


@pytest.mark.parametrize(
    "arguments", [{"end_when_done": True}, {"from_now": True, "after": 3}, {"job_ids": "a"}, {"types": "task_started"}]
)
def test_arguments_that_contradict_are_refused(client: Client, arguments: dict[str, object]) -> None:
    with pytest.raises(InvalidArgument):
        client.events(**arguments)  # type: ignore[arg-type]
