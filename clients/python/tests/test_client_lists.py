"""Many jobs in one call, pages, logs and health."""

from __future__ import annotations

from datetime import datetime, timezone

import grpc
import pytest
from fake_orchestrator import FakeOrchestrator
from google.rpc import status_pb2

from dspy_orchestrator import (
    AlreadyExists,
    Client,
    Health,
    InvalidArgument,
    JobHandle,
    JobSpec,
    JobState,
    Resources,
    Slurm,
)
from dspy_orchestrator.v1 import orchestrator_pb2 as pb


def test_a_handler_takes_the_place_of_a_command(fake: FakeOrchestrator, client: Client) -> None:
    client.submit(handler="evaluate", payload={"row": 3}, depends_on=["x", client.submit(["true"], job_id="y")])
    request = fake.requests["SubmitJob"][1]
    assert request.payload == b'{"row": 3, "handler": "evaluate"}'
    assert list(request.depends_on) == ["x", "y"]
    with pytest.raises(InvalidArgument, match="exclude each other"):
        client.submit(["true"], handler="evaluate")


def test_slurm_makes_a_batch_job_with_what_was_set(fake: FakeOrchestrator, client: Client) -> None:
    client.submit(payload={"method": "grpo"}, slurm=Slurm(partition="gpu", gpus=2, requeue=False))
    request = fake.requests["SubmitJob"][0]
    assert request.job_class == pb.JOB_CLASS_GPU_SLURM
    assert request.payload == b'{"method": "grpo", "slurm": {"partition": "gpu", "gpus": 2, "requeue": false}}'
    with pytest.raises(InvalidArgument, match="gpu_slurm"):
        client.submit(["true"], job_class="gpu", slurm=Slurm())


def test_resources_and_a_deadline_go_along(fake: FakeOrchestrator, client: Client) -> None:
    client.submit(["true"], resources=Resources(cpus=0.5, memory_bytes=1 << 30), deadline=90)
    assert fake.requests["SubmitJob"][0].deadline.seconds == 90
    assert fake.requests["SubmitJob"][0].resources == pb.Resources(cpus=0.5, memory_bytes=1 << 30)


def test_of_many_jobs_each_has_its_own_verdict(fake: FakeOrchestrator, client: Client) -> None:
    fake.refused_jobs["b"] = status_pb2.Status(code=grpc.StatusCode.ALREADY_EXISTS.value[0], message="b\nis taken")
    first, second, third = client.submit_many(
        [JobSpec(["true"], job_id="a"), {"command": ["true"], "job_id": "b"}, {"handler": "h", "job_id": "c"}]
    )
    assert isinstance(first, JobHandle)
    assert isinstance(third, JobHandle)
    assert (first.job_id, third.job_id) == ("a", "c")
    assert isinstance(second, AlreadyExists)
    assert str(second) == "b is taken"


def test_more_jobs_than_a_call_takes_are_several_calls(fake: FakeOrchestrator, client: Client) -> None:
    assert len(client.submit_many({"command": ["true"]} for _ in range(1001))) == 1001
    client.submit_many({"command": ["true"], "stdin": "x" * 1_000_000} for _ in range(4))
    assert [len(request.jobs) for request in fake.requests["SubmitJobs"]] == [1000, 1, 3, 1]


def test_the_list_goes_over_its_pages(fake: FakeOrchestrator, client: Client) -> None:
    for number in range(5):
        fake.add_job(f"job-{number}")
    since = datetime(2026, 1, 1, tzinfo=timezone.utc)
    jobs = client.list(
        states=["queued", JobState.RUNNING], classes=["gpu"], labels={"a": "b"}, submitted_after=since, page_size=2
    )
    assert [job.job_id for job in jobs] == [f"job-{number}" for number in (4, 3, 2, 1, 0)]
    assert [request.page_token for request in fake.requests["ListJobs"]] == ["", "2", "4"]
    for request in fake.requests["ListJobs"]:
        assert list(request.states) == [pb.JOB_STATE_QUEUED, pb.JOB_STATE_RUNNING]
        assert list(request.classes) == [pb.JOB_CLASS_GPU]
        assert request.labels == {"a": "b"}
        assert request.submitted_after.seconds == int(since.timestamp())


def test_a_list_of_what_can_not_be_is_refused(client: Client) -> None:
    with pytest.raises(InvalidArgument, match="queued, submitted, running"):
        client.list(states=["done"])
    with pytest.raises(InvalidArgument, match="time zone"):
        client.list(submitted_after=datetime(2026, 1, 1))
    with pytest.raises(InvalidArgument, match="are lists"):
        client.list(states="queued")


@pytest.mark.parametrize("stream", ["stdout", None])
def test_a_log_cut_off_again_and_again_gives_every_byte_once(
    fake: FakeOrchestrator, client: Client, stream: str | None
) -> None:
    fake.add_job("a", pb.JOB_STATE_RUNNING, attempt=2)
    fake.logs["a", "stdout"] = bytes(range(50))
    fake.break_logs_after.extend([2, 0, 5])
    assert b"".join(chunk.data for chunk in client.logs("a", stream=stream, follow=True)) == bytes(range(50))
    assert {request.attempt for request in fake.requests["StreamLogs"]} == {2}
    expected = [0, 8, 8, 28] if stream else [0, 0, 0, 0]
    assert [request.offset for request in fake.requests["StreamLogs"]] == expected


def test_both_logs_come_with_their_names(fake: FakeOrchestrator, client: Client) -> None:
    fake.add_job("a", pb.JOB_STATE_SUCCEEDED, attempt=1)
    fake.logs["a", "stdout"], fake.logs["a", "stderr"] = b"out", b"err"
    assert [(chunk.stream, chunk.text) for chunk in client.logs("a")] == [("stdout", "out"), ("stderr", "err")]
    with pytest.raises(InvalidArgument, match="stdout, stderr"):
        client.logs("a", stream="stdin")


def test_health_is_told(fake: FakeOrchestrator, client: Client) -> None:
    assert client.health() is Health.SERVING
    fake.serving = b"\x08\x02"
    assert client.health() is Health.NOT_SERVING
