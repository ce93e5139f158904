"""dspy-env-runner: alone, several on one directory, and beside a server."""

from __future__ import annotations

import json
import os
import socket
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from env_runner import EnvRunner
from eventually import eventually
from server import Server

LEASE = ("--queue-lease-seconds", "2")

# Notes its start and its end in a file of its own, and the name of the runner by its data directory.
TASK = """
set -e
mkdir "$MARKS/$DSPY_JOB_ID.running"
echo start >> "$MARKS/$DSPY_JOB_ID"
sleep {seconds}
echo end >> "$MARKS/$DSPY_JOB_ID"
rmdir "$MARKS/$DSPY_JOB_ID.running"
"""


class Place:
    """A queue directory and those who work on it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.queue = directory / "queue"
        self.marks = directory / "marks"
        self.marks.mkdir()
        (self.queue / "pending").mkdir(parents=True)
        self.members: list[EnvRunner | Server] = []

    def runner(self, name: str, *flags: str, **environment: str) -> EnvRunner:
        made = EnvRunner(self.directory / name, self.queue, *LEASE, *flags, **environment)
        self.members.append(made)
        return made

    def server(self, *flags: str) -> Server:
        directory = self.directory / "server"
        directory.mkdir()
        made = Server(directory, *LEASE, *flags)
        made.queue = self.queue
        self.members.append(made)
        return made

    def drop(
        self,
        name: str,
        job_class: str = "cpu_short",
        seconds: float = 0,
        **payload: Any,
    ) -> None:
        if not payload:
            script = TASK.format(seconds=seconds)
            payload = {
                "command": ["sh", "-c", script],
                "env": {"MARKS": str(self.marks)},
            }
        outside = self.queue / f".{name}.new"
        outside.write_text(json.dumps({"id": name, "class": job_class, "payload": payload}))
        outside.rename(self.queue / "pending" / f"{name}.json")

    def done(self) -> dict[str, Any]:
        found = {}
        for path in (self.queue / "done").glob("*.json"):
            found[path.stem] = json.loads(path.read_text())
        return found

    def done_file(self, name: str, timeout: float = 60) -> Any:
        file = self.queue / "done" / f"{name}.json"
        eventually(file.exists, f"{file.name} in done/", timeout)
        return json.loads(file.read_text())

    def runs(self, name: str) -> list[str]:
        return (self.marks / name).read_text().split()

    def claimed(self) -> list[str]:
        return sorted(path.name for path in (self.queue / "claimed").glob("*/*.json*"))


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path)
    yield made
    for member in made.members:
        member.close()


def test_tasks_run_and_are_counted(place: Place) -> None:
    runner = place.runner("a").start()
    place.drop("good")
    place.drop("bad", command=["sh", "-c", "echo reason >&2; exit 3"])
    place.drop("long", job_class="cpu_long")
    assert place.done_file("good")["status"] == "completed"
    assert place.done_file("bad")["error"] == "exited with code 3: reason"
    assert place.done_file("long")["status"] == "completed"
    health = runner.request("/health").json
    assert health["status"] == "healthy"
    numbers = runner.metrics()
    assert numbers["tasks_processed"] == 3
    assert numbers["processed_by_class"] == {"cpu_short": 2, "cpu_long": 1}
    assert numbers["errors_by_class"] == {"cpu_short": 1, "cpu_long": 0}
    assert numbers["errors_by_reason"]["cpu_short"] == {"exit_code": 1}
    assert numbers["total_errors"] == 1
    assert numbers["queue_depth"] == 0
    assert min(numbers[name] for name in ("latency_p95_ms", "avg_duration_ms", "uptime_seconds")) > 0
    # What nobody can measure here is not made up.
    assert numbers["gpu_utilization"] is None
    text = runner.request("/prometheus").text
    assert 'env_runner_tasks_processed_total{class="cpu_short"} 2' in text
    assert 'env_runner_errors_total{class="cpu_short",reason="exit_code"} 1' in text
    assert 'env_runner_task_duration_seconds_count{class="cpu_long"} 1' in text
    assert "env_runner_queue_depth 0" in text
    assert "env_runner_gpu_utilization" not in text
    assert runner.stop() == 0


def test_gpu_tasks_have_a_device_each_and_its_use_is_told(place: Place) -> None:
    programs = place.directory / "programs"
    programs.mkdir()
    smi = programs / "nvidia-smi"
    smi.write_text("#!/bin/sh\ncase $1 in *utilization*) printf '40\\n80\\n';; *) printf '0\\n1\\n';; esac\n")
    smi.chmod(0o755)
    runner = place.runner("a", PATH=f"{programs}:{os.environ['PATH']}").start()
    script = (
        'echo "__DSPY_RESULT__:\\"$CUDA_VISIBLE_DEVICES\\""; echo . >> "$MARKS/gpus"; '
        'until test "$(wc -l < "$MARKS/gpus")" -ge 2; do sleep 0.02; done'
    )
    for name in ("one", "other"):
        place.drop(name, job_class="gpu", command=["sh", "-c", script], env={"MARKS": str(place.marks)})
    assert {place.done_file(name)["result"] for name in ("one", "other")} == {"0", "1"}
    eventually(lambda: runner.metrics()["gpu_utilization"] == 0.6, "the mean of both")
    assert "env_runner_gpu_utilization 0.6" in runner.request("/prometheus").text


def test_nothing_is_measured_yet_at_the_start(place: Place) -> None:
    numbers = place.runner("a").start().metrics()
    assert (
        numbers["tasks_processed"],
        numbers["latency_p95_ms"],
        numbers["avg_duration_ms"],
    ) == (0, None, None)


def test_the_port_may_be_given_alone(place: Place) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    assert place.runner("a", METRICS_PORT=str(port)).start().http == f"127.0.0.1:{port}"


def test_classes_that_are_not_run_here_are_left_to_others(place: Place) -> None:
    place.runner("a", "--classes", "cpu_long").start()
    place.drop("short")
    place.drop("slurm", job_class="gpu_slurm", command=["true"])
    place.drop("long", job_class="cpu_long")
    place.done_file("long")
    assert sorted(os.listdir(place.queue / "pending")) == ["short.json", "slurm.json"]
    place.runner("b").start()
    place.done_file("short")
    assert os.listdir(place.queue / "pending") == ["slurm.json"]


def test_no_more_is_claimed_than_can_be_started_soon(place: Place) -> None:
    for number in range(20):
        place.drop(f"task-{number:02}", seconds=0.5)
    runner = place.runner("a", "--cpu-short-limit", "2").start()

    def is_over(claim: str) -> bool:
        mark = place.marks / claim.removesuffix(".json")
        return mark.exists() and "end" in mark.read_text()

    seen = set()
    while len(place.done()) < 10:
        # Without those whose end is being written.
        seen.add(sum(not is_over(claim) for claim in place.claimed()))
        time.sleep(0.01)
    # Two at work, two that wait.
    assert max(seen) <= 4
    eventually(lambda: len(place.done()) == 20, "all done", 60)
    assert runner.metrics()["tasks_processed"] == 20


def test_runners_beside_a_server_share_the_work_and_do_nothing_twice(
    place: Place,
) -> None:
    flags = ("--cpu-short-limit", "2", "--queue-lease-seconds", "60")
    server = place.server(*flags).start()
    runners = [place.runner(name, *flags).start() for name in "abc"]
    eventually(
        lambda: len(list((place.queue / "claimed").glob("*/.lease"))) == 4,
        "four owners",
    )
    # The server has its eyes on the others from its next look on.
    place.drop("hint")
    place.done_file("hint")
    for number in range(200):
        place.drop(f"task-{number}", seconds=0.05)
    eventually(lambda: len(place.done()) == 201, "all done", 120)
    assert all(done["status"] == "completed" for done in place.done().values())
    assert all(place.runs(f"task-{number}") == ["start", "end"] for number in range(200))
    counts = [runner.metrics()["tasks_processed"] for runner in runners]
    counts.append(server.request("/queue/status").json["completed"])
    assert sum(counts) == 201
    assert min(counts) >= 20, counts


def test_a_runner_that_is_killed_under_load_loses_nothing(place: Place) -> None:
    # Long enough for the marks to be taken away before others run those tasks.
    flags = ("--cpu-short-limit", "3", "--queue-lease-seconds", "10")
    runners = {name: place.runner(name, *flags).start() for name in "abc"}
    total = 150
    for number in range(total):
        place.drop(f"task-{number}", seconds=0.2)
    victim = runners["b"]
    eventually(lambda: victim.metrics()["tasks_processed"] >= 5, "some work of the victim's")
    owner = (victim.directory / "data" / "queue-owner").read_text().split()[-1]
    victim.kill()
    touched = {path.name.split(".")[0] for path in (place.queue / "claimed" / owner).glob("*.json*")}
    assert touched
    # What it ran has ended with it: the marks of those that were cut short are taken away for their next run.
    for name in touched:
        mark = place.marks / f"{name}.running"
        eventually(lambda name=name: not running(victim, name), f"{name} ended with its runner")  # type: ignore[misc]
        if mark.exists():
            mark.rmdir()
    eventually(lambda: len(place.done()) == total, "all done", 120)
    assert all(done["status"] == "completed" for done in place.done().values())
    runs = Counter(len(place.runs(f"task-{number}")) for number in range(total) if f"task-{number}" not in touched)
    assert runs == {2: total - len(touched)}
    assert all(place.runs(name)[-1] == "end" and place.runs(name).count("end") <= 2 for name in touched)


def running(runner: EnvRunner, name: str) -> bool:
    marks = (f"DSPY_JOB_ID={name}\0".encode(), str(runner.directory).encode())
    for process in Path("/proc").glob("[0-9]*"):
        try:
            environment = (process / "environ").read_bytes()
        except OSError:
            continue
        if all(mark in environment for mark in marks):
            return True
    return False


def test_a_runner_that_is_killed_and_started_again_does_its_tasks_once_more(
    place: Place,
) -> None:
    runner = place.runner("a").start()
    place.drop("slow", seconds=5)
    eventually((place.marks / "slow").exists, "it runs")
    runner.kill()
    eventually(lambda: not running(runner, "slow"), "it ended with its runner")
    (place.marks / "slow.running").rmdir()
    runner.start()
    done = place.done_file("slow")
    assert (done["status"], done["error"]) == ("completed", None)
    assert place.runs("slow") == ["start", "start", "end"]


def test_a_stop_lets_tasks_end_and_gives_the_others_away_at_once(place: Place) -> None:
    leaving = place.runner("a", "--cpu-short-limit", "1", "--queue-lease-seconds", "60").start()
    place.drop("first", seconds=5)
    eventually((place.marks / "first").exists, "it runs")
    place.drop("second")
    eventually(lambda: len(place.claimed()) == 2, "the second is claimed")
    assert leaving.stop() == 0
    assert place.done_file("first")["status"] == "completed"
    assert not (place.marks / "second").exists()
    place.runner("b").start()
    assert place.done_file("second", timeout=60)["status"] == "completed"


def test_a_task_that_comes_back_to_who_had_it_first_is_done(place: Place) -> None:
    first = place.runner("a", "--cpu-short-limit", "1", "--shutdown-grace-seconds", "0.1").start()
    script = 'echo start >> "$MARKS/blocker"; test "$(wc -l < "$MARKS/blocker")" -ge 3 || sleep 600'
    place.drop("blocker", command=["sh", "-c", script], env={"MARKS": str(place.marks)})
    eventually((place.marks / "blocker").exists, "it runs")
    place.drop("traveller")
    eventually(lambda: len(place.claimed()) == 2, "both are claimed")
    assert first.stop() == 0
    # The other one has both now, and does the first of them.
    second = place.runner("b", "--cpu-short-limit", "1", "--shutdown-grace-seconds", "0.1").start()
    eventually(lambda: place.runs("blocker") == ["start", "start"], "it runs again")
    first.start()
    eventually(lambda: "taken over" in first.errors(), "the first one knows")
    assert second.stop() == 0
    assert place.done_file("blocker")["status"] == "completed"
    assert place.done_file("traveller")["status"] == "completed"
    assert len(place.runs("blocker")) == 3


def test_a_stop_whose_grace_is_over_gives_away_what_runs(place: Place) -> None:
    leaving = place.runner("a", "--shutdown-grace-seconds", "0.1", "--queue-lease-seconds", "60").start()
    place.drop("slow", seconds=5)
    eventually((place.marks / "slow").exists, "it runs")
    assert leaving.stop() == 0
    assert place.done() == {}
    (place.marks / "slow.running").rmdir()
    place.runner("b").start()
    assert place.done_file("slow", timeout=60)["status"] == "completed"


@pytest.mark.parametrize(
    ("flags", "word"),
    [
        (("--classes", "gpu_slurm"), "--classes"),
        (("--http-listen", "8080"), "--http-listen"),
        (("--cpu-short-limit", "0"), "--cpu-short-limit"),
        (("--config", "/no/such.yaml"), "--config"),
    ],
)
def test_wrong_flags_are_named(place: Place, flags: tuple[str, ...], word: str) -> None:
    with pytest.raises(AssertionError, match=word):
        place.runner("a", *flags).start()
