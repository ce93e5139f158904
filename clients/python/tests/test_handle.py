from __future__ import annotations

import asyncio
import concurrent.futures
import pickle
import threading

import pytest
from fake_orchestrator import FakeOrchestrator

from dspy_orchestrator import Client, DeadlineExceeded, FailureReason, JobCancelled, JobFailed, as_completed
from dspy_orchestrator.v1 import orchestrator_pb2 as pb


def end(fake: FakeOrchestrator, job_id: str, result: bytes = b"1") -> None:
    fake.jobs[job_id].result = result
    fake.emit(job_id, "task_completed", pb.JOB_STATE_SUCCEEDED)


def fail(fake: FakeOrchestrator, job_id: str, state: pb.JobState = pb.JOB_STATE_FAILED) -> None:
    fake.jobs[job_id].MergeFrom(
        pb.Job(attempt=1, exit_code=3, failure_reason=pb.FAILURE_REASON_EXIT_CODE, error="exit code 3")
    )
    fake.emit(job_id, "task_cancelled" if state == pb.JOB_STATE_CANCELLED else "task_failed", state)


def test_the_result_comes_with_the_jobs_end(fake: FakeOrchestrator, client: Client) -> None:
    job = client.submit(["true"], job_id="a")
    threading.Timer(0.1, end, (fake, "a", b'{"loss": 1}')).start()
    assert job.result(timeout=10) == {"loss": 1}
    assert job.done()
    assert not job.cancelled()
    assert job.exception() is None
    assert job.job.state == "succeeded"


def test_a_job_that_ended_before_its_handle_was_made_has_its_result(fake: FakeOrchestrator, client: Client) -> None:
    fake.add_job("a", pb.JOB_STATE_SUCCEEDED, result=b"[2]")
    assert client.handle("a").result(timeout=0) == [2]
    assert not fake.requests["StreamEvents"]


def test_a_failure_carries_code_reason_and_the_end_of_the_log(fake: FakeOrchestrator, client: Client) -> None:
    job = client.submit(["false"], job_id="a")
    fake.logs["a", "stderr"] = b"x" * 5000 + b"no such dataset\n"
    fail(fake, "a")
    with pytest.raises(JobFailed, match=r"^job a failed in attempt 1: exit code 3; `dspy-orch logs a`") as caught:
        job.result(timeout=10)
    assert (caught.value.exit_code, caught.value.reason) == (3, FailureReason.EXIT_CODE)
    assert caught.value.log_tail.endswith("no such dataset\n")
    assert len(caught.value.log_tail) == 4096
    assert job.exception() is caught.value
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (str(copy), copy.log_tail) == (str(caught.value), caught.value.log_tail)


def test_a_cancelled_job_is_a_cancelled_future(fake: FakeOrchestrator, client: Client) -> None:
    job = client.submit(["true"], job_id="a")
    assert job.cancel("changed my mind")
    assert fake.requests["CancelJob"][0].reason == "changed my mind"
    fail(fake, "a", pb.JOB_STATE_CANCELLED)
    with pytest.raises(JobCancelled):
        job.result(timeout=10)
    assert isinstance(job.exception(), concurrent.futures.CancelledError)
    assert job.cancelled()


def test_an_ended_job_can_not_be_cancelled(fake: FakeOrchestrator, client: Client) -> None:
    fake.add_job("a", pb.JOB_STATE_SUCCEEDED)
    assert not client.handle("a").cancel()


def test_waiting_too_short_leaves_the_job_alone(fake: FakeOrchestrator, client: Client) -> None:
    job = client.submit(["true"], job_id="a")
    with pytest.raises(DeadlineExceeded, match=r"job a has not ended after 0\.1 s"):
        job.result(timeout=0.1)
    end(fake, "a")
    assert job.result(timeout=10) == 1


def test_done_and_running_ask_the_server(fake: FakeOrchestrator, client: Client) -> None:
    job = client.submit(["true"], job_id="a")
    assert not job.done()
    fake.emit("a", "task_started", pb.JOB_STATE_RUNNING)
    assert job.running()
    end(fake, "a")
    assert job.done()
    assert not job.running()


def test_callbacks_are_called_once(fake: FakeOrchestrator, client: Client) -> None:
    called = threading.Event()
    job = client.submit(["true"], job_id="a")
    job.add_done_callback(lambda future: called.set() if future is job else None)
    assert not called.is_set()
    end(fake, "a")
    assert called.wait(10)


def test_as_completed_gives_handles_in_the_order_of_their_ends(fake: FakeOrchestrator, client: Client) -> None:
    jobs = [client.submit(["true"], job_id=name) for name in "abc"]
    order = []
    fake.emit("b", "task_completed", pb.JOB_STATE_SUCCEEDED)
    for job in as_completed(jobs, timeout=10):
        order.append(job.job_id)
        if len(order) < 3:
            end(fake, "ca"[len(order) - 1])
    assert order == ["b", "c", "a"]
    assert len(fake.requests["StreamEvents"]) == 1


def test_as_completed_says_how_many_have_not_ended(client: Client) -> None:
    with pytest.raises(DeadlineExceeded, match="1 of 1 jobs"):
        list(as_completed([client.submit(["true"])], timeout=0.1))


def test_the_standard_librarys_wait_and_as_completed_work(fake: FakeOrchestrator, client: Client) -> None:
    jobs = [client.submit(["true"], job_id=name) for name in "ab"]
    threading.Timer(0.2, end, (fake, "b")).start()
    done, left = concurrent.futures.wait(jobs, timeout=10, return_when=concurrent.futures.FIRST_COMPLETED)
    assert (done, left) == ({jobs[1]}, {jobs[0]})
    threading.Timer(0.2, end, (fake, "a")).start()
    assert set(concurrent.futures.as_completed(jobs, timeout=10)) == set(jobs)


def test_asyncio_can_wait_for_a_handle(fake: FakeOrchestrator, client: Client) -> None:
    job = client.submit(["true"], job_id="a")
    threading.Timer(0.1, end, (fake, "a")).start()

    async def wait() -> object:
        return await asyncio.wait_for(asyncio.wrap_future(job), 10)

    assert asyncio.run(wait()) == 1


def test_a_job_whose_end_passed_by_before_it_was_watched_is_asked_for(fake: FakeOrchestrator, client: Client) -> None:
    early = client.submit(["true"], job_id="early")
    late = client.submit(["true"], job_id="late")
    end(fake, "early")
    end(fake, "late")
    assert late.result(timeout=10) == 1
    assert early.result(timeout=10) == 1


def test_handles_outlive_lost_connections(fake: FakeOrchestrator, client: Client) -> None:
    jobs = [client.submit(["true"], job_id=f"job-{number}") for number in range(4)]
    fake.break_streams_after.extend([0, 1, 0, 1])
    for number in range(4):
        end(fake, f"job-{number}")
    assert [job.result(timeout=20) for job in jobs] == [1] * 4


def test_handles_outlive_that_their_events_are_no_longer_kept(fake: FakeOrchestrator, client: Client) -> None:
    fake.oldest = 100
    fake.add_job("gone", pb.JOB_STATE_RUNNING, last_sequence=3)
    fake.add_job("goes-on", pb.JOB_STATE_RUNNING, last_sequence=4)
    gone, goes_on = client.handle("gone"), client.handle("goes-on")
    fake.jobs["gone"].state = pb.JOB_STATE_SUCCEEDED
    threading.Timer(0.3, end, (fake, "goes-on")).start()
    assert gone.result(timeout=10) is None
    assert goes_on.result(timeout=10) == 1


def test_closing_the_client_ends_the_waiting(client: Client) -> None:
    job = client.submit(["true"])
    threading.Timer(0.2, client.close).start()
    with pytest.raises(Exception, match="closed"):
        job.result(timeout=10)


def test_many_handles_cost_one_stream(fake: FakeOrchestrator, client: Client) -> None:
    jobs = [client.submit(["true"], job_id=f"job-{number}") for number in range(50)]
    for job in jobs:
        job.add_done_callback(lambda _: None)
    for job in jobs:
        end(fake, job.job_id)
    assert [job.result(timeout=20) for job in jobs] == [1] * 50
    assert len(fake.requests["StreamEvents"]) == 1


def test_events_and_logs_are_the_jobs_own(fake: FakeOrchestrator, client: Client) -> None:
    job = client.submit(["true"], job_id="a")
    fake.emit("b", "task_submitted", pb.JOB_STATE_QUEUED)
    fake.emit("a", "task_submitted", pb.JOB_STATE_QUEUED)
    end(fake, "a")
    fake.logs["a", "stdout"] = b"hello"
    assert [event.type for event in job.events(timeout=10)] == ["task_submitted", "task_completed"]
    assert b"".join(chunk.data for chunk in job.logs(follow=True)) == b"hello"
    assert fake.requests["StreamLogs"][0].follow
