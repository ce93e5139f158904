"""What the tests have workers do."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dspy_orchestrator.worker import current_task


def echo(payload: Mapping[str, Any]) -> Any:
    return payload


def do(payload: Mapping[str, Any]) -> Any:
    """Whatever the payload's "do" says."""
    action, value = payload["do"], payload.get("value")
    if action == "raise":
        raise LookupError(value)
    if action == "exit":
        sys.exit(value)
    if action == "print":
        print(f"python {value}")
        os.write(1, f"descriptor {value}\n".encode())
        subprocess.run(["sh", "-c", f"echo child {value}; echo error {value} >&2"], check=True)
        return sys.stdin.read()
    if action == "task":
        task = current_task()
        assert task is not None
        return [task.id, task.attempt, task.timeout_seconds, os.environ["DSPY_JOB_ID"], os.environ["DSPY_ATTEMPT"]]
    if action == "make":
        return {"large": "x" * int(payload["value"]), "object": object(), "nan": float("nan")}[payload["what"]]
    if action == "cleanup":
        try:
            Path(payload["begun"]).touch()
            time.sleep(60)
        finally:
            Path(payload["cleaned"]).touch()
    return "unknown"


async def slowly(payload: Mapping[str, Any]) -> Any:
    await asyncio.sleep(0)
    return payload["value"]


def add(a: int, b: int = 0) -> int:
    return a + b


def divide(a: int, b: int) -> float:
    return a / b


class Shelf:
    @staticmethod
    def double(a: int) -> int:
        return 2 * a
