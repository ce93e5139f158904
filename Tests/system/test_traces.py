"""A caller's W3C trace goes with the job it submits: into its events, its process, and over a restart."""

from __future__ import annotations

import json

import pytest
from jobs import shell
from server import Server

from dspy_orchestrator.v1 import orchestrator_pb2 as pb

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


def submit(server: Server, traceparent: str | None, command: list[str], job_id: str) -> None:
    metadata = [("traceparent", traceparent)] if traceparent else []
    request = pb.SubmitJobRequest(job_id=job_id, payload=json.dumps({"command": command}).encode())
    server.stub().SubmitJob(request, metadata=metadata, timeout=10)


def traces(server: Server, job_id: str) -> list[str | None]:
    request = pb.StreamEventsRequest(job_ids=[job_id], end_when_done=True)
    return [json.loads(event.data).get("trace_id") for event in server.stub().StreamEvents(request, timeout=60)]


def test_every_event_of_a_job_has_the_trace_of_its_submission(server: Server) -> None:
    submit(server, PARENT, shell('echo "__DSPY_RESULT__:\\"$TRACEPARENT\\""'), "traced")
    assert traces(server, "traced") == [TRACE] * 3
    status = server.stub().GetStatus(pb.GetStatusRequest(job_id="traced"), timeout=10)
    assert json.loads(status.job.result) == PARENT


@pytest.mark.parametrize("traceparent", [None, "00-abc", PARENT.upper(), f"00-{'0' * 32}-00f067aa0ba902b7-01"])
def test_without_a_valid_trace_the_events_are_as_ever(server: Server, traceparent: str | None) -> None:
    submit(server, traceparent, ["true"], "plain")
    assert traces(server, "plain") == [None] * 3


def test_a_trace_survives_a_crash(server: Server) -> None:
    submit(server, PARENT, ["sleep", "600"], "long")
    server.kill()
    server.start()
    with server.client() as client:
        client.cancel("long")
    assert set(traces(server, "long")) == {TRACE}


def test_the_same_job_within_another_trace_is_the_same_job(server: Server) -> None:
    submit(server, PARENT, ["true"], "one")
    submit(server, PARENT.replace("4bf9", "ffff"), ["true"], "one")
    assert set(traces(server, "one")) == {TRACE}
