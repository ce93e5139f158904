"""What a call can raise: one class for each thing a caller can act on, each with a one-line message.

The messages are written for people and for language models alike: what was wrong, with which value, what to do next.
"""

from __future__ import annotations

import concurrent.futures
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf import message as protobuf_message
from google.rpc import error_details_pb2, status_pb2

if TYPE_CHECKING:
    from dspy_orchestrator.model import FailureReason, Job


class OrchestratorError(Exception):
    """Base of everything this package raises."""


class InvalidArgument(OrchestratorError, ValueError):
    """The request can't be right as it is; ``field`` names what to change, or is empty."""

    def __init__(self, message: str, field: str = "") -> None:
        super().__init__(message)
        self.field = field


class NotFound(OrchestratorError, LookupError):
    """No such job."""


class AlreadyExists(OrchestratorError):
    """The job id is taken by a job with other content."""


class FailedPrecondition(OrchestratorError):
    """The server isn't set up for this, for instance for jobs of class ``gpu_slurm``."""


class CursorTooOld(OrchestratorError):
    """Events after the cursor are no longer kept; ``oldest`` is the first sequence that is, or 0 if unknown."""

    def __init__(self, message: str, oldest: int = 0) -> None:
        super().__init__(message)
        self.oldest = oldest


class ResourceExhausted(OrchestratorError):
    """The server is at a limit, or a message is larger than it takes."""


class Unauthenticated(OrchestratorError):
    """The server wants credentials."""


class PermissionDenied(OrchestratorError):
    """The credentials don't allow this."""


class Unavailable(OrchestratorError, ConnectionError):
    """The server can't be reached, or is stopping."""


class DeadlineExceeded(OrchestratorError, TimeoutError):
    """No answer in time; what was asked may still happen."""


class Unimplemented(OrchestratorError):
    """The server is older than this client and doesn't know the method."""


class Cancelled(OrchestratorError):
    """The call was ended from this side: the client was closed."""


class ServerError(OrchestratorError):
    """The server failed in a way that is no fault of the request."""


class EventGap(OrchestratorError):
    """The server skipped events: ``expected`` is the first one that is missing, ``got`` the one that came."""

    def __init__(self, expected: int, got: int) -> None:
        super().__init__(
            f"the event stream skipped from sequence {expected - 1} to {got}: events were lost on the server's side; "
            f"start again with events(after={got - 1}) to go on without them"
        )
        self.expected = expected
        self.got = got


class JobFailed(OrchestratorError):
    """The job ended without success; ``job`` says how, and ``log_tail`` how its log ended, where that could be had."""

    def __init__(self, job: Job, log_tail: str = "") -> None:
        super().__init__(job, log_tail)
        self.job = job
        self.log_tail = log_tail

    def __str__(self) -> str:
        job = self.job
        cause = " ".join(job.error.split()) or (job.failure_reason.value if job.failure_reason else "no reason given")
        return (
            f"job {job.job_id} {job.state.value} in attempt {job.attempt}: {cause}; "
            f"`dspy-orch logs {job.job_id}` shows its output"
        )

    @property
    def exit_code(self) -> int:
        return self.job.exit_code

    @property
    def signal(self) -> int:
        return self.job.signal

    @property
    def reason(self) -> FailureReason | None:
        return self.job.failure_reason

    @property
    def remote_error(self) -> RemoteError | None:
        """The exception that ended a function which ran in a worker, or None."""
        return RemoteError.found(self.job.result)


class JobCancelled(JobFailed, concurrent.futures.CancelledError):
    """The job was cancelled before it could succeed."""


@dataclass(frozen=True)
class RemoteError:
    """An exception as a worker reports it."""

    type: str
    """Its class, with its module unless that is ``builtins``."""
    message: str
    traceback: str

    @classmethod
    def found(cls, result: Any) -> RemoteError | None:
        """In a failed job's result: ``{"error": {"type", "message", "traceback"}}``."""
        error = result.get("error") if isinstance(result, dict) else None
        if not isinstance(error, dict) or not isinstance(error.get("type"), str):
            return None
        return cls(error["type"], str(error.get("message", "")), str(error.get("traceback", "")))


_BY_CODE: dict[grpc.StatusCode, type[OrchestratorError]] = {
    grpc.StatusCode.NOT_FOUND: NotFound,
    grpc.StatusCode.ALREADY_EXISTS: AlreadyExists,
    grpc.StatusCode.FAILED_PRECONDITION: FailedPrecondition,
    grpc.StatusCode.RESOURCE_EXHAUSTED: ResourceExhausted,
    grpc.StatusCode.UNAUTHENTICATED: Unauthenticated,
    grpc.StatusCode.PERMISSION_DENIED: PermissionDenied,
    grpc.StatusCode.UNAVAILABLE: Unavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
    grpc.StatusCode.UNIMPLEMENTED: Unimplemented,
    grpc.StatusCode.CANCELLED: Cancelled,
}


def from_rpc_error(error: grpc.RpcError, *, target: str, method: str) -> OrchestratorError:
    """The error of this package that stands for what gRPC reported."""
    code, details = error.code(), " ".join((error.details() or "").split())
    if code is grpc.StatusCode.INVALID_ARGUMENT:
        return InvalidArgument(details, _field_of(_details(error)))
    if code is grpc.StatusCode.OUT_OF_RANGE:
        oldest = _oldest_kept(error, details)
        remedy = f"; go on with events(after={oldest - 1})" if oldest else ""
        return CursorTooOld(details + remedy, oldest)
    if code is grpc.StatusCode.UNAVAILABLE:
        return Unavailable(
            f"no answer from the orchestrator at {target} ({details or 'connection lost'}): check that "
            "`dspy-orchestrator serve` runs there, or set DSPY_ORCHESTRATOR_TARGET"
        )
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return DeadlineExceeded(f"{method} at {target} took longer than allowed: call again, or raise the timeout")
    kind = _BY_CODE.get(code)
    if kind is not None:
        return kind(details or f"{method} ended with {code.name}")
    return ServerError(f"{method} at {target} failed with {code.name}: {details or 'no details'}; see the server's log")


def from_status(status: status_pb2.Status) -> OrchestratorError:
    """The error that stands for a status inside an answer, such as one job's of SubmitJobs."""
    code = next((code for code in grpc.StatusCode if code.value[0] == status.code), grpc.StatusCode.UNKNOWN)
    details = " ".join(status.message.split()) or f"refused with {code.name}"
    if code is grpc.StatusCode.INVALID_ARGUMENT:
        return InvalidArgument(details, _field_of(list(status.details)))
    return _BY_CODE.get(code, ServerError)(details)


def retry_delay(error: grpc.RpcError) -> float | None:
    """Seconds that the server asks to wait (google.rpc.RetryInfo), or None when it asks for nothing."""
    info = error_details_pb2.RetryInfo()
    for detail in _details(error):
        if detail.Unpack(info):
            return float(info.retry_delay.ToTimedelta().total_seconds())
    return None


def _field_of(details: list[Any]) -> str:
    bad = error_details_pb2.BadRequest()
    for detail in details:
        if detail.Unpack(bad) and bad.field_violations:
            return str(bad.field_violations[0].field)
    return ""


def _details(error: grpc.RpcError) -> list[Any]:
    metadata: Any = error.trailing_metadata() or ()
    for key, value in metadata:
        if key == "grpc-status-details-bin":
            try:
                return list(status_pb2.Status.FromString(value).details)
            except protobuf_message.DecodeError:
                return []
    return []


def _oldest_kept(error: grpc.RpcError, details: str) -> int:
    """OUT_OF_RANGE carries the oldest kept sequence in its ErrorInfo, and in its message after the word "oldest"."""
    info = error_details_pb2.ErrorInfo()
    for detail in _details(error):
        if detail.Unpack(info) and info.metadata.get("oldest_sequence", "").isdecimal():
            return int(info.metadata["oldest_sequence"])
    match = re.search(r"oldest\D*(\d+)", details)
    return int(match.group(1)) if match else 0
