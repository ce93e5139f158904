"""One call to the server, tried until it is answered or its deadline is over."""

from __future__ import annotations

import os
import threading
import time
from typing import Any

import grpc

from dspy_orchestrator import channel, health
from dspy_orchestrator.errors import Cancelled
from dspy_orchestrator.retrying import Attempts
from dspy_orchestrator.security import Security
from dspy_orchestrator.v1 import orchestrator_pb2_grpc as pb_grpc


class Caller:
    """A connection, made when it is first needed and made anew in a process that was forked off."""

    def __init__(self, target: str, security: Security) -> None:
        self.target = target
        self._security = security
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._pid = 0
        self._channel: grpc.Channel | None = None
        self._methods: Any = None
        # What can't be read or can't be right is told here rather than at the first call.
        self._credentials = security.credentials(target)

    def unary(self, name: str, request: Any, timeout: float) -> Any:
        """Calls until there is an answer, for at most ``timeout`` seconds. Only for calls that may be repeated."""
        attempts = Attempts(name, self.target, time.monotonic() + timeout)
        while True:
            method = getattr(self._stub(), name)
            try:
                return method(request, timeout=attempts.left(time.monotonic()), metadata=self._security.metadata)
            except grpc.RpcError as error:
                delay = attempts.after(error, time.monotonic())
            self.pause(delay)

    def stream(self, name: str, request: Any, timeout: float | None) -> Any:
        """Opens a stream; the caller reads it, and sees gRPC's own errors."""
        return getattr(self._stub(), name)(request, timeout=timeout, metadata=self._security.metadata)

    def pause(self, seconds: float) -> None:
        """Waits, but not for a client that is closed meanwhile."""
        self._closed.wait(seconds)

    @property
    def is_closed(self) -> bool:
        return self._closed.is_set()

    def close(self) -> None:
        self._closed.set()
        with self._lock:
            # A parent's connection is the parent's to close.
            if self._channel is not None and self._pid == os.getpid():
                self._channel.close()
            self._channel = self._methods = None

    def _stub(self) -> Any:
        if self._pid != os.getpid():
            # Forked: a lock may have been held by a thread that isn't here, and the connection is the parent's.
            self._lock = threading.Lock()
            self._pid, self._channel, self._methods = os.getpid(), None, None
        with self._lock:
            if self._closed.is_set():
                raise Cancelled("this Client is closed: make a new one")
            if self._methods is None:
                if self._credentials is None:
                    self._channel = grpc.insecure_channel(self.target, options=channel.OPTIONS)
                else:
                    self._channel = grpc.secure_channel(self.target, self._credentials, options=channel.OPTIONS)
                self._methods = pb_grpc.OrchestratorStub(self._channel)  # type: ignore[no-untyped-call]
                self._methods.Check = health.method(self._channel)
            return self._methods
