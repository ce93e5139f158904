from __future__ import annotations

from typing import Any

import pytest
from fake_orchestrator import FakeOrchestrator
from test_publishing import published

from dspy_orchestrator import Client

dspy = pytest.importorskip("dspy")

from dspy_orchestrator.dspy import OrchestratorCallback  # noqa: E402


def answer(callback: Any, **context: Any) -> None:
    lm = dspy.utils.DummyLM([{"answer": "secret answer"}] * 4)
    with dspy.context(lm=lm, callbacks=[callback], **context):
        dspy.Predict("question -> answer")(question="secret question")


def test_calls_are_published_with_their_parents(fake: FakeOrchestrator, client: Client) -> None:
    callback = OrchestratorCallback(client)
    answer(callback)
    callback.close()
    events = published(fake)
    assert [kind for kind, _ in events] == [
        *["agent.module.start", "agent.lm.start", "agent.lm.end", "agent.module.end"]
    ]
    module, lm, lm_end, module_end = [data for _, data in events]
    assert (module["name"], lm["name"]) == ("Predict", "dummy")
    assert (module["parent_id"], lm["parent_id"]) == (None, module["call_id"])
    assert (lm_end["call_id"], module_end["call_id"]) == (lm["call_id"], module["call_id"])
    assert module_end["seconds"] >= lm_end["seconds"] >= 0
    assert callback.dropped == 0


def test_prompts_stay_here_unless_they_are_to_be_published(fake: FakeOrchestrator, client: Client) -> None:
    callback = OrchestratorCallback(client)
    answer(callback)
    callback.close()
    assert "secret" not in str(published(fake))
    callback = OrchestratorCallback(client, content=True)
    answer(callback)
    callback.close()
    assert "secret question" in str(published(fake))
    assert "secret answer" in str(published(fake))


def test_an_exception_is_told(fake: FakeOrchestrator, client: Client) -> None:
    def fail() -> str:
        raise LookupError("no such row")

    callback = OrchestratorCallback(client)
    with dspy.context(callbacks=[callback]), pytest.raises(LookupError):
        dspy.Tool(fail)()
    callback.close()
    assert [(kind, data.get("error")) for kind, data in published(fake)] == [
        ("agent.tool.start", None),
        ("agent.tool.end", "LookupError: no such row"),
    ]


def test_a_server_that_is_away_costs_the_program_nothing(fake: FakeOrchestrator) -> None:
    fake.stop()
    with Client(fake.target, timeout=0.2) as client:
        callback = OrchestratorCallback(client)
        answer(callback)
        callback.close(timeout=10)
    assert callback.dropped == 4
