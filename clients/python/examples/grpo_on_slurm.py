"""GRPO whose trainer is a Slurm job: python grpo_on_slurm.py DIRECTORY [--local]

DIRECTORY is one that this machine and the cluster's nodes share. --local has the trainer run on the server's machine.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import dspy
from dspy.teleprompt.grpo import GRPO
from dspy.utils import DummyLM

from dspy_orchestrator import Client, Slurm
from dspy_orchestrator.dspy import OrchestratorProvider

TRAINER = [sys.executable, str(Path(__file__).with_name("grpo_trainer.py"))]


class Student(DummyLM):  # type: ignore[misc]
    """Stands for ``dspy.LM("openai/…", api_base=…, provider=provider)``."""

    def __init__(self, provider: OrchestratorProvider) -> None:
        super().__init__([{"answer": "4"}] * 1000)
        self.provider = provider

    def reinforce(self, train_kwargs: dict[str, Any]) -> Any:
        job = self.provider.ReinforceJob(lm=self, train_kwargs=train_kwargs)
        job.initialize()
        return job


def main(directory: str, *options: str) -> None:
    with Client() as client:
        if "--local" in options:
            provider = OrchestratorProvider(client, directory, command=TRAINER, job_class="cpu_long")
        else:
            slurm = Slurm(partition="gpu", gpus=1, time_limit="4:00:00")
            provider = OrchestratorProvider(client, directory, command=TRAINER, slurm=slurm)

        program = dspy.Predict("question -> answer")
        program.set_lm(Student(provider))
        optimizer = GRPO(
            metric=lambda example, prediction, trace=None: float(example.answer == prediction.answer),
            adapter=dspy.ChatAdapter(),
            exclude_demos=True,
            num_train_steps=2,
            num_dspy_examples_per_grpo_step=1,
            num_rollouts_per_grpo_step=2,
            num_threads=2,
        )
        trainset = [dspy.Example(question=f"2+{n}?", answer=str(2 + n)).with_inputs("question") for n in (1, 2)]
        with dspy.context(adapter=dspy.ChatAdapter()):
            trained = optimizer.compile(program, trainset=trainset)
        print("trained:", trained.lm.model)


if __name__ == "__main__":
    main(*sys.argv[1:])
