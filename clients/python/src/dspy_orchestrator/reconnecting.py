"""How long a lost stream is looked for. Pure: time and errors come in as parameters."""

from __future__ import annotations

import grpc

from dspy_orchestrator.backoff import Backoff
from dspy_orchestrator.errors import from_rpc_error, retry_delay

_CONNECTED_SECONDS = 30.0
"""An attempt that lasted longer than this had a connection: gRPC gives up connecting after 20 s."""


class Reconnecting:
    """Says how long to wait before a stream is opened again, and when to give up."""

    def __init__(self, method: str, target: str, reconnect_for: float) -> None:
        self._method = method
        self._target = target
        self._reconnect_for = reconnect_for
        self._backoff = Backoff()
        self._lost_at: float | None = None
        self._opened_at = 0.0

    def opened(self, now: float) -> None:
        self._opened_at = now

    def received(self) -> None:
        """Something came: the server is there."""
        self._backoff.reset()
        self._lost_at = None

    def lost(self, error: grpc.RpcError | None, now: float) -> float:
        """Seconds until the next attempt. ``error`` is None when the stream ended with OK before its time.

        Raises what the error stands for once the server has been away for longer than ``reconnect_for``.
        """
        if self._lost_at is None or now - self._opened_at > _CONNECTED_SECONDS:
            self._lost_at = now
            self._backoff.reset()
        delay = self._backoff.next(None if error is None else retry_delay(error))
        if error is not None and now + delay - self._lost_at > self._reconnect_for:
            raise from_rpc_error(error, target=self._target, method=self._method) from None
        return delay
