"""A fine-tuning run that is a job."""

from __future__ import annotations

import threading
from typing import Any

from dspy.clients.provider import TrainingJob

from dspy_orchestrator.errors import OrchestratorError
from dspy_orchestrator.handle import JobHandle


class OrchestratorTrainingJob(TrainingJob):
    """What ``LM.finetune`` returns with an OrchestratorProvider: ``result()`` is the new LM, or raises."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._lock = threading.Lock()
        self._unwanted = False
        self.handle: JobHandle | None = None
        """The job, once it was submitted."""

    def started(self, handle: JobHandle) -> None:
        with self._lock:
            self.handle = handle
            unwanted = self._unwanted
        if unwanted:
            handle.cancel("the training job was cancelled")

    def status(self) -> str:
        """The job's state in a word; ``preparing`` before it was submitted."""
        handle = self.handle
        if handle is None:
            return "failed" if super().done() else "preparing"
        return str((handle.job if super().done() else handle.status()).state.value)

    def cancel(self) -> bool:
        """Asks the server to end the training; ``result()`` raises JobCancelled once it has."""
        # Not Future.cancel: DSPy's thread sets this job's result when the training has ended, which a cancelled
        # Future would answer with InvalidStateError.
        with self._lock:
            self._unwanted = True
            handle = self.handle
        if handle is None:
            return not super().done()
        try:
            return handle.cancel("the training job was cancelled")
        except OrchestratorError:
            return False

    def set_result(self, result: Any) -> None:
        # DSPy sets an exception as the result, which would then be returned to who asks for an LM.
        if isinstance(result, BaseException):
            self.set_exception(result)
        else:
            super().set_result(result)
