"""A reinforcement learning run that is a job, fed over a shared directory."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dspy.clients.provider import ReinforceJob

from dspy_orchestrator import training
from dspy_orchestrator.errors import DeadlineExceeded, FailedPrecondition
from dspy_orchestrator.handle import JobHandle

if TYPE_CHECKING:
    from dspy_orchestrator.dspy.provider import OrchestratorProvider

CHECKPOINT_SECONDS = 3600.0
"""How long a checkpoint may take."""


class OrchestratorReinforceJob(ReinforceJob):
    """What ``LM.reinforce``, and by it ``dspy.GRPO``, works with. ``get_status`` costs one small file to read."""

    def __init__(self, provider: OrchestratorProvider, lm: Any, train_kwargs: dict[str, Any] | None = None) -> None:
        super().__init__(lm=lm, train_kwargs=train_kwargs)
        self._provider = provider
        self._steps = 0
        self._handle: JobHandle | None = None
        self._directory: Path | None = None

    @property
    def handle(self) -> JobHandle:
        """The job. Raises FailedPrecondition before ``initialize``."""
        if self._handle is None:
            raise FailedPrecondition("the training has not begun: call initialize() first")
        return self._handle

    @property
    def directory(self) -> Path:
        """What is shared with the trainer; see ``dspy_orchestrator.training``."""
        if self._directory is None:
            raise FailedPrecondition("the training has not begun: call initialize() first")
        return self._directory

    def initialize(self) -> None:
        """Submits the job; the trainer says in its status when it wants the first batches."""
        run = self._provider.run_directory("grpo")
        training.write(run / "config.json", {"model": self.lm.model, "train_kwargs": self.train_kwargs})
        (run / "steps").mkdir()
        (run / "checkpoints").mkdir()
        self._directory = run
        self._handle = self._provider.start(run, "grpo", self.lm.model, self.train_kwargs, {"directory": str(run)})
        # Has the end told by events, so that get_status need not ask.
        self._handle.add_done_callback(lambda _: None)

    def get_status(self) -> dict[str, Any]:
        """As GRPO reads it. Raises JobFailed once the training has failed."""
        told = training.read(self.directory / "status.json") or {}
        self.checkpoints = dict(told.get("checkpoints", {}))
        self.last_checkpoint = next(reversed(self.checkpoints), None)
        if told.get("model"):
            self.lm.model = told["model"]
        self._check_goes_on()
        return {
            "job_id": self.handle.job_id,
            "status": self.handle.job.state.value,
            "current_model": self.lm.model,
            "checkpoints": self.checkpoints,
            "last_checkpoint": self.last_checkpoint,
            "pending_batch_ids": told.get("pending_batch_ids", []),
        }

    def step(self, train_data: list[dict[str, Any]], train_data_format: Any = None) -> None:
        """Hands the trainer a step's groups and returns; ``get_status`` tells when the next are wanted."""
        self._check_goes_on()
        self._steps += 1
        content = {"format": str(getattr(train_data_format, "value", train_data_format)), "groups": train_data}
        training.write(self.directory / "steps" / f"{self._steps:06d}.json", content)

    def save_checkpoint(self, checkpoint_name: str, timeout: float = CHECKPOINT_SECONDS) -> str:
        """Has the trainer save one, and returns its path. Raises DeadlineExceeded after ``timeout`` seconds."""
        name = training.checked_name(checkpoint_name)
        (self.directory / "checkpoints" / f"{name}.request").touch()
        deadline = time.monotonic() + timeout
        while name not in self.get_status()["checkpoints"]:
            if time.monotonic() > deadline:
                raise DeadlineExceeded(
                    f"no checkpoint {name} after {timeout:g} s: see `dspy-orch logs {self.handle.job_id}`"
                )
            time.sleep(_LOOK_SECONDS)
        return str(self.checkpoints[name])

    def terminate(self, timeout: float | None = None) -> None:
        """Says that no more steps will come, waits for the training's end, and has the LM be the trained model."""
        (self.directory / "terminate").touch()
        result = self.handle.result(timeout)
        if isinstance(result, dict) and result.get("model"):
            self.lm.model = result["model"]

    def _check_goes_on(self) -> None:
        """GRPO asks again and again while no batch is wanted: that a training has ended must not look like that."""
        if self.handle.job.is_done:
            self.handle.result(0)
            raise FailedPrecondition(
                f"training job {self.handle.job_id} ended by itself, before it was told that no more steps will come"
            )

    def cancel(self) -> bool:
        """Ends the training at once."""
        return self.handle.cancel("the training was cancelled")

    def status(self) -> str:
        """The job's state in a word."""
        return str(self.handle.status().state.value)


_LOOK_SECONDS = 0.2
