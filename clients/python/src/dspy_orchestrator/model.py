"""What the client hands out: frozen values in Python's own terms, without a wire type."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any

from dspy_orchestrator.errors import JobCancelled, JobFailed


class JobClass(str, Enum):
    """Where and how a job runs."""

    CPU_SHORT = "cpu_short"
    """Short evaluations and rollouts on the server's machine, many at once."""
    CPU_LONG = "cpu_long"
    """Long CPU tasks on the server's machine, few at once."""
    GPU = "gpu"
    """A task that owns a GPU of the server's machine."""
    GPU_SLURM = "gpu_slurm"
    """A batch job on the Slurm cluster."""
    UNKNOWN = "unknown"
    """A class that this client is too old to know."""


class JobState(str, Enum):
    """The life of a job. The last three are final."""

    QUEUED = "queued"
    SUBMITTED = "submitted"
    """Slurm has it, and it waits there."""
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"
    """A state that this client is too old to know."""

    @property
    def is_terminal(self) -> bool:
        return self in (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED)


class FailureReason(str, Enum):
    """Why a job failed."""

    EXIT_CODE = "exit_code"
    SIGNAL = "signal"
    TIMEOUT = "timeout"
    OUT_OF_MEMORY = "out_of_memory"
    NODE_FAILURE = "node_failure"
    PREEMPTED = "preempted"
    SUBMIT_REJECTED = "submit_rejected"
    LOST = "lost"
    DEPENDENCY_FAILED = "dependency_failed"
    RUNNER_ERROR = "runner_error"
    UNKNOWN = "unknown"
    """A reason that this client is too old to know."""


@dataclass(frozen=True)
class RetryPolicy:
    """When the server follows a failed attempt with another."""

    max_attempts: int
    """Attempts in all; 1 is no retry. At most 100."""
    initial_backoff: float | None = None
    """Seconds before the second attempt, doubled for each further one. None is the server's default, 1 s."""
    max_backoff: float | None = None
    """The longest wait in seconds. None is the server's default, 300 s."""
    retry_on: tuple[FailureReason, ...] = ()
    """Empty is every reason but ``submit_rejected`` and ``dependency_failed``."""


@dataclass(frozen=True)
class Resources:
    """What one attempt may use. None is the server's default for the class."""

    cpus: float | None = None
    """Processors, fractions allowed."""
    memory_bytes: int | None = None
    gpus: int | None = None
    processes: int | None = None
    """Processes and threads."""


@dataclass(frozen=True)
class Slurm:
    """What a batch job asks of Slurm, in ``sbatch``'s own words. None is what the server or the cluster says."""

    partition: str | None = None
    time_limit: str | None = None
    """As sbatch(1) has it: ``minutes``, ``hours:minutes:seconds``, ``days-hours`` …"""
    nodes: int | None = None
    gpus: int | None = None
    cpus_per_task: int | None = None
    mem: str | None = None
    """With a unit, such as ``32G``."""
    account: str | None = None
    qos: str | None = None
    requeue: bool | None = None


@dataclass(frozen=True)
class LogChunk:
    """A piece of what an attempt wrote."""

    stream: str
    """``stdout`` or ``stderr``."""
    offset: int
    """Of the first byte of data, in its stream."""
    data: bytes
    truncated: bool = False
    """The attempt wrote more than is kept."""

    @property
    def text(self) -> str:
        """The data as UTF-8; what is none of it, or is cut in two at the chunk's end, reads as U+FFFD."""
        return self.data.decode(errors="replace")


@dataclass(frozen=True)
class Job:
    """One job as the server knew it when it answered."""

    job_id: str
    job_class: JobClass
    state: JobState
    attempt: int
    """From 1; 0 until the first attempt has started."""
    submitted_at: datetime
    started_at: datetime | None
    """Of the newest attempt."""
    finished_at: datetime | None
    exit_code: int
    """Of the newest attempt that ended; 0 also when a signal ended it."""
    signal: int
    """The signal that ended the newest attempt, or 0."""
    failure_reason: FailureReason | None
    error: str
    """One line for people; empty unless something went wrong."""
    result: Any
    """What the job left as its result, parsed from JSON; None when it left nothing."""
    payload: Mapping[str, Any]
    labels: Mapping[str, str] = field(default_factory=dict)
    priority: int = 0
    slurm_job_id: str = ""
    last_sequence: int = 0
    """Sequence of the job's newest event: ``events(after=job.last_sequence)`` misses nothing of this job."""
    depends_on: tuple[str, ...] = ()
    """Ids of the jobs that must succeed first."""
    deadline: datetime | None = None
    """When the job fails with ``timeout`` unless it has ended."""

    @property
    def is_done(self) -> bool:
        return self.state.is_terminal

    def raise_for_state(self, log_tail: str = "") -> None:
        """Raises JobFailed, or JobCancelled, when the job ended without success; does nothing while it is under way."""
        if self.state is JobState.FAILED:
            raise JobFailed(self, log_tail)
        if self.state is JobState.CANCELLED:
            raise JobCancelled(self, log_tail)


TERMINAL_TYPES = ("task_completed", "task_failed", "task_cancelled")
"""The types of events after which a job has no further one of its life."""


@dataclass(frozen=True)
class Event:
    """One thing that happened."""

    sequence: int
    """Gapless from 1 over the whole server."""
    type: str
    """``task_submitted``, ``task_started``, ``task_retrying``, ``task_completed``, ``task_failed``,
    ``task_cancelled``, ``slurm_job_submitted``, ``slurm_job_started``, ``slurm_job_completed``,
    and ``agent.…`` of ``publish_event``; new ones may come."""
    job_id: str
    time: datetime
    attempt: int
    """The attempt it is about; 0 when none has started."""
    state: JobState
    """Of the job after the event."""
    data: Mapping[str, Any]
    source: str
    """Who caused it: ``rpc``, ``http``, ``file_queue``, ``runner``, ``slurm``, ``server`` or ``agent``."""

    @property
    def is_terminal(self) -> bool:
        """Whether the job has no further lifecycle event after this one."""
        return self.type in TERMINAL_TYPES


@dataclass(frozen=True)
class Published:
    """Where an event of the caller's own stands in the log."""

    sequence: int
    time: datetime
    already_existed: bool = False
    """An event with the same id and content was there."""


@dataclass(frozen=True)
class Metric:
    """One sample, named as on the gateway's ``/metrics``."""

    name: str
    labels: Mapping[str, str]
    type: str
    """``counter`` or ``gauge``."""
    value: float


@dataclass(frozen=True)
class ClassStats:
    """Counts since the server started, and quantiles of the run time of attempts, of one job class."""

    job_class: JobClass
    submitted: int
    succeeded: int
    failed: int
    cancelled: int
    errors: Mapping[FailureReason, int]
    p50_seconds: float
    p95_seconds: float
    p99_seconds: float
    queue_depth: int
    inflight: int
    concurrency_limit: int


@dataclass(frozen=True)
class Metrics:
    """The server's numbers at one moment."""

    metrics: tuple[Metric, ...]
    classes: Mapping[JobClass, ClassStats]
    uptime_seconds: float
    version: str

    @property
    def last_sequence(self) -> int | None:
        """Sequence of the server's newest event, or None when it doesn't say."""
        last = self.value("orchestrator_last_sequence")
        return None if last is None else int(last)

    def value(self, name: str, **labels: str) -> float | None:
        """The first sample of that name whose labels include ``labels``, or None when there is none."""
        for metric in self.metrics:
            if metric.name == name and labels.items() <= metric.labels.items():
                return metric.value
        return None
