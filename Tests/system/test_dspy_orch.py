"""The command line on the real server."""

from __future__ import annotations

import json
import subprocess
import sys
import threading

import pytest
from eventually import eventually
from server import Server

from dspy_orchestrator import Client


@pytest.fixture
def orch(server: Server) -> list[str]:
    return [sys.executable, "-m", "dspy_orchestrator.cli", "--target", server.rpc]


def run(orch: list[str], *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*orch, *arguments], input=stdin, capture_output=True, text=True, timeout=120)


def test_a_jobs_result_and_exit_code_come_out(orch: list[str]) -> None:
    ended = run(orch, "submit", "--wait", "--stdin", "-", "--", "sed", "s/^/__DSPY_RESULT__:/", stdin="[1]\n")
    assert (ended.returncode, ended.stdout) == (0, "[1]\n")
    ended = run(orch, "submit", "--wait", "--", "sh", "-c", "exit 7")
    assert (ended.returncode, ended.stdout) == (7, "")


def test_jobs_of_a_file_are_listed_and_their_events_told(orch: list[str]) -> None:
    jobs = [{"id": f"job-{number}", "payload": {"command": ["true"]}} for number in range(3)]
    ended = run(orch, "submit", "--json", "-", "--wait", stdin="\n".join(map(json.dumps, jobs)))
    assert ended.returncode == 0, ended.stderr
    assert {json.loads(line)["id"] for line in ended.stdout.splitlines()} == {"job-0", "job-1", "job-2"}
    listed = run(orch, "list", "--json", "--state", "succeeded").stdout.splitlines()
    assert [json.loads(line)["job_id"] for line in listed] == ["job-2", "job-1", "job-0"]
    told = [json.loads(line) for line in run(orch, "events", "--json").stdout.splitlines()]
    assert [event["sequence"] for event in told] == list(range(1, 10))
    followed = run(orch, "events", "-f", "--json", "job-1").stdout.splitlines()
    assert [json.loads(line)["type"] for line in followed] == ["task_submitted", "task_started", "task_completed"]


def test_a_job_is_watched_until_it_is_cancelled(orch: list[str], client: Client) -> None:
    job = client.submit(["sleep", "300"])
    eventually(lambda: client.get(job.job_id).state == "running", "the job running")
    timer = threading.Timer(1, run, (orch, "cancel", job.job_id, "--reason", "enough"))
    timer.start()
    ended = run(orch, "watch", job.job_id, "--interval", "0.2")
    timer.join()
    assert ended.returncode == 130
    assert ended.stdout.splitlines()[-1].split("\t")[2] == "cancelled"


def test_doctor_finds_nothing_wrong_with_a_server_that_is_well(orch: list[str]) -> None:
    ended = run(orch, "doctor")
    assert ended.returncode == 0
    assert all(line.startswith("ok ") for line in ended.stdout.splitlines() if "DSPY_ORCHESTRATOR" not in line)
