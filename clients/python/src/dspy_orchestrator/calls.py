"""One call to the server, tried until it is answered or its deadline is over."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import Any

import grpc

from dspy_orchestrator.backoff import Backoff
from dspy_orchestrator.errors import Cancelled, OrchestratorError, from_rpc_error, retry_delay


@dataclass
class Caller:
    """What every call needs: where the server is, and whether the client has been closed meanwhile."""

    target: str
    closed: threading.Event = field(default_factory=threading.Event)

    def unary(self, method: Any, request: Any, name: str, timeout: float) -> Any:
        """Calls until there is an answer, for at most ``timeout`` seconds. Only for calls that may be repeated."""
        deadline = time.monotonic() + timeout
        backoff = Backoff()
        while True:
            self.check_open()
            try:
                return method(request, timeout=max(0.001, deadline - time.monotonic()))
            except grpc.RpcError as error:
                if not may_retry(error):
                    raise self.explained(error, name) from None
                delay = backoff.next(retry_delay(error))
                if time.monotonic() + delay >= deadline:
                    raise self.explained(error, name) from None
            self.closed.wait(delay)

    def explained(self, error: grpc.RpcError, name: str) -> OrchestratorError:
        return from_rpc_error(error, target=self.target, method=name)

    def check_open(self) -> None:
        if self.closed.is_set():
            raise Cancelled("this Client is closed: make a new one")


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
