"""A warm worker: one task after another over standard input and output."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import signal
import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, BinaryIO

import dspy_orchestrator
from dspy_orchestrator import functions
from dspy_orchestrator.worker import frames, outcome
from dspy_orchestrator.worker.outcome import Outcome, Terminated
from dspy_orchestrator.worker.task import Task

PROTOCOL = 1

PROTOCOL_VARIABLE = "DSPY_WORKER_PROTOCOL"
"""Which version the runner speaks, when it says so."""

EXIT_PROTOCOL = 2
EXIT_START = 3
EXIT_TERMINATED = 128 + signal.SIGTERM


def serve(handler: str, max_frame_bytes: int) -> int:
    """Runs until the runner closes standard input; returns the process's exit code."""
    requests, answers = _take_over()
    signal.signal(signal.SIGTERM, _terminate)
    # The runner decides when a worker ends, not a Ctrl-C in the terminal they share.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        wanted = os.environ.get(PROTOCOL_VARIABLE, str(PROTOCOL))
        if wanted != str(PROTOCOL):
            raise frames.ProtocolError(f"the runner speaks version {wanted} of the protocol, this worker {PROTOCOL}")
        function = functions.find(handler)
    except Terminated:
        return EXIT_TERMINATED
    except BaseException as error:
        frames.write(answers, {"type": "fatal", "error": outcome.described(error)}, max_frame_bytes)
        print(f"worker: {handler} can't be loaded: {error}", file=sys.stderr)
        return EXIT_START
    hello = {
        "type": "hello",
        "protocol": PROTOCOL,
        "pid": os.getpid(),
        "handler": handler,
        "max_frame_bytes": max_frame_bytes,
        "package": dspy_orchestrator.__version__,
        "python": platform.python_version(),
    }
    try:
        frames.write(answers, hello, max_frame_bytes)
        while (message := frames.read(requests, max_frame_bytes)) is not None:
            # A message of a later minor version is none of this worker's business.
            if message.get("type") == "task":
                _answer(answers, function, Task.read(message), max_frame_bytes)
    except (frames.ProtocolError, ValueError) as error:
        with contextlib.suppress(OSError):
            frames.write(answers, {"type": "fatal", "error": outcome.described(error)}, max_frame_bytes)
        print(f"worker: {error}", file=sys.stderr)
        return EXIT_PROTOCOL
    except BrokenPipeError:
        print("worker: the runner is gone", file=sys.stderr)
    except Terminated:
        return EXIT_TERMINATED
    return 0


def _answer(answers: BinaryIO, function: Callable[..., Any], task: Task, limit: int) -> None:
    try:
        with task.current(), _output(task):
            result = _encodable(outcome.of(function, task.payload), limit)
    except OSError as error:
        result = Outcome(error=outcome.described(error))
    message = {"type": "result", "id": task.id, "attempt": task.attempt, "ok": result.error is None}
    message |= {"value": result.value} if result.error is None else {"error": result.error}
    frames.write(answers, message, limit)


_ENVELOPE_BYTES = 1024
"""More than a result's message is larger than its value."""


def _encodable(result: Outcome, limit: int) -> Outcome:
    """The outcome, or the error in its place that its value has no JSON form or is too large."""
    if result.error is not None:
        return result
    try:
        size = len(json.dumps(result.value, ensure_ascii=False, allow_nan=False).encode("utf-8", "surrogatepass"))
        if size > limit - _ENVELOPE_BYTES:
            raise ValueError(
                f"the result is {size} bytes of JSON, the limit is {limit - _ENVELOPE_BYTES}: write it to a file and "
                "return its path"
            )
    except (TypeError, ValueError, RecursionError) as error:
        print(f"worker: the result can't be sent: {error}", file=sys.stderr)
        return Outcome(error=outcome.described(error))
    return result


def _take_over() -> tuple[BinaryIO, BinaryIO]:
    """Moves the protocol away from descriptors 0 and 1, so that no print, and no child's output, gets into it."""
    requests, answers = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    for stream in (sys.stdout, sys.stderr):
        # A log is read while it is written.
        getattr(stream, "reconfigure", lambda **_: None)(line_buffering=True)
    return os.fdopen(requests, "rb"), os.fdopen(answers, "wb")


@contextlib.contextmanager
def _output(task: Task) -> Iterator[None]:
    """Has what is printed, also by child processes, written to the task's files, where it names some."""
    kept: list[tuple[int, int]] = []
    try:
        for descriptor, path in ((1, task.stdout_path), (2, task.stderr_path)):
            if path:
                file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
                kept.append((descriptor, os.dup(descriptor)))
                os.dup2(file, descriptor)
                os.close(file)
        yield
    finally:
        outcome.flush()
        for descriptor, before in kept:
            os.dup2(before, descriptor)
            os.close(before)


def _terminate(number: int, frame: FrameType | None) -> None:
    raise Terminated
