"""The server's own log: who can read it learns which job a line is about, and no secret of anybody's."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from server import Server

from dspy_orchestrator.v1 import orchestrator_pb2 as pb

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"
TOKEN = "token-of-secrets"


def lines(server: Server) -> list[dict[str, Any]]:
    return [json.loads(line) for line in server.stderr.read_text().splitlines()]


def secretive(tmp_path: Path, *flags: str) -> Server:
    tokens = tmp_path / "tokens"
    tokens.write_text(f"somebody submit,read sha256:{hashlib.sha256(TOKEN.encode()).hexdigest()}\n")
    return Server(tmp_path, "--auth-tokens", str(tokens), "--access-log", "true", "--log-level", "trace", *flags)


def run(server: Server, job_id: str, *, succeeds: bool) -> None:
    """A job with a secret wherever a caller can put one."""
    metadata = [("authorization", f"Bearer {TOKEN}"), ("traceparent", PARENT)]
    script = 'echo secret-output; echo "__DSPY_RESULT__:\\"secret-result\\""' + ("" if succeeds else "; exit 3")
    payload = {"command": ["sh", "-c", script], "env": {"KEY": "secret-env"}, "stdin": "secret-stdin"}
    request = pb.SubmitJobRequest(job_id=job_id, payload=json.dumps(payload).encode(), labels={"label": "secret-label"})
    server.stub().SubmitJob(request, metadata=metadata, timeout=10)
    stream = pb.StreamEventsRequest(job_ids=[job_id], end_when_done=True)
    assert len(list(server.stub().StreamEvents(stream, metadata=metadata, timeout=60))) == 3
    published = pb.PublishEventRequest(type="agent.step", job_id=job_id, data=b'{"thought":"secret-thought"}')
    server.stub().PublishEvent(published, metadata=metadata, timeout=10)
    body = json.dumps({"payload": payload}).encode()
    assert server.request("/queue/submit", body=body, Authorization=f"Bearer {TOKEN}").status == 200
    assert server.request("/queue/submit", body=body, Authorization="Bearer secret-but-wrong").status == 401
    assert server.request(f"/v1/jobs/{job_id}?token=secret-in-query").status == 401


def test_lines_are_json_and_each_about_a_job_names_it_and_its_trace(tmp_path: Path) -> None:
    server = secretive(tmp_path, "--log-format", "json").start()
    try:
        run(server, "a-job", succeeds=True)
        assert server.stop() == 0
        found = lines(server)
        assert found
        for line in found:
            assert {"time", "level", "logger", "message"} <= line.keys()
            assert all(isinstance(value, str) for value in line.values())
        about = [line for line in found if line.get("job_id") == "a-job"]
        types = [line["type"] for line in about if line["message"] == "event"]
        assert types == ["task_submitted", "task_started", "task_completed", "agent.step"]
        # An agent's event too, which knows only the job's id.
        assert {line.get("trace_id") for line in about} == {TRACE}
        calls = [line for line in found if line["message"] == "call"]
        assert {line["trace_id"] for line in calls} == {TRACE}
        # No line speaks of the job without naming it where a program looks.
        assert all("a-job" not in line["message"] for line in found)
    finally:
        server.close()


def test_no_payload_output_or_token_is_logged_at_any_level(tmp_path: Path) -> None:
    server = secretive(tmp_path).start()
    try:
        run(server, "good", succeeds=True)
        run(server, "bad", succeeds=False)
        assert server.stop() == 0
        text = server.stderr.read_text()
        assert "good" in text
        assert TOKEN not in text
        assert "secret-" not in text
    finally:
        server.close()


def test_a_format_that_is_none_is_refused(tmp_path: Path) -> None:
    server = Server(tmp_path, "--log-format", "xml")
    server.begin().wait(30)
    assert server.wait() != 0
    assert '--log-format: "xml" is not text or json' in server.errors()
