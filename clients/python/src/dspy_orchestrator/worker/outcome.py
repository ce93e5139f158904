"""Calling a function so that whatever it does becomes a value or an error that can be told."""

from __future__ import annotations

import asyncio
import inspect
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

_MESSAGE_LIMIT = 4096
"""Characters of an exception's message that are told."""

_TRACEBACK_LIMIT = 65536
"""Characters of its traceback that are told: the end of it, where the cause is."""


class Terminated(BaseException):
    """SIGTERM came; raised where the function is, so that its ``finally`` blocks run."""


@dataclass(frozen=True)
class Outcome:
    """A value, or the error in its place: ``type``, ``message``, ``traceback``."""

    value: Any = None
    error: Mapping[str, str] | None = None


def of(function: Callable[[Mapping[str, Any]], Any], payload: Mapping[str, Any]) -> Outcome:
    """Calls the function, awaits what must be awaited, and writes the traceback of an exception to standard error."""
    try:
        value = function(payload)
        if inspect.isawaitable(value):
            value = _loop().run_until_complete(_awaited(value))
    except Terminated:
        raise
    except BaseException as error:
        # sys.exit and KeyboardInterrupt too: they end the task, not the worker.
        traceback.print_exception(error)
        return Outcome(error=described(error))
    return Outcome(value)


def described(error: BaseException) -> dict[str, str]:
    """The error as it goes into messages and results."""
    kind = type(error)
    message = f"sys.exit({error.code!r})" if isinstance(error, SystemExit) else str(error)
    return {
        "type": kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}",
        "message": message[:_MESSAGE_LIMIT],
        "traceback": "".join(traceback.format_exception(error))[-_TRACEBACK_LIMIT:],
    }


def flush() -> None:
    """Brings what the function printed to where it belongs."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()


async def _awaited(value: Any) -> Any:
    return await value


_event_loop: asyncio.AbstractEventLoop | None = None


def _loop() -> asyncio.AbstractEventLoop:
    # One for all tasks: connections that a function keeps between them are bound to their loop.
    global _event_loop
    if _event_loop is None or _event_loop.is_closed():
        _event_loop = asyncio.new_event_loop()
    return _event_loop
