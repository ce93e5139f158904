from __future__ import annotations

from pathlib import Path

from eventually import eventually
from jobs import occupy, shell
from processes import is_alive

from dspy_orchestrator import Client, JobState


def test_a_queued_job_is_cancelled_at_once_and_never_starts(client: Client) -> None:
    occupy(client)
    job = client.submit(["true"], job_class="cpu_long")
    cancelled = client.cancel(job.job_id, "not needed")
    assert cancelled.state is JobState.CANCELLED
    assert "not needed" in cancelled.error
    events = list(client.events(job_ids=[job.job_id], end_when_done=True, timeout=30))
    assert [event.type for event in events] == ["task_submitted", "task_cancelled"]


def test_a_running_job_is_cancelled_with_all_its_processes(client: Client, tmp_path: Path) -> None:
    script = f"setsid sleep 300 & echo $! > {tmp_path}/child; echo $$ > {tmp_path}/parent; touch {tmp_path}/up; wait"
    job = client.submit(shell(script))
    eventually((tmp_path / "up").exists, "the job's processes")
    client.cancel(job.job_id, "changed my mind")
    done = client.wait(job.job_id, timeout=60)
    assert done.state is JobState.CANCELLED
    assert "changed my mind" in done.error
    for name in ("child", "parent"):
        pid = int((tmp_path / name).read_text())
        eventually(lambda pid=pid: not is_alive(pid), f"the {name} process gone")  # type: ignore[misc]


def test_cancelling_an_ended_job_answers_with_the_job_as_it_is(client: Client) -> None:
    job = client.submit(["true"])
    ended = client.wait(job.job_id, timeout=60)
    assert client.cancel(job.job_id, "too late") == ended


def test_cancelling_twice_ends_the_job_once(client: Client) -> None:
    job = client.submit(["sleep", "300"])
    client.cancel(job.job_id)
    client.cancel(job.job_id)
    client.wait(job.job_id, timeout=60)
    client.cancel(job.job_id)
    types = [event.type for event in client.events(job_ids=[job.job_id], end_when_done=True, timeout=30)]
    assert types.count("task_cancelled") == 1


def test_a_place_freed_by_a_cancelled_job_is_taken_by_the_next(client: Client) -> None:
    blockers = occupy(client)
    waiting = client.submit(["true"], job_class="cpu_long")
    client.cancel(blockers[0].job_id)
    assert client.wait(waiting.job_id, timeout=60).state is JobState.SUCCEEDED
