"""Handlers of the runner's configuration file, with the Python package's own worker."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from eventually import eventually
from server import Server

FUNCTIONS = """
import os, time

def double(payload):
    return {"twice": 2 * payload["n"], "pid": os.getpid()}

def fail(payload):
    raise ValueError(f"no {payload['n']}")

def call(payload):
    print("called with", payload["n"])
    return globals()[payload["function"]](payload)
"""

CONFIGURATION = """
handlers:
  functions:
    command: [{python}, -m, dspy_orchestrator.worker, "handler_functions:call"]
    mode: worker
    env: {{PYTHONPATH: {path}}}
    default_for: [cpu_long]
  count:
    command: [wc, -c]
runner:
  limits:
    all: {{memory: 1GiB, processes: 64}}
  concurrency:
    cpu_short: {{min: 1, max: 4}}
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    (tmp_path / "handler_functions.py").write_text(FUNCTIONS)
    file = tmp_path / "dspy.yaml"
    file.write_text(CONFIGURATION.format(python=sys.executable, path=tmp_path))
    made = Server(tmp_path, "--config", str(file)).start()
    yield made
    made.close()


def finished(server: Server, payload: dict[str, Any], job_class: str = "cpu_short") -> Any:
    with server.client() as client:
        return client.wait(client.submit(payload=payload, job_class=job_class).job_id, timeout=60)


def test_one_worker_does_many_jobs(server: Server) -> None:
    pids = set()
    for n in range(20):
        job = finished(server, {"handler": "functions", "function": "double", "n": n})
        assert job.result["twice"] == 2 * n
        pids.add(job.result["pid"])
    assert len(pids) == 1


def test_a_job_without_a_command_goes_to_its_class_s_handler(server: Server) -> None:
    assert finished(server, {"function": "double", "n": 4}, "cpu_long").result["twice"] == 8


def test_an_exception_is_the_job_s_error_and_the_worker_goes_on(server: Server) -> None:
    before = finished(server, {"handler": "functions", "function": "double", "n": 1})
    failed = finished(server, {"handler": "functions", "function": "fail", "n": 7})
    assert failed.error == "ValueError: no 7"
    assert failed.exit_code == 1
    after = finished(server, {"handler": "functions", "function": "double", "n": 2})
    assert after.result["pid"] == before.result["pid"]


def test_a_handler_of_mode_process_reads_the_payload(server: Server) -> None:
    assert finished(server, {"handler": "count"}).state.name == "SUCCEEDED"


def test_an_unknown_handler_is_refused_with_those_there_are(server: Server) -> None:
    answer = server.request("/queue/submit", b'{"payload": {"handler": "nothing"}}')
    assert answer.status == 400
    assert "it has count, functions" in answer.json["error"]


def test_workers_end_with_the_server(server: Server) -> None:
    pid = finished(server, {"handler": "functions", "function": "double", "n": 1}).result["pid"]
    assert server.stop() == 0
    eventually(lambda: not Path(f"/proc/{pid}").exists(), "the worker is gone")


def test_workers_end_with_a_server_that_was_killed(server: Server) -> None:
    pid = finished(server, {"handler": "functions", "function": "double", "n": 1}).result["pid"]
    server.kill()
    eventually(lambda: not Path(f"/proc/{pid}").exists(), "the worker is gone")


def test_a_wrong_configuration_is_told_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "dspy.yaml"
    file.write_text("runner:\n  limits:\n    cpu_short: {memory: lots}\n")
    made = Server(tmp_path, "--config", str(file))
    try:
        with pytest.raises(AssertionError, match=r"runner.limits.cpu_short.memory \(line 3\)"):
            made.start()
    finally:
        if made.process is not None:
            made.process.kill()
    assert os.path.exists(file)
