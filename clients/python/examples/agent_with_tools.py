"""An agent that starts a job and looks after it: python agent_with_tools.py"""

from __future__ import annotations

import json
from typing import Any

import dspy
from dspy.utils import DummyLM

from dspy_orchestrator import Client
from dspy_orchestrator.dspy import orchestrator_tools


class Scripted(DummyLM):  # type: ignore[misc]
    """Stands for a real model: it does what one would, with the id that the first tool gave it."""

    def __init__(self, client: Client) -> None:
        super().__init__(self._answers(client))

    @staticmethod
    def _answers(client: Client) -> Any:
        command = ["sh", "-c", "echo counting; echo __DSPY_RESULT__:42"]
        yield _act("start it", "submit_job", command=command)
        job = next(client.list())
        client.wait(job.job_id, timeout=60)
        yield _act("see what came of it", "job_status", job_id=job.job_id)
        yield _act("that is it", "finish")
        yield {"reasoning": "the job's result is 42", "answer": "42"}


def _act(thought: str, tool: str, **arguments: Any) -> dict[str, str]:
    return {"next_thought": thought, "next_tool_name": tool, "next_tool_args": json.dumps(arguments)}


def main() -> None:
    with Client() as client:
        agent = dspy.ReAct("question -> answer", tools=orchestrator_tools(client))
        with dspy.context(lm=Scripted(client)):
            prediction = agent(question="What does the counting program count to?")
        for step in range(2):
            print(prediction.trajectory[f"tool_name_{step}"], "→", prediction.trajectory[f"observation_{step}"])
        print("answer:", prediction.answer)


if __name__ == "__main__":
    main()
