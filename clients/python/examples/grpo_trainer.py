"""The training job of grpo_on_slurm.py. A real one would take its steps with trl or verl where this one only counts."""

from __future__ import annotations

import json
import os
from pathlib import Path

from dspy_orchestrator.training import TrainingDirectory


def main() -> None:
    payload = json.loads(Path(os.environ["DSPY_PAYLOAD_PATH"]).read_text())
    directory = TrainingDirectory(payload["directory"])
    model = directory.config["model"]
    directory.report(pending_batch_ids=[0])
    for step in directory.steps():
        rewards = [rollout["reward"] for group in step.groups for rollout in group["group"]]
        print(f"step {step.number}: {len(rewards)} rollouts, mean reward {sum(rewards) / len(rewards):.2f}", flush=True)
        # Where the optimizer's step would be; then the model is served again, and the next batch is wanted.
        directory.report(pending_batch_ids=[step.number], model=model)
    Path(os.environ["DSPY_RESULT_PATH"]).write_text(json.dumps({"model": f"{model}-grpo"}))


if __name__ == "__main__":
    main()
