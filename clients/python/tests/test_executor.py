from __future__ import annotations

import json
import threading
from functools import partial
from typing import Any

import pytest
import worker_functions
from fake_orchestrator import FakeOrchestrator

from dspy_orchestrator import Client, InvalidArgument, JobCancelled, JobFailed, OrchestratorExecutor, functions
from dspy_orchestrator.v1 import orchestrator_pb2 as pb


def sent(fake: FakeOrchestrator) -> list[Any]:
    batched = [job for batch in fake.requests["SubmitJobs"] for job in batch.jobs]
    return [json.loads(request.payload) for request in [*fake.requests["SubmitJob"], *batched]]


def end_all(fake: FakeOrchestrator) -> None:
    """Ends each job with the number of its first argument."""
    for job_id, job in list(fake.jobs.items()):
        job.result = json.dumps(json.loads(job.payload)["args"][0]).encode()
        fake.emit(job_id, "task_completed", pb.JOB_STATE_SUCCEEDED)


def test_a_call_becomes_a_job_of_the_handler(fake: FakeOrchestrator, client: Client) -> None:
    with OrchestratorExecutor(client, handler="python", labels={"team": "a"}) as executor:
        future = executor.submit(worker_functions.add, 1, b=2)
        threading.Timer(0.1, end_all, (fake,)).start()
        assert future.result(timeout=10) == 1
    assert sent(fake) == [{"handler": "python", "function": "worker_functions:add", "args": [1], "kwargs": {"b": 2}}]
    assert fake.requests["SubmitJob"][0].labels == {"team": "a"}


def test_without_a_handler_a_call_becomes_a_command(fake: FakeOrchestrator, client: Client) -> None:
    with OrchestratorExecutor(client, python=["uv", "run", "python"]) as executor:
        executor.submit(worker_functions.Shelf.double, 1)
        end_all(fake)
    assert sent(fake)[0]["command"] == [
        *["uv", "run", "python", "-m", "dspy_orchestrator.worker", "--once", "dspy_orchestrator.functions:call"]
    ]
    assert sent(fake)[0]["function"] == "worker_functions:Shelf.double"


def test_map_keeps_the_order_and_submits_in_one_call(fake: FakeOrchestrator, client: Client) -> None:
    with OrchestratorExecutor(client, handler="python") as executor:
        results = executor.map(worker_functions.add, [3, 1, 2], [0, 0, 0])
        end_all(fake)
        assert list(results) == [3, 1, 2]
    assert [len(batch.jobs) for batch in fake.requests["SubmitJobs"]] == [3]


def test_results_that_are_not_wanted_any_more_are_cancelled(fake: FakeOrchestrator, client: Client) -> None:
    executor = OrchestratorExecutor(client, handler="python")
    results = executor.map(worker_functions.divide, [1, 2, 3], [0, 0, 0])
    first, second, third = fake.jobs
    fake.jobs[first].attempt = 1
    fake.jobs[first].result = b'{"error": {"type": "ZeroDivisionError", "message": "by 0", "traceback": "..."}}'
    fake.emit(first, "task_failed", pb.JOB_STATE_FAILED)
    with pytest.raises(JobFailed) as caught:
        next(results)
    assert caught.value.remote_error is not None
    assert (caught.value.remote_error.type, caught.value.remote_error.message) == ("ZeroDivisionError", "by 0")
    assert {request.job_id for request in fake.requests["CancelJob"]} == {second, third}
    executor.shutdown(wait=False)


def test_shutdown_cancels_what_is_pending_and_takes_no_more(fake: FakeOrchestrator, client: Client) -> None:
    executor = OrchestratorExecutor(client, handler="python")
    future = executor.submit(worker_functions.add, 1)
    job_id = future.job_id
    threading.Timer(0.2, fake.emit, (job_id, "task_cancelled", pb.JOB_STATE_CANCELLED)).start()
    executor.shutdown(cancel_futures=True)
    with pytest.raises(JobCancelled):
        future.result(timeout=0)
    with pytest.raises(RuntimeError, match="after shutdown"):
        executor.submit(worker_functions.add, 1)


def test_what_a_worker_could_not_find_or_read_is_refused_before_it_is_sent(client: Client) -> None:
    def inner() -> None: ...

    def replaced() -> None: ...

    replaced.__module__, replaced.__qualname__ = "worker_functions", "add"

    with OrchestratorExecutor(client) as executor:
        for function, message in (
            (lambda: 1, "module level"),
            (inner, "module level"),
            (partial(worker_functions.add, 1), "has no name"),
            (replaced, "something else"),
        ):
            with pytest.raises(InvalidArgument, match=message):
                executor.submit(function)
        with pytest.raises(InvalidArgument, match=r"an argument of worker_functions:add is not plain JSON"):
            executor.submit(worker_functions.add, object())


@pytest.mark.parametrize("name", ["", "module", ":f", "module:"])
def test_a_name_that_names_nothing_says_how_to_write_one(name: str) -> None:
    with pytest.raises(InvalidArgument, match="module:function"):
        functions.find(name)
