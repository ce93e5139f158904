"""The examples of the Python client, as a user runs them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from server import EXECUTABLE, ROOT, Server

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


def test_every_example_is_run_here_and_told_of() -> None:
    names = {path.name for path in EXAMPLES.glob("*.py")} - {"grpo_trainer.py", "capitals.py"}
    here, told = Path(__file__).read_text(), (EXAMPLES / "README.md").read_text()
    assert not [name for name in names if f'"{name}"' not in here or f"({name})" not in told]


def test_the_demo_finds_everything_as_expected() -> None:
    """What scripts/demo runs once it has built a release."""
    demo = [sys.executable, str(ROOT / "scripts" / "demo.py"), EXECUTABLE]
    ended = subprocess.run(demo, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stdout.splitlines()[-1] == "all as expected"


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
