from __future__ import annotations

import threading
from pathlib import Path

import pytest

from dspy_orchestrator import InvalidArgument
from dspy_orchestrator.training import TrainingDirectory, checked_name, read, write


def test_the_trainer_gets_each_step_once_and_in_order(tmp_path: Path) -> None:
    write(tmp_path / "config.json", {"model": "m", "train_kwargs": {"lr": 1}})
    trainer = TrainingDirectory(tmp_path)
    assert trainer.config == {"model": "m", "train_kwargs": {"lr": 1}}

    def drive() -> None:
        for number in (1, 2):
            write(tmp_path / "steps" / f"{number:06d}.json", {"format": "grpo_chat", "groups": [{"batch_id": number}]})
        (tmp_path / "terminate").touch()

    threading.Timer(0.1, drive).start()
    steps = []
    for step in trainer.steps():
        steps.append((step.number, step.groups[0]["batch_id"]))
        trainer.report(pending_batch_ids=[step.number + 1], model=f"m-{step.number}")
    assert steps == [(1, 1), (2, 2)]
    assert read(tmp_path / "status.json") == {
        "step": 2,
        "model": "m-2",
        "pending_batch_ids": [3],
        "checkpoints": {},
    }


def test_a_checkpoint_is_asked_for_until_it_is_reported(tmp_path: Path) -> None:
    trainer = TrainingDirectory(tmp_path)
    assert trainer.requested_checkpoints() == []
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "best.request").touch()
    assert trainer.requested_checkpoints() == ["best"]
    trainer.report(checkpoint=("best", "/models/best"))
    assert trainer.requested_checkpoints() == []
    assert read(tmp_path / "status.json")["checkpoints"] == {"best": "/models/best"}


@pytest.mark.parametrize("name", ["", "..", "a/b", ".hidden", "x" * 101, "a\n"])
def test_a_checkpoints_name_stays_in_its_directory(name: str) -> None:
    with pytest.raises(InvalidArgument, match="letters, digits"):
        checked_name(name)
