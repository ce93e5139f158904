"""A training program without a model: what an OrchestratorProvider's job runs, for the tests."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from dspy_orchestrator.training import TrainingDirectory


def main() -> None:
    payload = json.loads(Path(os.environ["DSPY_PAYLOAD_PATH"]).read_text())
    if payload["train_kwargs"].get("fail"):
        raise SystemExit("CUDA out of memory")
    if payload["train_kwargs"].get("hang"):
        time.sleep(600)
    result = reinforce(payload) if payload["method"] == "grpo" else finetune(payload)
    Path(os.environ["DSPY_RESULT_PATH"]).write_text(json.dumps(result))


def finetune(payload: Any) -> Any:
    lines = Path(payload["dataset"]).read_text().splitlines()
    return {"model": f"{payload['model']}-tuned-on-{len(lines)}"}


def reinforce(payload: Any) -> Any:
    directory = TrainingDirectory(payload["directory"])
    directory.report(pending_batch_ids=[0, 1])
    trained = 0
    for step in directory.steps():
        trained += len(step.groups)
        assert all(rollout["reward"] is not None for group in step.groups for rollout in group["group"])
        for name in directory.requested_checkpoints():
            directory.report(checkpoint=(name, f"{payload['output_dir']}/{name}"))
        first = 2 * step.number
        directory.report(pending_batch_ids=[first, first + 1], model=f"{directory.config['model']}-{step.number}")
    for name in directory.requested_checkpoints():
        directory.report(checkpoint=(name, f"{payload['output_dir']}/{name}"))
    return {"model": f"{directory.config['model']}-final", "groups": trained}


if __name__ == "__main__":
    main()
