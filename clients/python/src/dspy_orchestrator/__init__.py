"""Client of the dspy-orchestrator job server.

>>> from dspy_orchestrator import Client
>>> with Client() as client:                                            # doctest: +SKIP
...     job = client.submit(["python3", "-c", "print('__DSPY_RESULT__:[1, 2]')"])
...     job.result(timeout=60)
[1, 2]
"""

from dspy_orchestrator.aio import AsyncClient, AsyncEventStream, AsyncJobHandle, AsyncLogStream
from dspy_orchestrator.client import Client
from dspy_orchestrator.errors import (
    AlreadyExists,
    Cancelled,
    CursorTooOld,
    DeadlineExceeded,
    EventGap,
    FailedPrecondition,
    InvalidArgument,
    JobCancelled,
    JobFailed,
    NotFound,
    OrchestratorError,
    PermissionDenied,
    RemoteError,
    ResourceExhausted,
    ServerError,
    Unauthenticated,
    Unavailable,
    Unimplemented,
)
from dspy_orchestrator.executor import OrchestratorExecutor
from dspy_orchestrator.handle import JobHandle, as_completed
from dspy_orchestrator.health import Health
from dspy_orchestrator.logs import LogStream
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
    Resources,
    RetryPolicy,
    Slurm,
)
from dspy_orchestrator.requests import JobSpec
from dspy_orchestrator.stream import EventStream

__all__ = [
    "AlreadyExists",
    "AsyncClient",
    "AsyncEventStream",
    "AsyncJobHandle",
    "AsyncLogStream",
    "Cancelled",
    "ClassStats",
    "Client",
    "CursorTooOld",
    "DeadlineExceeded",
    "Event",
    "EventGap",
    "EventStream",
    "FailedPrecondition",
    "FailureReason",
    "Health",
    "InvalidArgument",
    "Job",
    "JobCancelled",
    "JobClass",
    "JobFailed",
    "JobHandle",
    "JobSpec",
    "JobState",
    "LogChunk",
    "LogStream",
    "Metric",
    "Metrics",
    "NotFound",
    "OrchestratorError",
    "OrchestratorExecutor",
    "PermissionDenied",
    "Published",
    "RemoteError",
    "ResourceExhausted",
    "Resources",
    "RetryPolicy",
    "ServerError",
    "Slurm",
    "Unauthenticated",
    "Unavailable",
    "Unimplemented",
    "as_completed",
]

__version__ = "0.1.0"
