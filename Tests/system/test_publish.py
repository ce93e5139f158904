"""PublishEvent of the real executable: an agent's events among the jobs'."""

from __future__ import annotations

import hashlib
import json
from itertools import islice
from typing import Any

import grpc
import pytest
from eventually import eventually
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from refusals import bad_field, refused
from server import Server
from sse import EventStream

from dspy_orchestrator import Client
from dspy_orchestrator.v1 import orchestrator_pb2 as pb


def publish(server: Server, **fields: Any) -> pb.PublishEventResponse:
    fields["data"] = json.dumps(fields.get("data", {})).encode()
    answer = server.stub().PublishEvent(pb.PublishEventRequest(**{"type": "agent.step", **fields}), timeout=30)
    assert isinstance(answer, pb.PublishEventResponse)
    return answer


def test_an_agents_event_reaches_every_reader_in_its_place(server: Server, client: Client) -> None:
    client.submit(["true"], job_id="a")
    client.wait("a", timeout=60)
    answer = publish(server, job_id="a", data={"score": 0.5})
    assert answer.sequence == 4
    client.submit(["true"], job_id="b")
    client.wait("b", timeout=60)

    rpc = list(islice(server.stub().StreamEvents(pb.StreamEventsRequest(), timeout=30), 7))
    assert [event.sequence for event in rpc] == list(range(1, 8))
    mine = rpc[3]
    assert (mine.type, mine.job_id, mine.source, mine.state) == ("agent.step", "a", "agent", pb.JOB_STATE_SUCCEEDED)
    assert json.loads(mine.data) == {"task_id": "a", "score": 0.5}
    assert mine.time == answer.time
    stream = EventStream(server.http, "/v1/events?type=agent.step")
    assert next(iter(stream))["data"] == {"task_id": "a", "score": 0.5}
    stream.close()
    lines = eventually(
        lambda: [line for line in server.logged_events() if line["type"] == "agent.step"], "the event's line"
    )
    line = lines[0]
    assert (line["sequence"], line["data"]["task_id"], line["source"]) == (4, "a", "agent")
    eventually(lambda: 'events_published_total{type="agent"} 1' in server.request("/metrics").text, "it counted")
    assert client.status("a").last_sequence == 3


def test_an_event_about_no_job_and_a_filter_by_its_type(server: Server) -> None:
    publish(server, type="agent.note", data={"text": "é\n"})
    call = server.stub().StreamEvents(pb.StreamEventsRequest(types=["agent.note"]), timeout=30)
    event = next(call)
    call.cancel()
    assert (event.job_id, event.state, event.attempt) == ("", pb.JOB_STATE_UNSPECIFIED, 0)
    assert json.loads(event.data) == {"text": "é\n"}


def test_publishing_again_after_a_crash_is_the_same_event(server: Server) -> None:
    first = publish(server, event_id="once", data={"x": 1})
    server.kill()
    server.start()
    again = publish(server, event_id="once", data={"x": 1})
    assert (again.sequence, again.already_existed, again.time) == (first.sequence, True, first.time)
    error = refused(lambda: publish(server, event_id="once", data={"x": 2}))
    assert error.code() is grpc.StatusCode.ALREADY_EXISTS


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("type", {"type": "task_completed"}),
        ("type", {"type": "agent.Über"}),
        ("event_id", {"event_id": "a b"}),
        ("data", {"data": []}),
        ("data", {"data": {"task_id": "other"}}),
        ("data", {"data": {"x": "y" * 20_000}}),
    ],
)
def test_what_is_no_agents_event_is_refused_by_its_field(server: Server, field: str, fields: dict[str, Any]) -> None:
    assert bad_field(refused(lambda: publish(server, **fields))) == field


def test_an_unknown_job_is_not_found(server: Server) -> None:
    error = refused(lambda: publish(server, job_id="nobody"))
    assert error.code() is grpc.StatusCode.NOT_FOUND
    assert "nobody" in error.details()


def test_a_caller_over_its_rate_is_told_when_to_come_again(stopped_server: Server) -> None:
    stopped_server.flags = ("--publish-rate", "1")
    server = stopped_server.start()
    stub = server.stub()
    request = pb.PublishEventRequest(type="agent.step")

    def flood() -> None:
        for _ in range(100):
            stub.PublishEvent(request, timeout=30)

    error = refused(flood)
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "--publish-rate" in error.details()
    status = rpc_status.from_call(error)
    retry = error_details_pb2.RetryInfo()
    assert status is not None
    assert any(detail.Unpack(retry) for detail in status.details)
    assert 0 < retry.retry_delay.ToTimedelta().total_seconds() <= 1


def test_publishing_needs_the_role_submit(stopped_server: Server) -> None:
    tokens = stopped_server.directory / "tokens"
    digest = {name: hashlib.sha256(name.encode()).hexdigest() for name in ("reader", "agent")}
    tokens.write_text(f"reader read sha256:{digest['reader']}\nagent submit sha256:{digest['agent']}\n")
    tokens.chmod(0o600)
    stopped_server.flags = ("--auth-tokens", str(tokens))
    server = stopped_server.start()
    request = pb.PublishEventRequest(type="agent.step")

    def call(name: str) -> Any:
        return server.stub().PublishEvent(request, timeout=30, metadata=[("authorization", f"Bearer {name}")])

    assert refused(lambda: call("reader")).code() is grpc.StatusCode.PERMISSION_DENIED
    assert call("agent").sequence == 1
