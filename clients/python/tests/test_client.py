from __future__ import annotations

import threading
import time
import uuid
from pathlib import Path

import grpc
import pytest
from fake_orchestrator import Failure, FakeOrchestrator, exhausted, unavailable
from google.protobuf import timestamp_pb2
from google.rpc import error_details_pb2

from dspy_orchestrator import (
    Cancelled,
    Client,
    DeadlineExceeded,
    FailureReason,
    InvalidArgument,
    JobClass,
    JobFailed,
    JobState,
    NotFound,
    OrchestratorError,
    ResourceExhausted,
    RetryPolicy,
    Unavailable,
    wire,
)
from dspy_orchestrator.v1 import orchestrator_pb2 as pb


def test_submit_sends_the_command_and_what_goes_with_it(fake: FakeOrchestrator, client: Client) -> None:
    job = client.submit(
        ["echo", "hé"],
        job_class="cpu_long",
        payload={"note": 1},
        priority=3,
        labels={"team": "a"},
        timeout=1.5,
        retry=RetryPolicy(3, initial_backoff=0.25, retry_on=(FailureReason.TIMEOUT,)),
        env={"A": "b"},
        cwd=Path("/srv"),
        stdin="in",
    )
    request = fake.requests["SubmitJob"][0]
    assert (
        request.payload.decode()
        == '{"note": 1, "command": ["echo", "hé"], "env": {"A": "b"}, "cwd": "/srv", "stdin": "in"}'
    )
    assert request.job_class == pb.JOB_CLASS_CPU_LONG
    assert request.timeout.ToTimedelta().total_seconds() == 1.5
    assert request.retry.max_attempts == 3
    assert request.retry.initial_backoff.nanos == 250_000_000
    assert not request.retry.HasField("max_backoff")
    assert list(request.retry.retry_on) == [pb.FAILURE_REASON_TIMEOUT]
    assert job.job_id == str(uuid.UUID(job.job_id))
    assert (job.priority, job.labels) == (3, {"team": "a"})


def test_submit_tries_again_with_the_same_id_until_the_server_takes_it(fake: FakeOrchestrator, client: Client) -> None:
    fake.failures["SubmitJob"].extend([unavailable(), exhausted(0.01), unavailable()])
    job = client.submit(["true"])
    assert [request.job_id for request in fake.requests["SubmitJob"]] == [job.job_id] * 4


def test_the_wait_that_the_server_asks_for_is_kept(fake: FakeOrchestrator, client: Client) -> None:
    fake.failures["SubmitJob"].append(exhausted(0.4))
    begin = time.monotonic()
    client.submit(["true"])
    assert time.monotonic() - begin >= 0.4


def test_a_message_that_is_too_large_is_not_sent_again(fake: FakeOrchestrator, client: Client) -> None:
    fake.failures["SubmitJob"].append(Failure(grpc.StatusCode.RESOURCE_EXHAUSTED, "5 MiB, the limit is 4 MiB"))
    with pytest.raises(ResourceExhausted, match="the limit is 4 MiB"):
        client.submit(["true"])
    assert len(fake.requests["SubmitJob"]) == 1


def test_a_last_try_that_is_cut_short_does_not_hide_why_there_were_others(
    fake: FakeOrchestrator, client: Client
) -> None:
    away = Failure(grpc.StatusCode.UNAVAILABLE, "the disk is away")
    fake.failures["SubmitJob"] += [away, Failure(grpc.StatusCode.DEADLINE_EXCEEDED, "too late")]
    with pytest.raises(Unavailable, match="the disk is away"):
        client.submit(["true"])
    fake.failures["SubmitJob"] += [Failure(grpc.StatusCode.DEADLINE_EXCEEDED, "too late")]
    with pytest.raises(DeadlineExceeded):
        client.submit(["true"])


def test_an_unreachable_server_is_named_with_the_remedy() -> None:
    with Client("127.0.0.1:1", timeout=0.5) as client:
        with pytest.raises(
            Unavailable, match=r"127\.0\.0\.1:1 .*dspy-orchestrator serve.*DSPY_ORCHESTRATOR_TARGET"
        ) as caught:
            client.status("x")
        assert "\n" not in str(caught.value)
        assert isinstance(caught.value, ConnectionError)


def test_the_target_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DSPY_ORCHESTRATOR_TARGET", "example:7")
    with Client() as client:
        assert client.target == "example:7"
    monkeypatch.delenv("DSPY_ORCHESTRATOR_TARGET")
    with Client() as client:
        assert client.target == "127.0.0.1:50051"


def test_a_refusal_names_the_field(fake: FakeOrchestrator, client: Client) -> None:
    violation = error_details_pb2.BadRequest.FieldViolation(field="priority", description="too high")
    detail = error_details_pb2.BadRequest(field_violations=[violation])
    fake.failures["SubmitJob"].append(Failure(grpc.StatusCode.INVALID_ARGUMENT, "priority 9 is too high", detail))
    with pytest.raises(InvalidArgument, match="priority 9 is too high") as caught:
        client.submit(["true"])
    assert caught.value.field == "priority"
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"command": "echo hi"}, "list of words"),
        ({"command": ["x"], "job_class": "huge"}, "cpu_short, cpu_long, gpu, gpu_slurm"),
        ({"command": ["x"], "payload": {"a": object()}}, "not plain JSON"),
        ({"command": ["x"], "payload": {"a": float("nan")}}, "not plain JSON"),
        ({"command": ["x"], "job_id": ""}, "leave it out"),
    ],
)
def test_a_mistake_is_told_before_anything_is_sent(
    fake: FakeOrchestrator, client: Client, arguments: dict[str, object], message: str
) -> None:
    with pytest.raises(InvalidArgument, match=message):
        client.submit(**arguments)  # type: ignore[arg-type]
    assert not fake.requests


def test_status_of_an_unknown_job_is_not_found(client: Client) -> None:
    with pytest.raises(NotFound, match="nope"):
        client.status("nope")


def test_a_job_is_told_in_pythons_terms() -> None:
    job = wire.job(
        pb.Job(
            job_id="a",
            job_class=pb.JOB_CLASS_GPU_SLURM,
            state=pb.JOB_STATE_FAILED,
            failure_reason=pb.FAILURE_REASON_OUT_OF_MEMORY,
            submitted_at=timestamp_pb2.Timestamp(seconds=1, nanos=500_000_000),
            result=b'{"loss": 0.5}',
            error="out of memory at 2 GiB",
            attempt=2,
        )
    )
    assert (job.job_class, job.state, job.failure_reason) == ("gpu_slurm", "failed", "out_of_memory")
    assert job.submitted_at.isoformat() == "1970-01-01T00:00:01.500000+00:00"
    assert (job.started_at, job.finished_at, job.result) == (None, None, {"loss": 0.5})
    with pytest.raises(JobFailed, match="job a failed in attempt 2: out of memory at 2 GiB"):
        job.raise_for_state()


def test_words_of_a_newer_server_are_unknown_rather_than_an_error() -> None:
    message = pb.Job(job_id="a")
    message.MergeFromString(b"\x10\x63\x18\x63\x50\x63")
    job = wire.job(message)
    assert (job.job_class, job.state, job.failure_reason) == (
        JobClass.UNKNOWN,
        JobState.UNKNOWN,
        FailureReason.UNKNOWN,
    )
    assert not job.is_done


def test_every_word_of_the_contract_is_known() -> None:
    for prefix, enum, known in (
        ("JOB_CLASS_", pb.JobClass, JobClass),
        ("JOB_STATE_", pb.JobState, JobState),
        ("FAILURE_REASON_", pb.FailureReason, FailureReason),
    ):
        words = {name.removeprefix(prefix).lower() for name in enum.keys()} - {"unspecified"}  # noqa: SIM118
        assert words == {member.value for member in known} - {"unknown"}


def test_cancel_carries_the_reason(fake: FakeOrchestrator, client: Client) -> None:
    fake.add_job("a", pb.JOB_STATE_CANCELLED)
    assert client.cancel("a", "no longer needed").state is JobState.CANCELLED
    assert fake.requests["CancelJob"][0].reason == "no longer needed"


def test_requeue_carries_the_reason_and_waits_for_a_slurm_that_is_away(fake: FakeOrchestrator, client: Client) -> None:
    fake.add_job("a", pb.JOB_STATE_SUBMITTED)
    fake.failures["RequeueJob"].append(unavailable())
    assert client.requeue("a", "a better node is free").state is JobState.SUBMITTED
    assert [request.reason for request in fake.requests["RequeueJob"]] == ["a better node is free"] * 2


def test_metrics_are_found_by_name_and_labels(fake: FakeOrchestrator, client: Client) -> None:
    fake.metrics = pb.GetMetricsResponse(
        metrics=[
            pb.Metric(name="depth", labels={"class": "gpu"}, type=pb.METRIC_TYPE_GAUGE, value=1),
            pb.Metric(name="depth", labels={"class": "cpu_short"}, type=pb.METRIC_TYPE_GAUGE, value=2),
        ],
        classes=[
            pb.ClassStats(
                job_class=pb.JOB_CLASS_GPU,
                p95_seconds=3,
                errors=[pb.ReasonCount(reason=pb.FAILURE_REASON_TIMEOUT, count=4)],
            )
        ],
        version="1",
    )
    metrics = client.metrics()
    assert metrics.value("depth", **{"class": "cpu_short"}) == 2
    assert metrics.value("nothing") is None
    assert metrics.classes[JobClass.GPU].p95_seconds == 3
    assert metrics.classes[JobClass.GPU].errors == {FailureReason.TIMEOUT: 4}


def test_wait_returns_at_the_jobs_end_without_polling(fake: FakeOrchestrator, client: Client) -> None:
    fake.add_job("a")
    fake.emit("a", "task_submitted", pb.JOB_STATE_QUEUED)

    def live() -> None:
        fake.until(lambda: bool(fake.requests["StreamEvents"]))
        fake.emit("a", "task_started", pb.JOB_STATE_RUNNING)
        fake.emit("b", "task_submitted", pb.JOB_STATE_QUEUED)
        fake.emit("a", "task_completed", pb.JOB_STATE_SUCCEEDED)

    threading.Thread(target=live, daemon=True).start()
    assert client.wait("a", timeout=10).state is JobState.SUCCEEDED
    assert len(fake.requests["GetStatus"]) == 2


def test_wait_outlives_lost_connections(fake: FakeOrchestrator, client: Client) -> None:
    fake.add_job("a")
    fake.emit("a", "task_submitted", pb.JOB_STATE_QUEUED)
    fake.break_streams_after.extend([0, 1, 0])
    threading.Timer(0.1, fake.emit, ("a", "task_started", pb.JOB_STATE_RUNNING)).start()
    threading.Timer(0.6, fake.emit, ("a", "task_failed", pb.JOB_STATE_FAILED)).start()
    with pytest.raises(JobFailed):
        client.wait("a", timeout=10, check=True)


def test_wait_does_not_take_the_end_of_a_stream_for_the_end_of_a_job(fake: FakeOrchestrator, client: Client) -> None:
    fake.add_job("a")
    fake.emit("a", "task_submitted", pb.JOB_STATE_QUEUED)
    fake.end_streams_early = 2
    threading.Timer(0.5, fake.emit, ("a", "task_completed", pb.JOB_STATE_SUCCEEDED)).start()
    assert client.wait("a", timeout=10).is_done


def test_wait_goes_on_where_the_log_now_starts(fake: FakeOrchestrator, client: Client) -> None:
    fake.oldest = 100
    fake.add_job("a", pb.JOB_STATE_RUNNING, last_sequence=3)

    def live() -> None:
        fake.until(lambda: len(fake.requests["StreamEvents"]) >= 2)
        fake.emit("a", "task_completed", pb.JOB_STATE_SUCCEEDED)

    threading.Thread(target=live, daemon=True).start()
    assert client.wait("a", timeout=10).is_done
    assert [request.after_sequence for request in fake.requests["StreamEvents"]] == [3, 99]


def test_wait_gives_up_after_its_timeout_and_says_how_the_job_is(fake: FakeOrchestrator, client: Client) -> None:
    fake.add_job("a", pb.JOB_STATE_RUNNING)
    with pytest.raises(DeadlineExceeded, match=r"a is still running after 0\.2 s") as caught:
        client.wait("a", timeout=0.2)
    assert isinstance(caught.value, TimeoutError)


def test_a_closed_client_says_so(fake: FakeOrchestrator, client: Client) -> None:
    client.close()
    with pytest.raises(Cancelled, match="closed"):
        client.status("a")


def test_every_error_is_one_line_of_the_family(fake: FakeOrchestrator, client: Client) -> None:
    for code in grpc.StatusCode:
        if code in (grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE):
            continue
        fake.failures["GetStatus"].append(Failure(code, "first\nsecond"))
        with pytest.raises(OrchestratorError) as caught:
            client.status("a")
        assert "\n" not in str(caught.value)
