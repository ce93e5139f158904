"""Whether a call that failed is made again, and when. Pure: time and errors come in as parameters."""

from __future__ import annotations

from dataclasses import dataclass, field

import grpc

from dspy_orchestrator.backoff import Backoff
from dspy_orchestrator.errors import from_rpc_error, retry_delay


@dataclass
class Attempts:
    """The tries of one call that may be repeated, until its deadline."""

    name: str
    target: str
    deadline: float
    """On the clock that ``now`` is read from."""
    backoff: Backoff = field(default_factory=Backoff)
    _last: grpc.RpcError | None = field(default=None, init=False)
    """Why the try before failed."""

    def left(self, now: float) -> float:
        """Seconds the next try may take; gRPC refuses a timeout of 0."""
        return max(0.001, self.deadline - now)

    def after(self, error: grpc.RpcError, now: float) -> float:
        """Seconds to wait before the next try. Raises what the error stands for when there is to be none."""
        if may_retry(error):
            self._last = error
            delay = self.backoff.next(retry_delay(error))
            if now + delay < self.deadline:
                return delay
        elif error.code() is grpc.StatusCode.DEADLINE_EXCEEDED and self._last is not None:
            # The deadline has cut the last try short: what the others failed of says more.
            error = self._last
        raise from_rpc_error(error, target=self.target, method=self.name) from None


def may_retry(error: grpc.RpcError) -> bool:
    """Whether the same call may go through a little later.

    RESOURCE_EXHAUSTED counts only with the server's RetryInfo: without it a message was too large, and stays so.
    """
    code = error.code()
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED:
        return retry_delay(error) is not None
    return code is grpc.StatusCode.UNAVAILABLE


def may_resume(error: grpc.RpcError) -> bool:
    """Whether a broken stream may be taken up again: the connection went, not the request.

    grpcio reports some lost connections and resets as UNKNOWN or INTERNAL (PROTOCOL-HTTP2, "HTTP2 Transport Mapping"),
    and a server or proxy may cap how long a stream lasts.
    """
    code, details = error.code(), error.details() or ""
    if code in (grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL):
        return "RST_STREAM" in details or "Stream removed" in details
    return may_retry(error) or code is grpc.StatusCode.DEADLINE_EXCEEDED
