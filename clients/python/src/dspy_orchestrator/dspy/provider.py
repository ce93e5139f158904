"""A DSPy provider whose training runs are jobs."""

from __future__ import annotations

import functools
import json
import os
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dspy.clients.provider import Provider, TrainingJob

from dspy_orchestrator.client import Client
from dspy_orchestrator.dspy.reinforce import OrchestratorReinforceJob
from dspy_orchestrator.dspy.training import OrchestratorTrainingJob
from dspy_orchestrator.errors import InvalidArgument
from dspy_orchestrator.handle import JobHandle
from dspy_orchestrator.model import JobClass, Resources, RetryPolicy, Slurm


class OrchestratorProvider(Provider):
    """``dspy.LM(model, provider=OrchestratorProvider(client, data_dir, …))``: then ``LM.finetune``,
    ``BootstrapFinetune`` and ``GRPO`` train by jobs.

    ``data_dir`` is a directory that this program and the jobs see under the same path. How a training runs is said as
    in ``Client.submit``: ``command``, or ``handler``, or ``slurm`` for a batch template of the server, or for the
    command as a batch job. Its class is ``gpu`` unless said otherwise.

    The job's payload, which its program finds in the file ``$DSPY_PAYLOAD_PATH``:
    ``{"method", "model", "train_kwargs", "output_dir"}`` and, for fine-tuning, ``"dataset"`` (a file of JSON lines) and
    ``"data_format"``; for reinforcement ``"directory"``, which ``dspy_orchestrator.training.TrainingDirectory``
    explains. ``method`` is ``train_kwargs["method"]``, else ``finetune`` or ``grpo``. Its result, ``{"model": "…"}``,
    names the trained model as an LM takes it; without one it is ``output_dir``.
    """

    def __init__(
        self,
        client: Client,
        data_dir: str | os.PathLike[str],
        *,
        command: Sequence[str] | None = None,
        handler: str | None = None,
        slurm: Slurm | None = None,
        job_class: JobClass | str | None = None,
        labels: Mapping[str, str] | None = None,
        timeout: float | None = None,
        retry: RetryPolicy | None = None,
        resources: Resources | None = None,
        env: Mapping[str, str] | None = None,
        cwd: str | os.PathLike[str] | None = None,
    ) -> None:
        super().__init__()
        if command is None and handler is None and slurm is None:
            raise InvalidArgument("nothing says how to train: give command, handler or slurm", "command")
        self.finetunable = True
        self.reinforceable = True
        self.TrainingJob = OrchestratorTrainingJob
        self.ReinforceJob = functools.partial(OrchestratorReinforceJob, self)
        self.data_dir = Path(data_dir).absolute()
        self._client = client
        self._options: dict[str, Any] = {
            "command": command,
            "handler": handler,
            "slurm": slurm,
            "job_class": job_class or (None if slurm is not None else JobClass.GPU),
            "labels": labels,
            "timeout": timeout,
            "retry": retry,
            "resources": resources,
            "env": env,
            "cwd": cwd,
        }

    @staticmethod
    def is_provider_model(model: str) -> bool:
        """Never: what trains a model is chosen in words."""
        return False

    def finetune(
        self,
        job: TrainingJob,
        model: str,
        train_data: list[dict[str, Any]],
        train_data_format: Any,
        train_kwargs: dict[str, Any] | None = None,
    ) -> str:
        """Trains, and returns the new model's name. DSPy calls it on a thread of the job's own."""
        run = self.run_directory("finetune")
        dataset = run / "train.jsonl"
        with dataset.open("w", encoding="utf-8") as stream:
            for example in train_data:
                stream.write(json.dumps(example, ensure_ascii=False) + "\n")
        handle = self.start(
            run,
            "finetune",
            model,
            train_kwargs,
            {"dataset": str(dataset), "data_format": str(getattr(train_data_format, "value", train_data_format))},
        )
        if isinstance(job, OrchestratorTrainingJob):
            job.started(handle)
        return trained_model(handle.result(), run)

    def run_directory(self, kind: str) -> Path:
        """A new directory for one run; its name becomes the job's id."""
        made = self.data_dir / f"{kind}-{uuid.uuid4()}"
        made.mkdir(parents=True)
        return made

    def start(
        self, run: Path, method: str, model: str, train_kwargs: Mapping[str, Any] | None, more: Mapping[str, Any]
    ) -> JobHandle:
        """Submits the run's job."""
        arguments = dict(train_kwargs or {})
        payload = {
            "method": arguments.pop("method", method),
            "model": model,
            "train_kwargs": arguments,
            "output_dir": str(run / "output"),
            **more,
        }
        return self._client.submit(payload=payload, job_id=run.name, **self._options)


def trained_model(result: Any, run: Path) -> str:
    """The model's name in a training's result."""
    named = result.get("model") if isinstance(result, dict) else None
    return str(named or run / "output")
