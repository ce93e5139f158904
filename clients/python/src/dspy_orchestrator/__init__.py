"""Client of the dspy-orchestrator job server.

>>> from dspy_orchestrator import Client
>>> with Client() as client:                                            # doctest: +SKIP
...     job = client.submit(["python3", "-c", "print('__DSPY_RESULT__:[1, 2]')"])
...     client.wait(job.job_id, check=True).result
[1, 2]
"""

from dspy_orchestrator.client import Client
from dspy_orchestrator.errors import (
    AlreadyExists,
    Cancelled,
    CursorTooOld,
    DeadlineExceeded,
    EventGap,
    FailedPrecondition,
    InvalidArgument,
    JobFailed,
    NotFound,
    OrchestratorError,
    PermissionDenied,
    ResourceExhausted,
    ServerError,
    Unauthenticated,
    Unavailable,
    Unimplemented,
)
from dspy_orchestrator.model import (
    ClassStats,
    Event,
    FailureReason,
    Job,
    JobClass,
    JobState,
    Metric,
    Metrics,
    RetryPolicy,
)
from dspy_orchestrator.stream import EventStream

__all__ = [
    "AlreadyExists",
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
    "InvalidArgument",
    "Job",
    "JobClass",
    "JobFailed",
    "JobState",
    "Metric",
    "Metrics",
    "NotFound",
    "OrchestratorError",
    "PermissionDenied",
    "ResourceExhausted",
    "RetryPolicy",
    "ServerError",
    "Unauthenticated",
    "Unavailable",
    "Unimplemented",
]

__version__ = "0.1.0"
