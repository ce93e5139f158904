"""Handlers of the runner's configuration file, with the Python package's own worker."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import remote_functions
from eventually import eventually
from server import Server

from dspy_orchestrator import (
    FailureReason,
    JobFailed,
    JobState,
    OrchestratorExecutor,
    RetryPolicy,
)

FUNCTIONS = """
import os, time

def double(payload):
    return {"twice": 2 * payload["n"], "pid": os.getpid()}

def fail(payload):
    raise ValueError(f"no {payload['n']}")

def slow(payload):
    time.sleep(payload["n"])

def die_once(payload):
    # In the middle of its first attempt.
    if os.environ["DSPY_ATTEMPT"] == "1":
        os.kill(os.getpid(), 9)
    return {"attempt": os.environ["DSPY_ATTEMPT"], "pid": os.getpid()}

kept = []

def grow(payload):
    kept.append(bytearray(payload["n"] << 20))
    return {"pid": os.getpid()}

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
  recycled:
    command: [{python}, -m, dspy_orchestrator.worker, "handler_functions:call"]
    mode: worker
    env: {{PYTHONPATH: {path}}}
    max_tasks: 3
    max_growth: 64MiB
  python:
    command: [{python}, -m, dspy_orchestrator.worker, "dspy_orchestrator.functions:call"]
    mode: worker
    env: {{PYTHONPATH: {tests}}}
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
    file.write_text(CONFIGURATION.format(python=sys.executable, path=tmp_path, tests=Path(__file__).parent))
    made = Server(tmp_path, "--config", str(file)).start()
    yield made
    made.close()


def finished(
    server: Server,
    payload: dict[str, Any],
    job_class: str = "cpu_short",
    **options: Any,
) -> Any:
    with server.client() as client:
        job = client.submit(payload=payload, job_class=job_class, **options)
        return client.wait(job.job_id, timeout=60)


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


def test_a_job_whose_worker_dies_is_retried_by_a_new_one_as_its_policy_says(
    server: Server,
) -> None:
    before = finished(server, {"handler": "functions", "function": "double", "n": 1}).result["pid"]
    payload = {"handler": "functions", "function": "die_once", "n": 1}
    retry = RetryPolicy(max_attempts=2, initial_backoff=0.01)
    retried = finished(server, payload, retry=retry)
    assert retried.result["attempt"] == "2"
    assert retried.result["pid"] != before
    failed = finished(server, payload)
    assert (failed.state, failed.signal) == (JobState.FAILED, 9)
    assert failed.error.startswith("the worker ended by SIGKILL")


def test_a_job_that_outruns_its_timeout_costs_its_worker_and_nobody_else_s(
    server: Server,
) -> None:
    before = finished(server, {"handler": "functions", "function": "double", "n": 1}).result["pid"]
    late = finished(server, {"handler": "functions", "function": "slow", "n": 60}, timeout=0.3)
    assert late.failure_reason is FailureReason.TIMEOUT
    after = finished(server, {"handler": "functions", "function": "double", "n": 1}).result["pid"]
    assert after != before
    eventually(lambda: not Path(f"/proc/{before}").exists(), "the late worker is gone")


def test_a_worker_is_replaced_after_its_tasks_and_when_it_has_grown(
    server: Server,
) -> None:
    def pid(function: str, n: int) -> int:
        result = finished(server, {"handler": "recycled", "function": function, "n": n}).result
        assert isinstance(result["pid"], int)
        return result["pid"]

    pids = [pid("double", 1) for _ in range(7)]
    assert [pids.count(each) for each in dict.fromkeys(pids)] == [3, 3, 1]
    grown = pid("grow", 100)
    assert grown == pids[-1]
    assert pid("double", 1) != grown


def test_functions_run_in_a_warm_worker_by_the_executor(server: Server) -> None:
    with (
        server.client() as client,
        OrchestratorExecutor(client, handler="python") as executor,
    ):
        assert list(executor.map(remote_functions.square, range(20))) == [n * n for n in range(20)]
        job = executor.submit(remote_functions.fail, "nothing here")
        with pytest.raises(JobFailed, match="LookupError: nothing here") as failure:
            job.result(timeout=60)
        assert failure.value.remote_error is not None
        assert "remote_functions.py" in failure.value.remote_error.traceback


def test_what_a_function_prints_is_its_job_s_output(server: Server) -> None:
    with server.client() as client:
        job = client.submit(payload={"handler": "functions", "function": "double", "n": 5})
        client.wait(job.job_id, timeout=60)
        assert "called with 5" in "".join(chunk.data.decode() for chunk in client.logs(job.job_id))


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
