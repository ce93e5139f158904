"""One call to the server, tried until it is answered or its deadline is over."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import grpc

from dspy_orchestrator import channel, health
from dspy_orchestrator.errors import Cancelled
from dspy_orchestrator.retrying import Attempts
from dspy_orchestrator.security import Security
from dspy_orchestrator.v1 import orchestrator_pb2_grpc as pb_grpc


class AsyncCaller:
    """A connection, made with the first call and bound to its event loop."""

    def __init__(self, target: str, security: Security) -> None:
        self.target = target
        self._security = security
        self._credentials = security.credentials(target)
        self._channel: Any = None
        self._methods: Any = None
        self.is_closed = False

    async def unary(self, name: str, request: Any, timeout: float) -> Any:
        """Calls until there is an answer, for at most ``timeout`` seconds. Only for calls that may be repeated."""
        attempts = Attempts(name, self.target, time.monotonic() + timeout)
        while True:
            method = getattr(self._stub(), name)
            try:
                return await method(request, timeout=attempts.left(time.monotonic()), metadata=self._security.metadata)
            except grpc.RpcError as error:
                delay = attempts.after(error, time.monotonic())
            except asyncio.CancelledError:
                # A channel that is closed cancels its calls, which is not this task being cancelled.
                self._check_open()
                raise
            await asyncio.sleep(delay)

    def stream(self, name: str, request: Any, timeout: float | None) -> Any:
        """Opens a stream; the caller reads it, and sees gRPC's own errors."""
        return getattr(self._stub(), name)(request, timeout=timeout, metadata=self._security.metadata)

    async def read(self, call: Any) -> Any:
        """The next message of a stream, or None at its end."""
        try:
            message = await call.read()
        except asyncio.CancelledError:
            self._check_open()
            raise
        return None if message is grpc.aio.EOF else message

    async def close(self) -> None:
        self.is_closed = True
        if self._channel is not None:
            await self._channel.close()

    def _check_open(self) -> None:
        if self.is_closed:
            raise Cancelled("this AsyncClient is closed: make a new one") from None

    def _stub(self) -> Any:
        self._check_open()
        if self._methods is None:
            options = channel.OPTIONS
            if self._credentials is None:
                self._channel = grpc.aio.insecure_channel(self.target, options=options)
            else:
                self._channel = grpc.aio.secure_channel(self.target, self._credentials, options=options)
            self._methods = pb_grpc.OrchestratorStub(self._channel)  # type: ignore[no-untyped-call]
            self._methods.Check = health.method(self._channel)
        return self._methods
