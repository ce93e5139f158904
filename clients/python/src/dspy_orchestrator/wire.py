"""Between the generated messages and the values of ``model``: the one place that knows both."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from enum import Enum
from typing import Any, TypeVar

from google.protobuf import duration_pb2, timestamp_pb2

from dspy_orchestrator.errors import InvalidArgument
from dspy_orchestrator.model import (
    ClassStats,
    Event,
    FailureReason,
    Job,
    JobClass,
    JobState,
    LogChunk,
    Metric,
    Metrics,
    Published,
    RetryPolicy,
)
from dspy_orchestrator.v1 import orchestrator_pb2 as pb

_Word = TypeVar("_Word", bound=Enum)


def _words(wire: Any, prefix: str, enum: type[_Word]) -> dict[int, _Word]:
    """Number → member, matched by name: JOB_STATE_QUEUED is JobState.QUEUED."""
    return {wire.Value(prefix + member.name): member for member in enum if prefix + member.name in wire.keys()}  # noqa: SIM118


_CLASSES = _words(pb.JobClass, "JOB_CLASS_", JobClass)
_STATES = _words(pb.JobState, "JOB_STATE_", JobState)
_REASONS = _words(pb.FailureReason, "FAILURE_REASON_", FailureReason)
_LOG_STREAMS: dict[int, str] = {pb.LOG_STREAM_STDOUT: "stdout", pb.LOG_STREAM_STDERR: "stderr"}
_METRIC_TYPES = {pb.METRIC_TYPE_COUNTER: "counter", pb.METRIC_TYPE_GAUGE: "gauge"}


def job_class_number(job_class: JobClass | str) -> int:
    for number, member in _CLASSES.items():
        if member == job_class:
            return number
    known = ", ".join(member.value for member in _CLASSES.values())
    raise InvalidArgument(f"no job class {job_class!r}: use one of {known}", "job_class")


def job_state_number(state: JobState | str) -> int:
    for number, member in _STATES.items():
        if member == state:
            return number
    known = ", ".join(member.value for member in _STATES.values())
    raise InvalidArgument(f"no job state {state!r}: use one of {known}", "states")


def payload(
    command: Sequence[str] | None,
    base: Mapping[str, Any] | None,
    env: Mapping[str, str] | None,
    cwd: str | None,
    stdin: str | None,
    *,
    handler: str | None = None,
    slurm: Mapping[str, Any] | None = None,
) -> bytes:
    """The JSON object that goes with a job: ``base`` and over it what was given by name."""
    if isinstance(command, (str, bytes)):
        raise InvalidArgument(
            f"command is the string {command!r}: give a list of words such as ['sh', '-c', 'echo hi']; "
            "no shell splits it",
            "command",
        )
    named = {
        "command": list(command) if command is not None else None,
        "handler": handler,
        "env": env,
        "cwd": cwd,
        "stdin": stdin,
        "slurm": slurm,
    }
    content = dict(base or {}) | {key: value for key, value in named.items() if value is not None}
    return encoded(content, "the payload", "payload")


def encoded(content: Any, what: str, field: str) -> bytes:
    """JSON in UTF-8; InvalidArgument says what has no JSON form."""
    try:
        return json.dumps(content, ensure_ascii=False, allow_nan=False, default=_plain).encode()
    except (TypeError, ValueError) as error:
        raise InvalidArgument(f"{what} is not plain JSON ({error}): convert it first", field) from None


def _plain(value: Any) -> Any:
    """Mappings and paths are as good as dict and str here."""
    if isinstance(value, Mapping):
        return dict(value)
    if hasattr(value, "__fspath__"):
        return str(value)
    raise TypeError(f"{type(value).__name__} {value!r} has no JSON form")


def duration(seconds: float) -> duration_pb2.Duration:
    whole = int(seconds)
    return duration_pb2.Duration(seconds=whole, nanos=int((seconds - whole) * 1e9))


def retry_policy(policy: RetryPolicy) -> pb.RetryPolicy:
    numbers = {reason: number for number, reason in _REASONS.items()}
    return pb.RetryPolicy(
        max_attempts=policy.max_attempts,
        initial_backoff=None if policy.initial_backoff is None else duration(policy.initial_backoff),
        max_backoff=None if policy.max_backoff is None else duration(policy.max_backoff),
        retry_on=[numbers[reason] for reason in policy.retry_on],  # type: ignore[misc]
    )


def log_chunk(message: pb.LogChunk) -> LogChunk:
    return LogChunk(
        stream=_LOG_STREAMS.get(message.stream, "stdout"),
        offset=message.offset,
        data=message.data,
        truncated=message.truncated,
    )


def log_stream_number(stream: str | None) -> int:
    if stream is None:
        return pb.LOG_STREAM_UNSPECIFIED
    for number, word in _LOG_STREAMS.items():
        if word == stream:
            return number
    raise InvalidArgument(f"no log stream {stream!r}: use stdout, stderr or None for both", "stream")


def job(message: pb.Job) -> Job:
    return Job(
        job_id=message.job_id,
        job_class=_CLASSES.get(message.job_class, JobClass.UNKNOWN),
        state=_STATES.get(message.state, JobState.UNKNOWN),
        attempt=message.attempt,
        submitted_at=_time(message.submitted_at),
        started_at=_time(message.started_at) if message.HasField("started_at") else None,
        finished_at=_time(message.finished_at) if message.HasField("finished_at") else None,
        exit_code=message.exit_code,
        signal=message.signal,
        failure_reason=_REASONS.get(message.failure_reason, FailureReason.UNKNOWN) if message.failure_reason else None,
        error=message.error,
        result=json.loads(message.result) if message.result else None,
        payload=json.loads(message.payload) if message.payload else {},
        labels=dict(message.labels),
        priority=message.priority,
        slurm_job_id=message.slurm_job_id,
        last_sequence=message.last_sequence,
        depends_on=tuple(message.depends_on),
        deadline=_time(message.deadline) if message.HasField("deadline") else None,
    )


def event(message: pb.Event) -> Event:
    return Event(
        sequence=message.sequence,
        type=message.type,
        job_id=message.job_id,
        time=_time(message.time),
        attempt=message.attempt,
        state=_STATES.get(message.state, JobState.UNKNOWN),
        data=json.loads(message.data) if message.data else {},
        source=message.source,
    )


def published(message: pb.PublishEventResponse) -> Published:
    return Published(message.sequence, _time(message.time), message.already_existed)


def metrics(message: pb.GetMetricsResponse) -> Metrics:
    return Metrics(
        metrics=tuple(
            Metric(sample.name, dict(sample.labels), _METRIC_TYPES.get(sample.type, "unknown"), sample.value)
            for sample in message.metrics
        ),
        classes={stats.job_class: stats for stats in map(_class_stats, message.classes)},
        uptime_seconds=message.uptime_seconds,
        version=message.version,
    )


def _class_stats(message: pb.ClassStats) -> ClassStats:
    return ClassStats(
        job_class=_CLASSES.get(message.job_class, JobClass.UNKNOWN),
        submitted=message.submitted,
        succeeded=message.succeeded,
        failed=message.failed,
        cancelled=message.cancelled,
        errors={_REASONS.get(entry.reason, FailureReason.UNKNOWN): entry.count for entry in message.errors},
        p50_seconds=message.p50_seconds,
        p95_seconds=message.p95_seconds,
        p99_seconds=message.p99_seconds,
        queue_depth=message.queue_depth,
        inflight=message.inflight,
        concurrency_limit=message.concurrency_limit,
    )


def _time(stamp: timestamp_pb2.Timestamp) -> datetime:
    return stamp.ToDatetime(tzinfo=timezone.utc)
