"""The file queue's directory, with more in it, and more around it, than the server would like."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from eventually import eventually
from jobs import occupy
from server import Server

from dspy_orchestrator import Client, FailedPrecondition, JobState

LEASE_SECONDS = 5
LOST_SECONDS = 20


def drop(server: Server, name: str, task: dict[str, Any]) -> None:
    outside = server.queue / f".{name}.new"
    outside.write_text(json.dumps(task))
    outside.rename(server.queue / "pending" / f"{name}.json")


def claimed(server: Server) -> list[str]:
    return sorted(path.name for path in (server.queue / "claimed").glob("*/*.json*"))


def status(server: Server) -> Any:
    return server.request("/queue/status").json


def eventually_taken(server: Server, names: list[str], *, beside: int) -> None:
    """Waits until the files are claimed and the ledger has their jobs, `beside` others counted with them.

    A claim comes first: who kills the server when it sees only that may find no job after it.
    """
    files = sorted(f"{name}.json" for name in names)
    eventually(lambda: claimed(server) == files, "the files claimed")
    eventually(lambda: status(server)["submitted"] == beside + len(names), "their jobs in the ledger")


def lifecycle(client: Client, name: str) -> list[str]:
    return [event.type for event in client.events(job_ids=[name], end_when_done=True, timeout=60)]


def test_ten_thousand_files_at_once_become_ten_thousand_jobs(server: Server) -> None:
    with server.client() as client:
        blockers = len(occupy(client, "gpu"))
    outside = server.queue / "staged"
    outside.mkdir()
    for number in range(10_000):
        task = {"id": f"task-{number}", "class": "gpu", "payload": {"command": ["true"]}}
        (outside / f"task-{number}.json").write_text(json.dumps(task))
    for file in list(outside.iterdir()):
        file.rename(server.queue / "pending" / file.name)
    eventually(lambda: status(server)["submitted"] == 10_000 + blockers, "every file a job", timeout=120)
    assert os.listdir(server.queue / "pending") == []
    assert os.listdir(server.queue / "failed") == []


def test_a_burst_that_inotify_has_no_room_for_hides_no_file(server: Server) -> None:
    room = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    pending = server.queue / "pending"
    os.kill(server.pid, signal.SIGSTOP)
    try:
        # Two names in turn: the same event twice in a row is queued once.
        (pending / ".a").write_text("")
        for number in range(room + 100):
            os.rename(pending / (".a" if number % 2 == 0 else ".b"), pending / (".b" if number % 2 == 0 else ".a"))
        drop(server, "unseen", {"payload": {"command": ["true"]}})
    finally:
        os.kill(server.pid, signal.SIGCONT)
    assert server.done_file("unseen")["status"] == "completed"


def test_the_same_job_by_file_and_by_call_runs_once(server: Server, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    command = ["mkdir", str(mark)]
    with server.client() as client:
        client.submit(command, job_id="twice")
        drop(server, "twice", {"id": "twice", "payload": {"command": command}})
        assert server.done_file("twice")["status"] == "completed"
        # The other way round.
        drop(server, "again", {"payload": {"command": ["true"]}})
        server.done_file("again")
        assert client.submit(["true"], job_id="again").attempt == 1
        # A second file of the same name and content, long after: answered once more.
        (server.queue / "done" / "twice.json").unlink()
        drop(server, "twice", {"id": "twice", "payload": {"command": command}})
        assert server.done_file("twice")["attempt"] == 1
    eventually(lambda: claimed(server) == [], "no claim left")
    assert os.listdir(server.queue / "failed") == []


def test_another_job_under_a_taken_id_goes_to_failed_and_says_what_differs(server: Server) -> None:
    with server.client() as client:
        client.submit(["true"], job_id="taken")
        client.wait("taken", timeout=30)
        drop(server, "other", {"id": "taken", "class": "cpu_long", "payload": {"command": ["false"]}})
        why = server.queue / "failed" / "other.json.error"
        eventually((server.queue / "failed" / "other.json").exists, "the file in failed/")
        assert "taken" in why.read_text()
        assert "payload" in why.read_text()
        assert client.status("taken").state is JobState.SUCCEEDED
    assert not (server.queue / "done" / "taken.json").exists()


@pytest.mark.parametrize(
    "make",
    [
        lambda path: path.symlink_to("/etc/passwd"),
        lambda path: path.symlink_to("../../data/ledger.sqlite"),
        lambda path: os.mkfifo(path),
        lambda path: path.mkdir(),
        lambda path: os.link(path.parents[2] / "server.log", path),
        lambda path: path.write_text(json.dumps({"id": "../../../escape", "payload": {"command": ["true"]}})),
        lambda path: path.write_text(json.dumps({"id": "a/b", "payload": {"command": ["true"]}})),
        lambda path: path.write_text(json.dumps({"payload": {"command": ["true"], "pad": "x" * (2 << 20)}})),
        lambda path: path.write_text("[" * 100_000),
    ],
    ids=["link-out", "link-to-the-ledger", "pipe", "directory", "hard-link", "id-out", "id-below", "huge", "deep"],
)
def test_what_is_no_task_is_moved_aside_and_leads_nowhere(server: Server, make: Any) -> None:
    before = {path for path in server.directory.rglob("*") if server.queue not in path.parents}
    make(server.queue / "pending" / "odd.json")
    # Not every way to make a file tells the server of it; this one does.
    drop(server, "good", {"payload": {"command": ["true"]}})
    aside = server.queue / "failed" / "odd.json"
    eventually(lambda: os.path.lexists(aside), f"failed/odd.json; the server says:\n{server.errors()}")
    assert (server.queue / "failed" / "odd.json.error").read_text().count("\n") == 1
    assert server.done_file("good")["status"] == "completed"
    new = {path for path in server.directory.rglob("*") if server.queue not in path.parents} - before
    assert not [path for path in new if "escape" in path.name or "odd" in path.name]


@pytest.mark.parametrize(
    "name", ["with space", "quote'\"s", "ünïcödé", "new\nline", "$(touch x)", "-rf", "a..dots", "%2e%2e"]
)
def test_odd_names_are_only_names(server: Server, name: str) -> None:
    drop(server, name, {"id": "plain", "payload": {"command": ["true"]}})
    assert server.done_file("plain")["status"] == "completed"
    eventually(lambda: claimed(server) == [], "no claim left")


def test_the_directory_may_be_removed_and_comes_back(server: Server) -> None:
    with server.client() as client:
        blockers = occupy(client)
        drop(server, "claimed", {"class": "cpu_long", "payload": {"command": ["true"]}})
        eventually_taken(server, ["claimed"], beside=len(blockers))
        # First out of the server's sight, which would make it anew in the middle.
        server.queue.rename(server.directory / "old-queue")
        shutil.rmtree(server.directory / "old-queue")
        eventually((server.queue / "pending").exists, "the directory made anew")
        drop(server, "later", {"payload": {"command": ["true"]}})
        assert server.done_file("later")["status"] == "completed"
        for blocker in blockers:
            client.cancel(blocker.job_id)
    # It was accepted before.
    assert server.done_file("claimed")["status"] == "completed"


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Server, Server]]:
    """Two servers with ledgers of their own on one queue directory."""
    servers = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        lost = ("--queue-lost-seconds", str(LOST_SECONDS))
        server = Server(tmp_path / name, "--queue-lease-seconds", str(LEASE_SECONDS), *lost)
        server.queue = tmp_path / "queue"
        servers.append(server)
    yield servers[0], servers[1]
    for server in servers:
        server.close()


def test_two_servers_on_one_directory_run_each_file_once(pair: tuple[Server, Server], tmp_path: Path) -> None:
    for server in pair:
        # Neither is to take over what the other holds.
        server.flags = (*server.flags, "--queue-lease-seconds", "60")
    one, two = (server.start() for server in pair)
    for number in range(200):
        drop(one, f"task-{number}", {"payload": {"command": ["mkdir", str(tmp_path / f"ran-{number}")]}})
    for number in range(200):
        assert one.done_file(f"task-{number}", timeout=120)["status"] == "completed"
    assert os.listdir(one.queue / "failed") == []
    assert status(one)["submitted"] + status(two)["submitted"] == 200
    eventually(lambda: claimed(one) == [], "no claim left")


def test_a_server_takes_over_only_what_another_has_let_go(pair: tuple[Server, Server], tmp_path: Path) -> None:
    one, two = pair
    one.start()
    names = [f"waits-{number}" for number in range(5)]
    with one.client() as client:
        blockers = occupy(client)
        for name in names:
            drop(one, name, {"class": "cpu_long", "payload": {"command": ["mkdir", str(tmp_path / name)]}})
        eventually_taken(one, names, beside=len(blockers))
        two.start()
        # The second has looked for longer than a lease, and the first is alive: it takes what comes, and nothing else.
        owner = next(path for path in (one.queue / "claimed").iterdir() if (path / "waits-0.json").exists())
        lease = owner / ".lease"
        first = lease.stat().st_mtime_ns
        eventually(lambda: lease.stat().st_mtime_ns > first + (LEASE_SECONDS + 1) * 10**9, "signs of life")
        assert status(two)["submitted"] == 0
        assert all((owner / f"{name}.json").exists() for name in names)

        one.kill()
        for name in names:
            assert two.done_file(name, timeout=60)["status"] == "completed"
        assert status(two)["submitted"] == len(names)

        one.start()
        # The first tells the end that they had there.
        for name in names:
            job = client.wait(name, timeout=30)
            assert (job.state, job.attempt) == (JobState.SUCCEEDED, 1)
            assert lifecycle(client, name) == ["task_submitted", "task_completed"]
        for blocker in blockers:
            client.cancel(blocker.job_id)
            client.wait(blocker.job_id, timeout=30)
        # Each as the second left it.
        for name in names:
            assert one.done_file(name)["status"] == "completed"
        drop(one, "after", {"payload": {"command": ["true"]}})
        assert one.done_file("after")["status"] == "completed"


def test_a_server_that_was_frozen_gives_up_what_was_taken_from_it(pair: tuple[Server, Server], tmp_path: Path) -> None:
    one, two = (server.start() for server in pair)
    two.stop()
    with one.client() as client:
        blockers = occupy(client)
        drop(one, "waits", {"class": "cpu_long", "payload": {"command": ["mkdir", str(tmp_path / "waits")]}})
        eventually_taken(one, ["waits"], beside=len(blockers))
        two.start()
        os.kill(one.pid, signal.SIGSTOP)
        try:
            assert two.done_file("waits", timeout=60)["status"] == "completed"
        finally:
            os.kill(one.pid, signal.SIGCONT)
        assert client.wait("waits", timeout=30).state is JobState.SUCCEEDED
        for blocker in blockers:
            client.cancel(blocker.job_id)
            client.wait(blocker.job_id, timeout=30)
        assert two.done_file("waits")["status"] == "completed"


# Runs for a while the first time, and says how often it has run.
ONCE_SLOW = 'echo ran >> "$MARKS"; test "$(wc -l < "$MARKS")" -gt 1 || sleep 600; echo "__DSPY_RESULT__:$DSPY_ATTEMPT"'


def test_the_end_of_what_was_taken_over_while_it_ran_is_the_others(pair: tuple[Server, Server], tmp_path: Path) -> None:
    one, two = (server.start() for server in pair)
    marks = tmp_path / "marks"
    two.stop()
    task = {"command": ["sh", "-c", ONCE_SLOW + "; exit 3"], "env": {"MARKS": str(marks)}}
    drop(one, "job", {"payload": task})
    eventually(marks.exists, "it runs")
    with one.client() as client, ThreadPoolExecutor() as pool:
        told = pool.submit(lifecycle, client, "job")
        two.start()
        os.kill(one.pid, signal.SIGSTOP)
        try:
            done = two.done_file("job", timeout=60)
        finally:
            os.kill(one.pid, signal.SIGCONT)
        # Its attempt here is stopped, does not count, and then the end is the one in the done file.
        assert told.result(60) == ["task_submitted", "task_started", "task_retrying", "task_failed"]
        job = client.status("job")
        assert (job.state, job.exit_code, job.attempt, job.result) == ("failed", 3, 1, 1)
        assert job.error == done["error"]
        with pytest.raises(FailedPrecondition, match="output there"):
            list(client.logs("job"))
    assert one.done_file("job") == done
    assert marks.read_text() == "ran\n" * 2
    assert status(one)["completed"] + status(one)["failed"] == 1


def test_a_task_that_comes_back_runs_here_once(pair: tuple[Server, Server], tmp_path: Path) -> None:
    one, two = (server.start() for server in pair)
    two.stop()
    ran = tmp_path / "ran"
    with one.client() as client, ThreadPoolExecutor() as pool:
        blockers = occupy(client)
        drop(one, "job", {"class": "cpu_long", "payload": {"command": ["mkdir", str(ran)]}})
        eventually_taken(one, ["job"], beside=len(blockers))
        told = pool.submit(lifecycle, client, "job")
        two.start()
        with two.client() as others:
            others_blockers = occupy(others)
            os.kill(one.pid, signal.SIGSTOP)
            try:
                eventually(lambda: status(two)["submitted"] > len(others_blockers), "taken over", 60)
            finally:
                os.kill(one.pid, signal.SIGCONT)
            eventually(lambda: "taken over" in one.errors(), "the first knows")
        assert client.status("job").state is JobState.QUEUED
        two.kill()
        # Back in the first one's hands, whose own jobs are done with now.
        for blocker in blockers:
            client.cancel(blocker.job_id)
        assert told.result(60) == ["task_submitted", "task_started", "task_completed"]
    assert one.done_file("job")["status"] == "completed"
    assert ran.exists()


def test_a_task_that_vanishes_with_who_took_it_is_lost(pair: tuple[Server, Server], tmp_path: Path) -> None:
    one, two = (server.start() for server in pair)
    two.stop()
    with one.client() as client, ThreadPoolExecutor() as pool:
        blockers = occupy(client)
        drop(one, "job", {"class": "cpu_long", "payload": {"command": ["true"]}})
        eventually_taken(one, ["job"], beside=len(blockers))
        one.kill()
        # Another one took it, and its part of the directory was removed with it.
        owner = next(path for path in (one.queue / "claimed").iterdir() if (path / "job.json").exists())
        (owner / ".lease").rename(owner / ".revoked")
        (owner / "job.json").unlink()
        one.start()
        told = pool.submit(lifecycle, client, "job")
        assert client.status("job").state is JobState.QUEUED
        # Neither is it ended by a restart.
        one.kill()
        one.start()
        assert client.status("job").state is JobState.QUEUED
        assert told.result(120) == ["task_submitted", "task_failed"]
        job = client.status("job")
        assert job.failure_reason == "lost"
        assert f"for {LOST_SECONDS} s" in job.error
        for blocker in blockers:
            client.cancel(blocker.job_id)
        # Should the task appear after all, that is what is said of it.
        assert not (one.queue / "done" / "job.json").exists()
        drop(one, "job", {"class": "cpu_long", "payload": {"command": ["true"]}})
        assert one.done_file("job")["failure_reason"] == "lost"


def test_a_cancel_of_what_another_has_takes_effect_when_it_comes_back(
    pair: tuple[Server, Server], tmp_path: Path
) -> None:
    one, _ = pair
    one.start()
    with one.client() as client:
        blockers = occupy(client)
        drop(one, "job", {"class": "cpu_long", "payload": {"command": ["true"]}})
        eventually_taken(one, ["job"], beside=len(blockers))
        one.kill()
        claims = one.queue / "claimed"
        owner = next(path for path in claims.iterdir() if (path / "job.json").exists())
        (owner / ".lease").rename(owner / ".revoked")
        (claims / "other").mkdir()
        (claims / "other" / ".lease").write_text('{"lease_seconds": 600}')
        (owner / "job.json").rename(claims / "other" / "job.json")
        one.start()
        assert client.cancel("job", "enough").state is JobState.QUEUED
        (claims / "other" / ".lease").rename(claims / "other" / ".revoked")
        job = client.wait("job", timeout=60)
        assert (job.state, job.error) == (JobState.CANCELLED, "enough")
        for blocker in blockers:
            client.cancel(blocker.job_id)
    assert one.done_file("job")["status"] == "cancelled"
