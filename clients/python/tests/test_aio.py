from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

import grpc
import pytest
from fake_orchestrator import Failure, FakeOrchestrator, exhausted, unavailable
from google.rpc import status_pb2

from dspy_orchestrator import (
    AlreadyExists,
    AsyncClient,
    AsyncJobHandle,
    Cancelled,
    Client,
    CursorTooOld,
    DeadlineExceeded,
    EventGap,
    Health,
    JobCancelled,
    JobFailed,
    JobSpec,
    Unavailable,
    aio,
)
from dspy_orchestrator.v1 import orchestrator_pb2 as pb

T = TypeVar("T")


def run(fake: FakeOrchestrator, body: Callable[[AsyncClient], Awaitable[T]]) -> T:
    async def main() -> T:
        async with AsyncClient(fake.target, timeout=5) as client:
            return await asyncio.wait_for(body(client), 30)

    return asyncio.run(main())


async def take(items: AsyncIterator[T], count: int) -> list[T]:
    taken = []
    async for item in items:
        taken.append(item)
        if len(taken) == count:
            break
    return taken


def end(fake: FakeOrchestrator, job_id: str, result: bytes = b"1") -> None:
    fake.jobs[job_id].result = result
    fake.emit(job_id, "task_completed", pb.JOB_STATE_SUCCEEDED)


def test_both_clients_have_the_same_names() -> None:
    def names(kind: type) -> set[str]:
        return {name for name in dir(kind) if not name.startswith("_")}

    assert names(AsyncClient) == names(Client)


def test_a_handle_is_awaited(fake: FakeOrchestrator) -> None:
    async def body(client: AsyncClient) -> object:
        job = await client.submit(["true"], job_id="a")
        assert not await job.done()
        threading.Timer(0.1, end, (fake, "a", b'{"loss": 1}')).start()
        assert await job == {"loss": 1}
        assert await job.done()
        return await job.exception()

    assert run(fake, body) is None


def test_submit_tries_again_with_the_same_id(fake: FakeOrchestrator) -> None:
    fake.failures["SubmitJob"].extend([unavailable(), exhausted(0.01), unavailable()])
    job = run(fake, lambda client: client.submit(["true"]))
    assert [request.job_id for request in fake.requests["SubmitJob"]] == [job.job_id] * 4


def test_requeue_carries_the_reason(fake: FakeOrchestrator) -> None:
    fake.add_job("a", pb.JOB_STATE_SUBMITTED)
    assert run(fake, lambda client: client.requeue("a", "a better node")).job_id == "a"
    assert fake.requests["RequeueJob"][0].reason == "a better node"


def test_failures_and_cancellations_are_told_apart(fake: FakeOrchestrator) -> None:
    async def body(client: AsyncClient) -> None:
        failing, unwanted = [await client.submit(["true"], job_id=name) for name in "ab"]
        fake.logs["a", "stdout"] = b"the last words"
        fake.jobs["a"].attempt = 1
        fake.emit("a", "task_failed", pb.JOB_STATE_FAILED)
        assert await unwanted.cancel("not needed")
        fake.emit("b", "task_cancelled", pb.JOB_STATE_CANCELLED)
        with pytest.raises(JobFailed) as caught:
            await failing
        assert caught.value.log_tail == "the last words"
        with pytest.raises(JobCancelled):
            await unwanted.result(timeout=10)
        assert unwanted.cancelled()

    run(fake, body)


def test_waiting_too_short_leaves_the_job_alone(fake: FakeOrchestrator) -> None:
    async def body(client: AsyncClient) -> None:
        job = await client.submit(["true"], job_id="a")
        with pytest.raises(DeadlineExceeded, match="has not ended"):
            await job.result(timeout=0.1)
        end(fake, "a")
        assert await job.result(timeout=10) == 1

    run(fake, body)


def test_many_handles_complete_by_one_stream(fake: FakeOrchestrator) -> None:
    async def body(client: AsyncClient) -> list[str]:
        jobs = [await client.submit(["true"], job_id=name) for name in "abc"]
        for name in "bca":
            end(fake, name)
        return [job.job_id async for job in aio.as_completed(jobs, timeout=10)]

    assert run(fake, body) == ["b", "c", "a"]
    assert len(fake.requests["StreamEvents"]) == 1


def test_handles_outlive_lost_connections_and_lost_history(fake: FakeOrchestrator) -> None:
    fake.oldest = 100
    fake.add_job("gone", pb.JOB_STATE_RUNNING, last_sequence=3)
    fake.add_job("goes-on", pb.JOB_STATE_RUNNING, last_sequence=4)
    fake.break_streams_after.extend([0, 0])

    async def body(client: AsyncClient) -> list[object]:
        gone, goes_on = await client.handle("gone"), await client.handle("goes-on")
        fake.jobs["gone"].state = pb.JOB_STATE_SUCCEEDED
        threading.Timer(0.3, end, (fake, "goes-on")).start()
        return list(await asyncio.gather(gone.result(10), goes_on.result(10)))

    assert run(fake, body) == [None, 1]


def test_a_job_whose_end_passed_by_before_it_was_watched_is_asked_for(fake: FakeOrchestrator) -> None:
    async def body(client: AsyncClient) -> None:
        early, late = [await client.submit(["true"], job_id=name) for name in ("early", "late")]
        end(fake, "early")
        end(fake, "late")
        await late.result(10)
        await early.result(10)

    run(fake, body)


def test_closing_the_client_ends_the_waiting(fake: FakeOrchestrator) -> None:
    async def body(client: AsyncClient) -> None:
        job = await client.submit(["true"])
        waiting = asyncio.create_task(job.result())
        events = asyncio.create_task(take(client.events(), 1))
        await asyncio.sleep(0.1)
        await client.close()
        for task in (waiting, events):
            with pytest.raises(Cancelled, match="closed"):
                await task
        with pytest.raises(Cancelled, match="closed"):
            await client.get("a")

    run(fake, body)


def test_a_stream_cut_off_again_and_again_gives_every_sequence_once(fake: FakeOrchestrator) -> None:
    for number in range(30):
        fake.emit(f"job-{number}", "task_submitted", pb.JOB_STATE_QUEUED)
    fake.break_streams_after.extend([7, 0, 1, 12])
    events = run(fake, lambda client: take(client.events(), 30))
    assert [event.sequence for event in events] == list(range(1, 31))


def test_a_wait_that_is_cancelled_loses_no_event(fake: FakeOrchestrator) -> None:
    async def body(client: AsyncClient) -> list[int]:
        async with client.events() as events:
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(events.__anext__(), 0.2)
            for _ in range(3):
                fake.emit("a", "task_started", pb.JOB_STATE_RUNNING)
            return [event.sequence for event in await take(events, 3)]

    assert run(fake, body) == [1, 2, 3]


def test_from_now_skips_nothing_although_the_connection_breaks(fake: FakeOrchestrator) -> None:
    fake.emit("a", "task_started", pb.JOB_STATE_RUNNING)
    fake.metrics.metrics.add(name="orchestrator_last_sequence", type=pb.METRIC_TYPE_GAUGE, value=1)
    fake.break_streams_after.append(0)

    async def body(client: AsyncClient) -> int:
        async with client.events(from_now=True) as events:
            fake.emit("b", "task_started", pb.JOB_STATE_RUNNING)
            return (await events.__anext__()).sequence

    assert run(fake, body) == 2


def test_what_a_stream_can_not_get_over_is_an_error(fake: FakeOrchestrator) -> None:
    fake.oldest = 50
    with pytest.raises(CursorTooOld, match=r"go on with events\(after=49\)"):
        run(fake, lambda client: take(client.events(3), 1))
    for sequence in (100, 102):
        fake.emit("a", "task_started", pb.JOB_STATE_RUNNING, sequence)
    with pytest.raises(EventGap):
        run(fake, lambda client: take(client.events(99), 2))
    with pytest.raises(DeadlineExceeded, match="after=102"):
        run(fake, lambda client: take(client.events(101, timeout=2), 2))
    fake.stop()
    with pytest.raises(Unavailable):
        run(fake, lambda client: take(client.events(reconnect_for=0.3), 1))


def test_wait_does_not_take_the_end_of_a_stream_for_the_end_of_a_job(fake: FakeOrchestrator) -> None:
    fake.add_job("a")
    fake.end_streams_early = 2
    threading.Timer(0.3, end, (fake, "a")).start()
    assert run(fake, lambda client: client.wait("a", timeout=10)).is_done


def test_batches_pages_logs_and_health(fake: FakeOrchestrator) -> None:
    fake.refused_jobs["b"] = status_pb2.Status(code=grpc.StatusCode.ALREADY_EXISTS.value[0], message="taken")
    fake.logs["a", "stdout"] = bytes(range(20))
    fake.break_logs_after.extend([2, 1])

    async def body(client: AsyncClient) -> None:
        first, second = await client.submit_many([JobSpec(["true"], job_id=name) for name in "ab"])
        assert isinstance(first, AsyncJobHandle)
        assert isinstance(second, AlreadyExists)
        assert [job.job_id async for job in client.list()] == ["a"]
        assert b"".join([chunk.data async for chunk in client.logs("a", stream="stdout")]) == bytes(range(20))
        assert await client.health() is Health.SERVING
        assert (await client.metrics()).version == "fake"

    run(fake, body)


def test_a_refusal_is_an_error_of_the_family(fake: FakeOrchestrator) -> None:
    fake.failures["GetStatus"].append(Failure(grpc.StatusCode.UNAUTHENTICATED, "who\nare you"))
    with pytest.raises(Exception, match="who are you"):
        run(fake, lambda client: client.get("a"))
