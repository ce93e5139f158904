from __future__ import annotations

import json
import subprocess
from datetime import datetime, timezone
from pathlib import Path

from eventually import eventually
from jobs import history
from server import Server

from dspy_orchestrator import Client


def run(client: Client, count: int, prefix: str) -> int:
    """Runs jobs to their end and returns the last sequence."""
    for number in range(count):
        client.submit(["true"], job_id=f"{prefix}-{number}")
    return max(client.wait(f"{prefix}-{number}", timeout=60).last_sequence for number in range(count))


def test_every_event_is_a_line_in_order_with_the_contracts_keys(server: Server, client: Client) -> None:
    last = run(client, 20, "job")
    eventually(lambda: len(server.logged_events()) >= last, f"{last} lines")
    lines = server.logged_events()
    assert [line["sequence"] for line in lines] == list(range(1, last + 1))
    for line, event in zip(lines, history(client, last), strict=True):
        assert set(line) == {"sequence", "type", "timestamp", "data", "source"}
        assert (line["type"], line["source"], line["data"]) == (event.type, event.source, event.data)
        assert line["data"]["task_id"] == event.job_id
        moment = datetime.fromisoformat(line["timestamp"].split(".")[0].removesuffix("Z")).replace(tzinfo=timezone.utc)
        assert abs((moment - event.time).total_seconds()) <= 1


def test_the_file_goes_on_where_it_was_after_a_stop(server: Server, client: Client) -> None:
    run(client, 5, "before")
    assert server.stop() == 0
    server.start()
    last = run(client, 5, "after")
    eventually(lambda: len(server.logged_events()) >= last, f"{last} lines")
    assert [line["sequence"] for line in server.logged_events()] == list(range(1, last + 1))


def test_a_crash_costs_no_line(server: Server, client: Client) -> None:
    run(client, 5, "before")
    server.kill()
    server.start()
    last = run(client, 5, "after")
    eventually(
        lambda: {line["sequence"] for line in server.logged_events()} >= set(range(1, last + 1)), "every sequence"
    )


def rotated(server: Server) -> list[Path]:
    return sorted(server.logs.glob("agent_action.*.jsonl"))


def test_a_reader_that_follows_the_name_sees_each_line_once_over_rotations(tmp_path: Path) -> None:
    server = Server(tmp_path, "--event-file-max-bytes", "4KiB", "--event-files-kept", "0").start()
    followed = tmp_path / "followed"
    eventually((server.logs / "agent_action.jsonl").exists, "the file")
    with followed.open("wb") as sink:
        reader = subprocess.Popen(
            ["tail", "-F", "-n", "+1", "--pid", str(server.pid), str(server.logs / "agent_action.jsonl")],
            stdout=sink,
            stderr=subprocess.DEVNULL,
        )
    try:
        with server.client() as client:
            for turn in range(8):
                last = run(client, 4, f"turn-{turn}")
                eventually(lambda last=last: seen(followed)[-1:] == [last], "the reader is there")  # type: ignore[misc]
        assert seen(followed) == list(range(1, last + 1))
        files = rotated(server)
        assert len(files) >= 3
        # A renamed file is named after its last event, and the names are in the events' order.
        whole: list[int] = []
        for file in files:
            assert file.stat().st_size <= 4096
            whole += sequences(file)
            assert file.name == f"agent_action.{whole[-1]:020}.jsonl"
        assert whole + sequences(server.logs / "agent_action.jsonl") == list(range(1, last + 1))
    finally:
        reader.kill()
        reader.wait()
        server.close()


def test_only_the_newest_renamed_files_stay(tmp_path: Path) -> None:
    server = Server(tmp_path, ORCHESTRATOR_EVENT_FILE_MAX_BYTES="2KiB", ORCHESTRATOR_EVENT_FILES_KEPT="2").start()
    try:
        with server.client() as client:
            last = run(client, 30, "job")
        eventually(lambda: sequences(server.logs / "agent_action.jsonl")[-1:] == [last], "the last line")
        assert len(rotated(server)) == 2
    finally:
        server.close()


def seen(file: Path) -> list[int]:
    return [json.loads(line)["sequence"] for line in file.read_text().splitlines(keepends=True) if line.endswith("\n")]


def sequences(file: Path) -> list[int]:
    return seen(file) if file.exists() else []
