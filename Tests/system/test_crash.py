from __future__ import annotations

import contextlib
import itertools
import json
import os
import threading
from pathlib import Path

import pytest
from eventually import eventually
from jobs import assert_each_ended_once, assert_gapless, history, occupy, shell
from processes import end_processes_under, is_alive
from server import Server

from dspy_orchestrator import Client, Event, JobState, OrchestratorError


@pytest.mark.parametrize("acknowledged_before_kill", [1, 40, 250])
def test_killed_in_the_middle_of_a_burst_it_knows_every_acknowledged_job(
    server: Server, tmp_path: Path, acknowledged_before_kill: int
) -> None:
    ran = tmp_path / "ran"
    ran.mkdir()
    acknowledged: list[str] = []
    seen: list[Event] = []
    stopped = threading.Event()

    def burst(thread: int) -> None:
        with server.client(timeout=2) as client:
            for number in itertools.takewhile(lambda _: not stopped.is_set(), itertools.count()):
                name = f"job-{thread}-{number}"
                with contextlib.suppress(OrchestratorError):
                    client.submit(shell(f"echo x >> {ran}/{name}"), job_id=name)
                    acknowledged.append(name)

    def follow() -> None:
        with server.client() as client, contextlib.suppress(OrchestratorError):
            seen.extend(client.events(reconnect_for=0))

    threads = [threading.Thread(target=burst, args=(thread,)) for thread in range(8)]
    follower = threading.Thread(target=follow)
    for thread in [*threads, follower]:
        thread.start()
    eventually(lambda: len(acknowledged) >= acknowledged_before_kill and seen, "a burst under way")
    server.kill()
    stopped.set()
    for thread in [*threads, follower]:
        thread.join()

    server.start()
    with server.client() as client:
        jobs = [client.wait(name, timeout=120) for name in acknowledged]
        # A job may be in the log without its answer having come through: those end as well.
        last = max(job.last_sequence for job in jobs)
        log = history(client, last)
        others = {event.job_id for event in log} - set(acknowledged)
        jobs += [client.wait(name, timeout=120) for name in others]
        log = history(client, max(job.last_sequence for job in jobs))

    assert_gapless(log)
    assert_each_ended_once(log, [job.job_id for job in jobs])
    assert log[: len(seen)] == seen, "what was published before the crash is what is in the log after it"
    for job in jobs:
        runs = (ran / job.job_id).read_text().count("x") if (ran / job.job_id).exists() else 0
        # An attempt that the crash caught between its event and its process may be lost, but never runs twice.
        if job.state is JobState.SUCCEEDED:
            assert runs == 1, job
        else:
            assert runs <= 1, job
            assert job.failure_reason in ("lost", "runner_error"), job


def test_a_running_job_survives_the_crash_and_is_adopted(server: Server, client: Client, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    go = tmp_path / "go"
    script = (
        f"echo begin $$ >> {notes}; until test -e {go}; do sleep 0.05; done; echo end >> {notes}; "
        "echo __DSPY_RESULT__:[42]"
    )
    client.submit(shell(script), job_id="survivor")
    begun = eventually(lambda: notes.read_text().split()[1:] if notes.exists() else [], "the job under way")
    pid = int(begun[0])
    server.kill()
    assert is_alive(pid)
    server.start()
    assert is_alive(pid)
    assert client.status("survivor").state is JobState.RUNNING
    go.touch()
    job = client.wait("survivor", timeout=60)
    assert (job.state, job.result, job.attempt) == (JobState.SUCCEEDED, [42], 1)
    assert [line.split()[0] for line in notes.read_text().splitlines()] == ["begin", "end"]
    types = [event.type for event in client.events(job_ids=["survivor"], end_when_done=True, timeout=30)]
    assert types == ["task_submitted", "task_started", "task_completed"]


def test_a_job_that_ended_while_the_server_was_down_has_its_true_end(
    server: Server, client: Client, tmp_path: Path
) -> None:
    up, go = tmp_path / "up", tmp_path / "go"
    client.submit(shell(f"echo $$ > {up}; until test -e {go}; do sleep 0.05; done; exit 5"), job_id="alone")
    pid = int(eventually(lambda: up.read_text() if up.exists() else "", "the job under way"))
    server.kill()
    go.touch()
    eventually(lambda: not is_alive(pid), "the job's end")
    server.start()
    job = client.wait("alone", timeout=60)
    assert (job.state, job.exit_code, job.attempt) == (JobState.FAILED, 5, 1)


def test_an_adopted_job_can_be_cancelled(server: Server, client: Client, tmp_path: Path) -> None:
    up = tmp_path / "up"
    client.submit(shell(f"echo $$ > {up}; sleep 300"), job_id="adopted")
    pid = int(eventually(lambda: up.read_text() if up.exists() else "", "the job under way"))
    server.kill()
    server.start()
    client.cancel("adopted")
    assert client.wait("adopted", timeout=60).state is JobState.CANCELLED
    eventually(lambda: not is_alive(pid), "the process gone")


def test_a_job_whose_processes_vanished_with_the_server_is_not_run_again_unasked(
    server: Server, client: Client, tmp_path: Path
) -> None:
    up = tmp_path / "up"
    client.submit(shell(f"echo $$ >> {up}; sleep 300"), job_id="vanished")
    eventually(lambda: up.exists() and up.read_text(), "the job under way")
    server.kill()
    # What a power cut does: the server and everything it had started.
    end_processes_under(server.directory)
    server.start()
    job = client.wait("vanished", timeout=60)
    assert job.state is JobState.FAILED
    assert job.failure_reason in ("lost", "signal")
    assert len(up.read_text().splitlines()) == 1


def test_queued_jobs_run_after_the_restart(server: Server, client: Client) -> None:
    blockers = occupy(client)
    names = [client.submit(["true"], job_class="cpu_long", job_id=f"queued-{number}").job_id for number in range(10)]
    server.kill()
    server.start()
    for blocker in blockers:
        client.cancel(blocker.job_id)
    for name in names:
        assert client.wait(name, timeout=60).state is JobState.SUCCEEDED


def test_a_file_that_was_in_the_inbox_runs_once_whenever_the_server_comes(stopped_server: Server) -> None:
    pending = stopped_server.queue / "pending"
    pending.mkdir(parents=True)
    counted = stopped_server.directory / "counted"
    for number in range(20):
        task = {"id": f"file-{number}", "payload": {"command": ["sh", "-c", f"echo x >> {counted}"]}}
        (pending / f"file-{number}.json").write_text(json.dumps(task))
    stopped_server.start()
    eventually(lambda: counted.exists(), "the first job")
    stopped_server.kill()
    stopped_server.start()
    for number in range(20):
        stopped_server.done_file(f"file-{number}", timeout=60)
    assert counted.read_text().count("x") <= 20
    assert os.listdir(pending) == []
