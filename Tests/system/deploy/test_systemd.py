"""The systemd units, by systemd's own tools."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
from programs import DEPLOY, RUNNER, variables
from server import EXECUTABLE

SYSTEMD = DEPLOY / "systemd"
UNITS = {"dspy-orchestrator.service": Path(EXECUTABLE), "dspy-env-runner@.service": RUNNER}


def settings(unit: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in (SYSTEMD / unit).read_text().splitlines():
        name, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found.setdefault(name, []).append(value)
    return found


def installed(unit: str, directory: Path) -> Path:
    """The unit as it would be installed, an instance of it, with a program that is there."""
    program = UNITS[unit] if UNITS[unit].exists() else Path("/bin/true")
    text, count = re.subn(
        r"^ExecStart=/usr/bin/[a-z-]+", f"ExecStart={program}", (SYSTEMD / unit).read_text(), flags=re.M
    )
    assert count == 1
    copy = directory / unit.replace("@", "@1")
    copy.write_text(text)
    return copy


@pytest.mark.parametrize("unit", UNITS)
def test_systemd_has_nothing_to_say_against_a_unit(unit: str, tmp_path: Path) -> None:
    ended = subprocess.run(
        ["systemd-analyze", "verify", str(installed(unit, tmp_path))], capture_output=True, text=True, timeout=60
    )
    assert ended.stdout + ended.stderr == ""
    assert ended.returncode == 0


@pytest.mark.parametrize("unit", UNITS)
def test_a_unit_is_confined(unit: str, tmp_path: Path) -> None:
    """Of 10, which is a service without any confinement, at most 2."""
    ended = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=20", str(installed(unit, tmp_path))],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == 0, ended.stdout


def test_the_server_knows_every_variable() -> None:
    given = {each.partition("=")[0] for each in settings("dspy-orchestrator.service")["Environment"]}
    example = (SYSTEMD / "orchestrator.env").read_text()
    given |= set(re.findall(r"^#?([A-Z_]+)=", example, re.M))
    assert len(given) > 10
    assert given <= variables(EXECUTABLE)


def test_the_runner_knows_every_variable() -> None:
    given = {each.partition("=")[0] for each in settings("dspy-env-runner@.service")["Environment"]}
    assert given <= variables(str(RUNNER))


def test_server_and_runner_are_confined_alike() -> None:
    """But for control groups, which the runner makes for its tasks, and the server gets none for its own."""
    confinement = re.compile(r"Protect|Private|Restrict|SystemCall|Lock|Capab|Ambient|NoNew|RemoveIPC")
    server, runner = (
        {name: value for name, value in settings(unit).items() if confinement.match(name)} for unit in UNITS
    )
    assert server.pop("ProtectControlGroups") == ["yes"]
    assert server == runner


def test_there_is_time_to_end_before_the_kill() -> None:
    """With the delay and the grace that the example names, which are the defaults, and 25 s for what follows."""
    waits = re.findall(
        r"^#ORCHESTRATOR_(?:DRAIN_DELAY|SHUTDOWN_GRACE)_SECONDS=(\d+)", (SYSTEMD / "orchestrator.env").read_text(), re.M
    )
    assert len(waits) == 2
    assert int(settings("dspy-orchestrator.service")["TimeoutStopSec"][0]) >= sum(map(int, waits)) + 25
    assert int(settings("dspy-env-runner@.service")["TimeoutStopSec"][0]) >= 20 + 15


def test_jobs_outlive_a_crash_of_the_server_and_no_task_outlives_its_runner() -> None:
    server, runner = settings("dspy-orchestrator.service"), settings("dspy-env-runner@.service")
    assert server["KillMode"] == ["process"]
    # A delegated group that jobs have divided among them takes no new server: systemd could not start it again.
    assert "Delegate" not in server
    assert runner["KillMode"] == ["mixed"]
    assert server["OOMPolicy"] == runner["OOMPolicy"] == ["continue"]


@pytest.mark.skipif(os.geteuid() != 0, reason="makes a file of another user's")
def test_the_group_may_drop_tasks(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "var" / "spool").mkdir(parents=True)
    (root / "etc").mkdir()
    for tool, kind in (("systemd-sysusers", "sysusers"), ("systemd-tmpfiles", "tmpfiles")):
        create = ["--create"] if kind == "tmpfiles" else []
        subprocess.run(
            [tool, f"--root={root}", *create, str(SYSTEMD / f"dspy-orchestrator.{kind}")], check=True, timeout=60
        )
    user = next(
        line for line in (root / "etc/passwd").read_text().splitlines() if line.startswith("dspy-orchestrator:")
    )
    status = (root / "var/spool/dspy-orchestrator").stat()
    assert status.st_mode & 0o7777 == 0o2770
    assert str(status.st_uid) == user.split(":")[2]
