"""A training run that is fed while it runs, as GRPO does: a directory that the trainer and its driver share.

The driver (``OrchestratorReinforceJob``) and the trainer (the job's own program, by ``TrainingDirectory``) may be on
different machines; a shared file system, such as a cluster has, is all they need. Every file appears whole, by rename.

| file | by | content |
|---|---|---|
| ``config.json`` | driver | ``{"model", "train_kwargs"}`` |
| ``steps/000001.json`` … | driver | ``{"format", "groups"}``; a group is ``{"batch_id", "group"}``, of rollouts
``{"messages", "completion", "reward"}`` |
| ``checkpoints/NAME.request`` | driver | asks for a checkpoint; empty |
| ``terminate`` | driver | no more steps will come; empty |
| ``status.json`` | trainer | ``{"step", "model", "pending_batch_ids", "checkpoints": {"name": "path"}}`` |
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dspy_orchestrator.errors import InvalidArgument

_LOOK_SECONDS = 0.2
"""How often a trainer looks for the next step; no message reaches every kind of shared file system."""


@dataclass(frozen=True)
class Step:
    """What one step trains on."""

    number: int
    """From 1."""
    format: str
    groups: Sequence[Mapping[str, Any]]


class TrainingDirectory:
    """The trainer's side: ``for step in directory.steps(): … directory.report(…)``."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._status: dict[str, Any] = {"step": 0, "model": "", "pending_batch_ids": [], "checkpoints": {}}

    @property
    def config(self) -> Mapping[str, Any]:
        """``model`` and ``train_kwargs``, as the driver gave them."""
        found: Mapping[str, Any] = read(self.path / "config.json") or {}
        return found

    def report(
        self,
        *,
        pending_batch_ids: Sequence[int] | None = None,
        model: str | None = None,
        checkpoint: tuple[str, str] | None = None,
    ) -> None:
        """Tells the driver which batches are wanted next (ids never used before), under which name the model is now
        served, and that a checkpoint is there (its name and path)."""
        if pending_batch_ids is not None:
            self._status["pending_batch_ids"] = list(pending_batch_ids)
        if model is not None:
            self._status["model"] = model
        if checkpoint is not None:
            name, path = checkpoint
            self._status["checkpoints"] = {**self._status["checkpoints"], name: path}
        write(self.path / "status.json", self._status)

    def steps(self) -> Iterator[Step]:
        """The steps in their order, waiting for each, until the driver says that no more will come."""
        number = 1
        while True:
            content = read(self.path / "steps" / f"{number:06d}.json")
            if content is not None:
                yield Step(number, content["format"], content["groups"])
                self._status["step"] = number
                write(self.path / "status.json", self._status)
                number += 1
            elif (self.path / "terminate").exists():
                return
            else:
                time.sleep(_LOOK_SECONDS)

    def requested_checkpoints(self) -> list[str]:
        """Names of checkpoints that were asked for and not reported yet."""
        asked = sorted(file.stem for file in (self.path / "checkpoints").glob("*.request"))
        return [name for name in asked if name not in self._status["checkpoints"]]


def read(file: Path) -> Any:
    """A file's JSON, or None while there is none."""
    try:
        return json.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        return None


def write(file: Path, content: Any) -> None:
    """The file as a whole, and on the disk, before it has its name."""
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f".{file.name}.{os.getpid()}.part")
    with part.open("w", encoding="utf-8") as stream:
        json.dump(content, stream, ensure_ascii=False)
        stream.flush()
        os.fsync(stream.fileno())
    part.rename(file)


def checked_name(name: str) -> str:
    """A checkpoint's name, which becomes part of a file's."""
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}", name):
        raise InvalidArgument(f"checkpoint name {name!r}: use up to 100 letters, digits, _ . and -", "checkpoint_name")
    return name
