"""The Python client's Futures on the real server."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from pathlib import Path

import pytest
import remote_functions
from eventually import eventually
from jobs import result_line, shell
from server import Server

from dspy_orchestrator import (
    AlreadyExists,
    AsyncClient,
    Client,
    Health,
    JobCancelled,
    JobFailed,
    JobHandle,
    JobSpec,
    OrchestratorError,
    OrchestratorExecutor,
    as_completed,
)


def test_two_hundred_handles_complete_by_one_stream(client: Client) -> None:
    handles = client.submit_many(JobSpec(result_line(str(number)), job_id=f"job-{number}") for number in range(200))
    jobs = [handle for handle in handles if isinstance(handle, JobHandle)]
    assert sorted(job.result() for job in as_completed(jobs, timeout=120)) == list(range(200))
    assert sum(1 for _ in client.list(page_size=70)) == 200


def test_a_batch_has_a_verdict_for_each_job(client: Client) -> None:
    client.submit(["true"], job_id="taken")
    good, bad = client.submit_many([JobSpec(["true"], job_id="free"), JobSpec(["false"], job_id="taken")])
    assert isinstance(good, JobHandle)
    assert isinstance(bad, AlreadyExists)


def test_a_failure_and_a_cancellation_are_told_apart(client: Client) -> None:
    failing = client.submit(shell("echo lost the dataset >&2; exit 3"))
    endless = client.submit(["sleep", "300"])
    with pytest.raises(JobFailed) as caught:
        failing.result(timeout=60)
    assert (caught.value.exit_code, caught.value.reason) == (3, "exit_code")
    assert endless.cancel("enough")
    with pytest.raises(JobCancelled):
        endless.result(timeout=60)
    assert endless.cancelled()


def test_a_handle_outlives_kill_and_restart_of_the_server(server: Server, client: Client, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    job = client.submit(shell(f"until test -e {gate}; do sleep 0.05; done; echo __DSPY_RESULT__:1"))
    outcome: list[object] = []
    thread = threading.Thread(target=lambda: outcome.append(job.result(timeout=90)), daemon=True)
    thread.start()
    eventually(lambda: client.get(job.job_id).state == "running", "the job running")
    server.kill()
    server.start()
    gate.touch()
    thread.join(90)
    assert outcome == [1]


def test_cancelling_an_ended_job_changes_nothing(client: Client) -> None:
    job = client.submit(["true"])
    job.result(timeout=60)
    assert not client.handle(job.job_id).cancel()


def test_health_is_serving_until_the_server_is_gone(server: Server) -> None:
    with server.client(timeout=5) as client:
        assert client.health() is Health.SERVING
        server.stop()
        with pytest.raises(OrchestratorError):
            client.health()


def test_a_handle_goes_on_waiting_over_a_fork(client: Client) -> None:
    job = client.submit(shell("sleep 1; echo __DSPY_RESULT__:1"))
    ended = threading.Event()
    job.add_done_callback(lambda _: ended.set())
    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            os._exit(client.submit(["echo", "__DSPY_RESULT__:7"]).result(timeout=60))
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert ended.wait(60)


def test_the_asyncio_client_sees_every_event_once_over_a_kill_of_the_server(server: Server) -> None:
    async def main() -> list[int]:
        seen: list[int] = []
        async with AsyncClient(server.rpc, timeout=30) as client, client.events(timeout=90) as events:
            before = await client.submit(["true"])
            await before.result(timeout=60)
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(None, server.kill)
            await loop.run_in_executor(None, server.start)
            after = await client.submit(["true"])
            await after.result(timeout=60)
            async for event in events:
                seen.append(event.sequence)
                if event.job_id == after.job_id and event.is_terminal:
                    break
        return seen

    seen = asyncio.run(main())
    assert seen == list(range(1, 7))


def test_functions_run_as_jobs(client: Client) -> None:
    with OrchestratorExecutor(client, cwd=Path(__file__).parent) as executor:
        assert list(executor.map(remote_functions.square, range(4), timeout=120)) == [0, 1, 4, 9]
        with pytest.raises(JobFailed) as caught:
            executor.submit(remote_functions.fail, "no such row").result(timeout=60)
    assert caught.value.exit_code == 1
    assert caught.value.remote_error is not None
    assert (caught.value.remote_error.type, caught.value.remote_error.message) == ("LookupError", "no such row")


def test_a_jobs_output_is_followed_over_a_kill_of_the_server(server: Server, client: Client, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    script = f"echo first; until test -e {gate}; do sleep 0.05; done; seq 3; echo err >&2"
    job = client.submit(shell(script))
    eventually(lambda: client.get(job.job_id).state == "running", "the job running")
    chunks = job.logs(stream="stdout", follow=True)
    seen = next(chunks).data
    server.kill()
    server.start()
    gate.touch()
    seen += b"".join(chunk.data for chunk in chunks)
    assert seen == b"first\n1\n2\n3\n"
    assert [(chunk.stream, chunk.text) for chunk in job.logs(stream="stderr")] == [("stderr", "err\n")]


def test_a_failure_brings_the_end_of_its_log_along(client: Client) -> None:
    failing = client.submit(shell("seq 100000; echo no such dataset >&2; exit 3"))
    with pytest.raises(JobFailed) as caught:
        failing.result(timeout=60)
    assert caught.value.log_tail == "no such dataset\n"
