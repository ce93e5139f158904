"""ListJobs and SubmitJobs of the real executable."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc import code_pb2
from jobs import occupy
from refusals import bad_field, refused
from server import Server

from dspy_orchestrator import Client
from dspy_orchestrator.v1 import orchestrator_pb2 as pb


def listed(server: Server, **fields: Any) -> pb.ListJobsResponse:
    answer = server.stub().ListJobs(pb.ListJobsRequest(**fields), timeout=30)
    assert isinstance(answer, pb.ListJobsResponse)
    return answer


def ids(answer: pb.ListJobsResponse) -> list[str]:
    return [job.job_id for job in answer.jobs]


def batch(server: Server, *jobs: pb.SubmitJobRequest) -> list[pb.SubmitJobResult]:
    return list(server.stub().SubmitJobs(pb.SubmitJobsRequest(jobs=jobs), timeout=60).results)


def waiting(number: int, **fields: Any) -> pb.SubmitJobRequest:
    """A job of a class whose places are taken, so that it stays where it is."""
    return pb.SubmitJobRequest(
        job_id=f"job-{number:03}", job_class=pb.JOB_CLASS_CPU_LONG, payload=b'{"command":["true"]}', **fields
    )


def test_filters_by_state_class_label_and_time(server: Server, client: Client) -> None:
    occupy(client)
    batch(server, *(waiting(n, labels={"parity": "even" if n % 2 == 0 else "odd", "all": "x"}) for n in range(4)))
    middle = time.time()
    client.submit(["true"], job_id="late", labels={"parity": "even"})
    client.wait("late", timeout=60)

    queued = [f"job-{n:03}" for n in (3, 2, 1, 0)]
    assert ids(listed(server, states=[pb.JOB_STATE_QUEUED])) == queued
    assert ids(listed(server, states=[pb.JOB_STATE_SUCCEEDED, pb.JOB_STATE_QUEUED])) == ["late", *queued]
    assert ids(listed(server, classes=[pb.JOB_CLASS_CPU_SHORT])) == ["late"]
    assert ids(listed(server, labels={"parity": "even"})) == ["late", "job-002", "job-000"]
    assert ids(listed(server, labels={"parity": "even", "all": "x"})) == ["job-002", "job-000"]
    stamp = Timestamp()
    stamp.FromNanoseconds(int(middle * 1e9))
    assert ids(listed(server, submitted_after=stamp)) == ["late"]
    assert "late" not in ids(listed(server, submitted_before=stamp))
    assert set(queued) <= set(ids(listed(server, submitted_before=stamp)))
    brief = listed(server, classes=[pb.JOB_CLASS_CPU_SHORT]).jobs[0]
    assert (brief.payload, brief.result) == (b"", b"")
    assert brief.finished_at.seconds > 0


def test_pages_hold_over_a_restart_and_new_jobs(server: Server, client: Client) -> None:
    occupy(client)
    batch(server, *(waiting(n) for n in range(10)))
    fields: dict[str, Any] = {"states": [pb.JOB_STATE_QUEUED], "page_size": 4}
    first = listed(server, **fields)
    assert ids(first) == ["job-009", "job-008", "job-007", "job-006"]
    server.kill()
    server.start()
    batch(server, waiting(10))
    second = listed(server, page_token=first.next_page_token, **fields)
    assert ids(second) == ["job-005", "job-004", "job-003", "job-002"]
    third = listed(server, page_token=second.next_page_token, **fields)
    assert (ids(third), third.next_page_token) == (["job-001", "job-000"], "")


def test_a_token_that_is_not_this_lists_is_refused(server: Server, tmp_path_factory: pytest.TempPathFactory) -> None:
    batch(server, *(waiting(n) for n in range(3)))
    token = listed(server, page_size=1).next_page_token
    other = Server(tmp_path_factory.mktemp("other")).start()
    try:
        batch(other, *(waiting(n) for n in range(3)))
        foreign = listed(other, page_size=1).next_page_token
    finally:
        other.close()
    changed = ("B" if token[5] == "A" else "A").join((token[:5], token[6:]))
    for bad in ("x", "1", changed, foreign, token * 5):
        error = refused(partial(listed, server, page_token=bad))
        assert (error.code(), bad_field(error)) == (grpc.StatusCode.INVALID_ARGUMENT, "page_token")
    error = refused(lambda: listed(server, page_token=token, classes=[pb.JOB_CLASS_GPU]))
    assert bad_field(error) == "page_token"
    # The size may change from page to page.
    assert len(ids(listed(server, page_token=token, page_size=2))) == 2


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("page_size", {"page_size": -1}),
        ("page_size", {"page_size": 1001}),
        ("states", {"states": [77]}),
        ("classes", {"classes": [0]}),
        ("submitted_after", {"submitted_after": Timestamp(seconds=1 << 60)}),
    ],
)
def test_a_filter_that_is_none_is_named(server: Server, field: str, fields: dict[str, Any]) -> None:
    assert bad_field(refused(lambda: listed(server, **fields))) == field


def test_jobs_that_left_the_memory_are_listed_and_read(server: Server, client: Client) -> None:
    """More than the 10,000 ended jobs that stay in memory."""
    occupy(client)
    stub = server.stub()
    for start in range(0, 10_500, 500):
        batch(server, *(waiting(n, labels={"old": "yes"} if n == 7 else {}) for n in range(start, start + 500)))
        calls = [
            stub.CancelJob.future(pb.CancelJobRequest(job_id=f"job-{n:03}"), timeout=60)
            for n in range(start, start + 500)
        ]
        for call in calls:
            call.result()
    assert ids(listed(server, labels={"old": "yes"})) == ["job-007"]
    assert client.status("job-007").state == "cancelled"
    seen: list[str] = []
    token = ""
    while True:
        page = listed(server, states=[pb.JOB_STATE_CANCELLED], page_size=1000, page_token=token)
        seen += ids(page)
        token = page.next_page_token
        if not token:
            break
    assert seen == [f"job-{n:03}" for n in reversed(range(10_500))]


def test_a_batch_gives_each_job_its_own_verdict(server: Server, client: Client) -> None:
    command = b'{"command":["true"]}'
    batch(server, pb.SubmitJobRequest(job_id="taken", payload=command))
    results = batch(
        server,
        pb.SubmitJobRequest(job_id="good", payload=command),
        pb.SubmitJobRequest(job_id="../bad", payload=command),
        pb.SubmitJobRequest(job_id="taken", payload=command),
        pb.SubmitJobRequest(job_id="taken", payload=b'{"command":["false"]}'),
        pb.SubmitJobRequest(job_id="twice", payload=command),
        pb.SubmitJobRequest(job_id="twice", payload=command),
        pb.SubmitJobRequest(job_id="unpayloaded", payload=b"["),
        pb.SubmitJobRequest(payload=command),
    )
    codes = [result.error.code for result in results]
    assert codes == [0, code_pb2.INVALID_ARGUMENT, 0, code_pb2.ALREADY_EXISTS, 0, 0, code_pb2.INVALID_ARGUMENT, 0]
    assert [result.already_existed for result in results] == [False, False, True, False, False, True, False, False]
    assert "../bad" in results[1].error.message
    assert results[1].error.details, "no BadRequest with the field"
    assert not results[1].HasField("job")
    assert results[7].job.job_id
    assert client.wait("good", timeout=60).state == "succeeded"


def test_a_batch_is_limited_and_an_empty_one_is_nothing(server: Server) -> None:
    error = refused(lambda: batch(server, *(waiting(n) for n in range(1001))))
    assert (error.code(), bad_field(error)) == (grpc.StatusCode.INVALID_ARGUMENT, "jobs")
    assert "1000" in error.details()
    assert ids(listed(server)) == []
    assert batch(server) == []


def test_a_batch_is_one_transaction(server: Server, client: Client) -> None:
    # None of them starts, which would be commits as well.
    occupy(client)

    def commits() -> float:
        lines = server.request("/metrics").text.splitlines()
        return sum(
            float(line.split()[1]) for line in lines if line.startswith("orchestrator_ledger_batch_events_count")
        )

    before = commits()
    assert len(batch(server, *(waiting(n) for n in range(1000)))) == 1000
    submitted = server.stub().StreamEvents(
        pb.StreamEventsRequest(types=["task_submitted"], job_ids=["job-999"]), timeout=30
    )
    assert next(submitted).job_id == "job-999"
    submitted.cancel()
    # Beside it there are those of the places up to which the sinks have come, one a second.
    assert commits() - before < 100
