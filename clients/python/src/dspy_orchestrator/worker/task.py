"""What a worker is asked to do."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

_current: Task | None = None


@dataclass(frozen=True)
class Task:
    """One attempt at a job."""

    id: str
    attempt: int
    payload: Mapping[str, Any]
    job_class: str = ""
    timeout_seconds: float | None = None
    """What the runner gives it; the runner keeps the clock."""
    stdout_path: str = ""
    stderr_path: str = ""

    @classmethod
    def read(cls, message: Mapping[str, Any]) -> Task:
        """From a ``task`` message; raises ValueError when a field is missing or of the wrong type."""
        timeout = message.get("timeout_seconds")
        return cls(
            id=_field(message, "id", str),
            attempt=_field(message, "attempt", int),
            payload=_field(message, "payload", dict),
            job_class=_field(message, "class", str, ""),
            timeout_seconds=None if timeout is None else float(_field(message, "timeout_seconds", (int, float))),
            stdout_path=_field(message, "stdout_path", str, ""),
            stderr_path=_field(message, "stderr_path", str, ""),
        )

    @contextmanager
    def current(self) -> Iterator[None]:
        """Makes it the one that ``current_task`` and the environment tell of."""
        global _current
        variables = {"DSPY_JOB_ID": self.id, "DSPY_ATTEMPT": str(self.attempt), "DSPY_JOB_CLASS": self.job_class}
        before = {name: os.environ.get(name) for name in variables}
        _current = self
        os.environ.update(variables)
        try:
            yield
        finally:
            _current = None
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value


def current_task() -> Task | None:
    """The task whose function is running in this process, or None."""
    return _current


def _field(message: Mapping[str, Any], name: str, kind: Any, default: Any = None) -> Any:
    value = message.get(name, default)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ValueError(f"a task's {name} is {value!r}")
    return value
