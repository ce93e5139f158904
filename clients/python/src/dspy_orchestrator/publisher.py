"""Events published off the caller's path: a bounded queue and a thread."""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from dspy_orchestrator.client import Client
from dspy_orchestrator.errors import OrchestratorError

_log = logging.getLogger(__name__)

MANY = "agent.many"
"""The type of an event that holds several, ``{"events": [{"type", "time", …}]}``: so a backlog goes out faster than
the server's limit on events a second."""

_EVENT_BYTES = 12 << 10
"""Data of one event; the server takes 16 KiB."""

_RECORD_BYTES = 4 << 10
"""Data of one record; a larger one is replaced by a note that it was."""


class Publisher:
    """``add`` never waits and never raises. What can't be kept, or sent, is counted in ``dropped``."""

    def __init__(self, client: Client, *, capacity: int = 10_000, job_id: str | None = None) -> None:
        self._client = client
        self._capacity = capacity
        # Inside a job, what happens is about that job.
        self._job_id = job_id if job_id is not None else os.environ.get("DSPY_JOB_ID")
        self.dropped = 0
        self._start()

    def _start(self) -> None:
        self._pid = os.getpid()
        self._records: deque[tuple[str, Mapping[str, Any]]] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._sending = False
        self._thread: threading.Thread | None = None

    def add(self, type: str, data: Mapping[str, Any]) -> None:  # noqa: A002
        """Takes an event, with the time of now."""
        if self._pid != os.getpid():
            # Forked: the parent's thread isn't here, and what it had taken is the parent's to send.
            self._start()
        record = {"time": datetime.now(timezone.utc).isoformat(), **data}
        with self._changed:
            if self._closed or len(self._records) >= self._capacity:
                self.dropped += 1
                return
            self._records.append((type, record))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="dspy-orchestrator-publisher", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def flush(self, timeout: float = 10.0) -> bool:
        """Waits until all is sent, or was dropped. False when ``timeout`` seconds were too few."""
        if self._pid != os.getpid():
            return True
        deadline = time.monotonic() + timeout
        with self._changed:
            while self._records or self._sending:
                left = deadline - time.monotonic()
                if left <= 0:
                    return False
                self._changed.wait(left)
        return True

    def close(self, timeout: float = 10.0) -> None:
        """Sends what there is, for at most ``timeout`` seconds, and ends."""
        self.flush(timeout)
        with self._changed:
            self._closed = True
            self.dropped += len(self._records)
            self._records.clear()
            self._changed.notify_all()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._sending = False
                self._changed.notify_all()
                while not self._records and not self._closed:
                    self._changed.wait()
                if self._closed:
                    return
                self._sending = True
                records = self._taken()
            try:
                type_, data = packed(records)
                self._client.publish_event(type_, data, job=self._job_id)
            except OrchestratorError as error:
                if not self.dropped:
                    _log.warning("events are lost: %s", error)
                self.dropped += len(records)

    def _taken(self) -> list[tuple[str, Mapping[str, Any]]]:
        """The next records that fit one event."""
        taken: list[tuple[str, Mapping[str, Any]]] = []
        room = _EVENT_BYTES
        while self._records:
            type_, data = self._records[0]
            data = bounded(data)
            room -= len(json.dumps(data)) + len(type_) + 32
            if taken and room < 0:
                break
            taken.append((type_, data))
            self._records.popleft()
        return taken


def packed(records: Sequence[tuple[str, Mapping[str, Any]]]) -> tuple[str, Mapping[str, Any]]:
    """One record as it is; several as one event of type MANY."""
    if len(records) == 1:
        return records[0]
    return MANY, {"events": [{"type": type_, **data} for type_, data in records]}


def bounded(data: Mapping[str, Any]) -> Mapping[str, Any]:
    """The data in JSON's terms, or what is left of it when there is too much."""
    text = json.dumps(data, default=str)
    if len(text) <= _RECORD_BYTES:
        found: Mapping[str, Any] = json.loads(text)
        return found
    kept = {key: value for key, value in data.items() if isinstance(value, (str, int, float)) and len(str(value)) < 200}
    return {**kept, "left_out": f"{len(text)} bytes are more than the {_RECORD_BYTES} of one record"}
