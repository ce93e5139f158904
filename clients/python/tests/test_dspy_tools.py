from __future__ import annotations

import asyncio
import json
from typing import Any

import grpc
import pytest
from fake_orchestrator import Failure, FakeOrchestrator

from dspy_orchestrator import AsyncClient, Client
from dspy_orchestrator.v1 import orchestrator_pb2 as pb

dspy = pytest.importorskip("dspy")

from dspy_orchestrator.dspy import OrchestratorStatusMessages, orchestrator_tools  # noqa: E402


def tools(client: Client | AsyncClient) -> dict[str, Any]:
    return {tool.name: tool for tool in orchestrator_tools(client)}


def test_the_tools_answer_at_once_in_compact_json(fake: FakeOrchestrator, client: Client) -> None:
    named = tools(client)
    started = json.loads(named["submit_job"](command=["echo", "hi"], timeout_seconds=5.0))
    job_id = started["job_id"]
    assert started["state"] == "queued"
    assert fake.requests["SubmitJob"][0].timeout.seconds == 5
    assert "ask again later" in named["job_status"](job_id=job_id)
    fake.jobs[job_id].result = b"[1,2]"
    fake.jobs[job_id].state = pb.JOB_STATE_SUCCEEDED
    assert json.loads(named["job_status"](job_id=job_id))["result"] == [1, 2]
    fake.logs[job_id, "stdout"] = b"x" * 9000 + b"end"
    output = json.loads(named["job_output"](job_id=job_id))["stdout"]
    assert output.endswith("xend")
    assert len(output) == 4000
    assert named["list_jobs"](limit=3) == f'[{{"job_id":"{job_id}","state":"succeeded"}}]'
    assert json.loads(named["cancel_job"](job_id=job_id, reason="r"))["state"] == "succeeded"


def test_what_goes_wrong_is_a_line_for_the_model(fake: FakeOrchestrator, client: Client) -> None:
    named = tools(client)
    assert named["job_status"](job_id="nope") == '{"error":"no job nope"}'
    assert "cpu_short, cpu_long" in named["submit_job"](command=["x"], job_class="huge")
    fake.failures["CancelJob"].append(Failure(grpc.StatusCode.PERMISSION_DENIED, "role submit\nis missing"))
    assert named["cancel_job"](job_id="a") == '{"error":"role submit is missing"}'


def test_a_tool_says_what_it_takes(client: Client) -> None:
    tool = tools(client)["submit_job"]
    assert set(tool.args) == {"command", "job_class", "timeout_seconds"}
    assert "no shell" in tool.desc


def test_an_agent_uses_the_tools(fake: FakeOrchestrator, client: Client) -> None:
    fake.add_job("a", pb.JOB_STATE_FAILED, error="out of memory at 2 GiB")
    answers = [
        {"next_thought": "look", "next_tool_name": "job_status", "next_tool_args": {"job_id": "a"}},
        {"next_thought": "done", "next_tool_name": "finish", "next_tool_args": {}},
        {"reasoning": "it says so", "answer": "memory"},
    ]
    agent = dspy.ReAct("question -> answer", tools=orchestrator_tools(client))
    with dspy.context(lm=dspy.utils.DummyLM(answers)):
        prediction = agent(question="why did a fail?")
    assert prediction.answer == "memory"
    assert "out of memory at 2 GiB" in prediction.trajectory["observation_0"]


def test_the_asynchronous_tools_do_the_same(fake: FakeOrchestrator) -> None:
    async def main() -> None:
        async with AsyncClient(fake.target, timeout=5) as client:
            named = tools(client)
            assert set(named) == set(tools(Client(fake.target)))
            job_id = json.loads(await named["submit_job"].acall(command=["true"]))["job_id"]
            fake.logs[job_id, "stderr"] = b"words"
            assert "words" in await named["job_output"].acall(job_id=job_id, stream="stderr")
            assert job_id in await named["list_jobs"].acall()
            assert job_id in await named["job_status"].acall(job_id=job_id)
            assert job_id in await named["cancel_job"].acall(job_id=job_id)
            assert await named["job_status"].acall(job_id="nope") == '{"error":"no job nope"}'

    asyncio.run(main())


def test_status_messages_name_the_job(client: Client) -> None:
    named, messages = tools(client), OrchestratorStatusMessages()
    assert "train.py" in messages.tool_start_status_message(named["submit_job"], {"command": ["python", "train.py"]})
    assert messages.tool_start_status_message(named["job_status"], {"job_id": "a"}) == "Looking after job a"
    assert messages.tool_end_status_message('{"job_id":"a","state":"running"}') == "Job a is running"
    assert messages.tool_end_status_message('{"error":"no job a"}') == "It didn't work: no job a"
    assert "finished" in messages.tool_end_status_message("some other tool's words")
    assert "other" in messages.tool_start_status_message(dspy.Tool(lambda: 1, name="other"), {})
