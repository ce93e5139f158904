from __future__ import annotations

import json
import uuid
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from jobs import result_line, shell
from refusals import bad_field, refused
from server import Server

from dspy_orchestrator import AlreadyExists, Client, InvalidArgument, JobState, NotFound
from dspy_orchestrator.v1 import orchestrator_pb2 as pb

MIB = 1 << 20


def request(**fields: object) -> pb.SubmitJobRequest:
    content = {"payload": b'{"command":["true"]}'} | fields
    return pb.SubmitJobRequest(**content)  # type: ignore[arg-type]


def test_a_job_goes_from_submission_through_its_events_to_its_result(client: Client) -> None:
    submitted = client.submit(result_line('{"loss": 0.25}'), labels={"team": "red"}, priority=2)
    assert (submitted.attempt, submitted.job.result, submitted.error) == (0, None, "")

    events = list(client.events(job_ids=[submitted.job_id], end_when_done=True, timeout=60))
    assert [event.type for event in events] == ["task_submitted", "task_started", "task_completed"]
    assert [event.state for event in events] == [JobState.QUEUED, JobState.RUNNING, JobState.SUCCEEDED]
    assert [event.attempt for event in events] == [0, 1, 1]
    assert [event.data["task_id"] for event in events] == [submitted.job_id] * 3
    assert events[0].source == "rpc"

    job = client.status(submitted.job_id)
    assert (job.state, job.result, job.exit_code, job.attempt) == (JobState.SUCCEEDED, {"loss": 0.25}, 0, 1)
    assert (job.labels, job.priority) == ({"team": "red"}, 2)
    assert job.payload == {"command": ["printf", "__DSPY_RESULT__:%s\\n", '{"loss": 0.25}']}
    assert job.last_sequence == events[-1].sequence
    assert job.started_at is not None
    assert job.finished_at is not None
    assert job.submitted_at <= job.started_at <= job.finished_at


def test_without_a_job_id_the_server_makes_a_uuid_of_version_7(server: Server) -> None:
    first, second = (server.stub().SubmitJob(request(), timeout=10).job.job_id for _ in range(2))
    assert first != second
    assert {uuid.UUID(made).version for made in (first, second)} == {7}


def test_without_a_class_a_job_is_cpu_short(server: Server) -> None:
    assert server.stub().SubmitJob(request(), timeout=10).job.job_class == pb.JOB_CLASS_CPU_SHORT


def test_submitting_again_with_the_same_content_returns_the_job_that_is_there(server: Server) -> None:
    stub = server.stub()
    first = stub.SubmitJob(request(job_id="same", labels={"a": "1", "b": "2"}), timeout=10)
    second = stub.SubmitJob(request(job_id="same", labels={"b": "2", "a": "1"}), timeout=10)
    assert (first.already_existed, second.already_existed) == (False, True)
    assert first.job.submitted_at == second.job.submitted_at


def test_submitting_other_content_under_a_taken_id_is_refused_with_the_id(client: Client) -> None:
    client.submit(["true"], job_id="taken")
    for other in (
        {"command": ["false"]},
        {"command": ["true"], "priority": 1},
        {"command": ["true"], "job_class": "gpu"},
    ):
        with pytest.raises(AlreadyExists, match="taken"):
            client.submit(job_id="taken", **other)


def test_of_many_submissions_of_one_id_at_once_one_makes_the_job(server: Server, client: Client) -> None:
    stub = server.stub()
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: stub.SubmitJob(request(job_id="raced"), timeout=30), range(64)))
    assert sum(not answer.already_existed for answer in answers) == 1
    client.wait("raced", timeout=30)
    types = [event.type for event in client.events(job_ids=["raced"], end_when_done=True, timeout=30)]
    assert types == ["task_submitted", "task_started", "task_completed"]


def test_an_unknown_job_is_not_found_by_name(client: Client) -> None:
    with pytest.raises(NotFound, match="no-such-job"):
        client.status("no-such-job")
    with pytest.raises(NotFound, match="no-such-job"):
        client.cancel("no-such-job")


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("job_id", {"job_id": "has/slash"}),
        ("job_id", {"job_id": "../../etc/passwd"}),
        ("job_id", {"job_id": "-dash-first"}),
        ("job_id", {"job_id": "x" * 129}),
        ("job_class", {"job_class": 99}),
        ("payload", {"payload": b""}),
        ("payload", {"payload": b"{"}),
        ("payload", {"payload": b"[1]"}),
        ("payload", {"payload": b'{"command": "echo hi"}'}),
        ("payload", {"payload": b'{"command": []}'}),
        ("payload", {"payload": b'{"command": ["a\\u0000b"]}'}),
        ("payload", {"payload": b'{"command": ["true"], "env": {"A": 1}}'}),
        ("payload", {"payload": b'{"command": ["tr\xff"]}'}),
        ("payload", {"payload": b"[" * 100_000}),
        ("labels", {"labels": {f"label-{number}": "" for number in range(65)}}),
        ("labels", {"labels": {"key": "v" * 256}}),
        ("timeout", {"timeout": {"seconds": -1}}),
        ("retry", {"retry": {"max_attempts": 101}}),
    ],
)
def test_a_wrong_field_is_named_in_the_message_and_the_details(
    server: Server, field: str, fields: dict[str, object]
) -> None:
    error = refused(lambda: server.stub().SubmitJob(request(**fields), timeout=10))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert bad_field(error).startswith(field)
    assert field.rstrip("s") in error.details()
    assert "\n" not in error.details()


def test_a_payload_just_under_a_mebibyte_passes_whole(client: Client) -> None:
    padding = "é" * ((MIB - 200) // 2)
    job = client.submit(shell("wc -c < $DSPY_PAYLOAD_PATH"), payload={"padding": padding})
    done = client.wait(job.job_id, timeout=60)
    assert done.state is JobState.SUCCEEDED
    assert done.payload["padding"] == padding


def test_a_payload_over_a_mebibyte_is_refused(client: Client) -> None:
    with pytest.raises(InvalidArgument, match="payload"):
        client.submit(["true"], payload={"padding": "x" * MIB})


def test_a_message_over_the_receive_limit_is_refused_and_the_connection_goes_on(server: Server) -> None:
    stub = server.stub()
    error = refused(lambda: stub.SubmitJob(request(payload=b"x" * (5 * MIB)), timeout=30))
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert stub.SubmitJob(request(), timeout=10).job.job_id


def test_slurm_jobs_are_refused_while_there_is_no_bridge(server: Server) -> None:
    payload = json.dumps({"method": "grpo", "module": "m", "model": "n", "dataset": "d"}).encode()
    error = refused(
        lambda: server.stub().SubmitJob(request(job_class=pb.JOB_CLASS_GPU_SLURM, payload=payload), timeout=10)
    )
    assert error.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert "lurm" in error.details()
