from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from eventually import eventually
from server import Server

from dspy_orchestrator import Client

DONE_KEYS = {
    "id",
    "class",
    "payload",
    "status",
    "attempt",
    "submitted_at",
    "started_at",
    "completed_at",
    "duration_ms",
    "exit_code",
    "signal",
    "error",
    "result",
}


def task(name: str, command: list[str]) -> dict[str, Any]:
    return {"id": name, "class": "cpu_short", "payload": {"command": command}}


def drop(server: Server, name: str, content: dict[str, Any]) -> None:
    """Writes beside the inbox and renames in."""
    outside = server.queue / f".{name}.new"
    outside.write_text(json.dumps(content))
    outside.rename(server.queue / "pending" / f"{name}.json")


def test_a_task_renamed_in_runs_and_leaves_its_done_file(server: Server, client: Client) -> None:
    content = task("renamed", ["echo", '__DSPY_RESULT__:{"score": 1}'])
    drop(server, "renamed", content)
    done = server.done_file("renamed")
    assert set(done) == DONE_KEYS
    assert (done["id"], done["class"], done["payload"]) == ("renamed", "cpu_short", content["payload"])
    assert (done["status"], done["attempt"], done["exit_code"], done["result"]) == ("completed", 1, 0, {"score": 1})
    submitted, started, completed = (done[key] for key in ("submitted_at", "started_at", "completed_at"))
    assert submitted <= started <= completed
    assert isinstance(done["duration_ms"], (int, float))
    assert 0 <= done["duration_ms"] < 60_000
    job = client.status("renamed")
    assert (job.state, job.result) == ("succeeded", {"score": 1})
    events = list(client.events(job_ids=["renamed"], end_when_done=True, timeout=30))
    assert [event.type for event in events] == ["task_submitted", "task_started", "task_completed"]
    assert events[0].source == "file_queue"


def test_a_task_written_in_place_is_taken_once_it_is_whole(server: Server) -> None:
    text = json.dumps(task("in-place", ["true"]))
    with (server.queue / "pending" / "in-place.json").open("w") as file:
        file.write(text[:20])
        file.flush()
        # The server has looked at the inbox since the first half was there, which it gives up after 2 s.
        drop(server, "meanwhile", task("meanwhile", ["true"]))
        eventually(lambda: not (server.queue / "pending/meanwhile.json").exists(), "the server's look")
        file.write(text[20:])
    assert server.done_file("in-place")["status"] == "completed"
    assert os.listdir(server.queue / "failed") == []


def test_a_failed_task_says_how_in_its_done_file(server: Server) -> None:
    drop(server, "failing", task("failing", ["sh", "-c", "exit 4"]))
    done = server.done_file("failing")
    assert set(done) == DONE_KEYS | {"failure_reason"}
    assert done["failure_reason"] == "exit_code"
    assert (done["status"], done["exit_code"], done["signal"], done["result"]) == ("failed", 4, 0, None)
    assert "4" in done["error"]


def test_a_task_without_a_class_is_cpu_short(server: Server) -> None:
    drop(server, "classless", {"id": "classless", "payload": {"command": ["true"]}})
    assert server.done_file("classless")["class"] == "cpu_short"


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("not-json", "{", "JSON"),
        ("not-an-object", "[1]", "object"),
        ("no-such-class", json.dumps(task("no-such-class", ["true"]) | {"class": "huge"}), "huge"),
        ("bad-id", json.dumps(task("../../escape", ["true"])), "id"),
        ("no-command", json.dumps({"id": "no-command", "payload": {}}), "command"),
        ("empty", "", ""),
    ],
)
def test_a_file_that_is_no_task_is_kept_in_failed_with_the_reason(
    server: Server, name: str, text: str, reason: str
) -> None:
    outside = server.directory / name
    outside.write_text(text)
    outside.rename(server.queue / "pending" / f"{name}.json")
    why = server.queue / "failed" / f"{name}.json.error"
    # The reason is there first, so that whoever sees the file finds it.
    eventually((server.queue / "failed" / f"{name}.json").exists, f"failed/{name}.json")
    assert reason in why.read_text()
    assert why.read_text().strip().count("\n") == 0
    assert (server.queue / "failed" / f"{name}.json").read_text() == text


def test_other_files_in_the_inbox_are_left_alone(server: Server) -> None:
    other = server.queue / "pending" / "notes.txt"
    other.write_text("not for you")
    drop(server, "beside", task("beside", ["true"]))
    server.done_file("beside")
    assert other.read_text() == "not for you"


def test_each_of_many_tasks_runs_once(server: Server, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    for number in range(200):
        drop(server, f"task-{number}", task(f"task-{number}", ["sh", "-c", f"echo {number} >> {ran}"]))
    for number in range(200):
        server.done_file(f"task-{number}", timeout=120)
    assert sorted(map(int, ran.read_text().split())) == list(range(200))
    assert os.listdir(server.queue / "pending") == []


def test_a_done_file_is_never_seen_half_written(server: Server) -> None:
    done = server.queue / "done"
    payload = {"command": ["true"], "pad": "x" * 100_000}
    for number in range(30):
        drop(server, f"task-{number}", {"id": f"task-{number}", "payload": payload})
    parsed: set[str] = set()

    def all_parse() -> bool:
        for file in done.glob("*.json"):
            parsed.add(json.loads(file.read_text())["id"])
        return len(parsed) == 30

    eventually(all_parse, "30 done files", timeout=60)
