"""Streams pause while this process is forked: gRPC can't tell what a call in another thread becomes in a child."""

from __future__ import annotations

import os
import weakref
from typing import Protocol


class Pausable(Protocol):
    def pause(self) -> None: ...

    def resume(self) -> None: ...


_alive: weakref.WeakSet[Pausable] = weakref.WeakSet()


def guard(stream: Pausable) -> None:
    """Has the stream paused before a fork, and resumed after it in the parent alone."""
    _alive.add(stream)


def _pause() -> None:
    for stream in list(_alive):
        stream.pause()


def _resume() -> None:
    for stream in list(_alive):
        stream.resume()


def _forget() -> None:
    _alive.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_pause, after_in_parent=_resume, after_in_child=_forget)
