"""The examples of the Python client, as a user runs them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from server import ROOT, Server

EXAMPLES = ROOT / "clients" / "python" / "examples"


def run(server: Server, name: str, *arguments: str) -> str:
    ended = subprocess.run(
        [sys.executable, str(EXAMPLES / name), *arguments],
        env=os.environ | {"DSPY_ORCHESTRATOR_TARGET": server.rpc},
        capture_output=True,
        text=True,
        timeout=150,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_follow_events(server: Server) -> None:
    lines = run(server, "follow_events.py").splitlines()
    assert sorted(line.split()[-1] for line in lines if " gave " in line) == ["0", "1", "16", "9"]
    assert sum("failed with exit code 1" in line for line in lines) == 2
    assert [line.split()[0] for line in lines[6:]] == [str(number) for number in range(1, 19)]


def test_evaluate_in_parallel(server: Server) -> None:
    assert run(server, "evaluate_in_parallel.py").splitlines()[-1] == "score 66.7"


def test_agent_with_tools(server: Server) -> None:
    lines = run(server, "agent_with_tools.py").splitlines()
    assert [line.split()[0] for line in lines] == ["submit_job", "job_status", "answer:"]
    assert '"result":42' in lines[1]
    assert lines[-1] == "answer: 42"


def test_grpo_on_slurm_without_a_cluster(server: Server, tmp_path: Path) -> None:
    assert (
        run(server, "grpo_on_slurm.py", str(tmp_path / "shared"), "--local").splitlines()[-1] == "trained: dummy-grpo"
    )
