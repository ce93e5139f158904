"""A function as a job's command: one call, in a process of its own."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from dspy_orchestrator import functions
from dspy_orchestrator.worker import outcome
from dspy_orchestrator.worker.outcome import Outcome
from dspy_orchestrator.worker.task import Task


def once(handler: str) -> int:
    """Calls the function with the job's payload and leaves its result as a job does; returns the exit code."""
    try:
        payload = _payload()
        task = Task(
            id=os.environ.get("DSPY_JOB_ID", ""),
            attempt=int(os.environ.get("DSPY_ATTEMPT", "1")),
            payload=payload,
            job_class=os.environ.get("DSPY_JOB_CLASS", ""),
        )
        with task.current():
            result = outcome.of(functions.find(handler), payload)
        text = _text(result)
    except Exception as error:
        result = Outcome(error=outcome.described(error))
        print(f"worker: {error}", file=sys.stderr)
        text = _text(result)
    _leave(text)
    return 0 if result.error is None else 1


def _text(result: Outcome) -> str:
    return json.dumps(result.value if result.error is None else {"error": result.error}, allow_nan=False)


def _payload() -> dict[str, Any]:
    """``$DSPY_PAYLOAD_PATH``, as the runner and batch scripts set it, else standard input."""
    path = os.environ.get("DSPY_PAYLOAD_PATH")
    payload = json.loads(Path(path).read_text("utf-8") if path else sys.stdin.read() or "{}")
    if not isinstance(payload, dict):
        raise ValueError(f"the payload is a {type(payload).__name__}; an object is expected")
    return payload


def _leave(text: str) -> None:
    path = os.environ.get("DSPY_RESULT_PATH")
    if path:
        Path(path).write_text(text, "utf-8")
    else:
        outcome.flush()
        print(f"\n__DSPY_RESULT__:{text}", flush=True)
