"""Clients that submit jobs as fast as they are answered, and know which were acknowledged."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import grpc
from jobs import assert_each_ended_once, assert_gapless, history
from server import Server

from dspy_orchestrator import Client, Event, Job, JobState, OrchestratorError
from dspy_orchestrator.v1 import orchestrator_pb2 as pb
from dspy_orchestrator.v1 import orchestrator_pb2_grpc as pb_grpc


class Load:
    """Submits from several threads, over any number of lives of the server.

    Each job makes a directory of its own name, which works only once: a job that ran twice has failed.
    """

    def __init__(self, server: Server, marks: Path, *, threads: int = 4) -> None:
        self._server = server
        self._marks = marks
        self._threads = threads
        self._number = 0
        self._answered = False
        self._lock = threading.Lock()
        self.acknowledged: list[str] = []
        """Ids that the server answered for, or whose file was in ``pending/``."""
        self.refusals: list[grpc.RpcError] = []
        marks.mkdir(parents=True, exist_ok=True)

    @contextlib.contextmanager
    def running(self, most: int | None = None, files: int = 0) -> Iterator[None]:
        """Submits while the block runs: ``most`` jobs by RPC, or without end, and so many as files."""
        self._answered = False
        stopped = threading.Event()
        room = threading.Semaphore(most) if most is not None else None
        workers = [threading.Thread(target=self._submit, args=(stopped, room)) for _ in range(self._threads)]
        workers.append(threading.Thread(target=self._drop, args=(stopped, files)))
        for worker in workers:
            worker.start()
        try:
            yield
        finally:
            stopped.set()
            for worker in workers:
                worker.join()

    def newly_acknowledged(self) -> bool:
        """Whether the server has answered for a job since ``running`` began."""
        return self._answered

    def payload(self, name: str) -> dict[str, list[str]]:
        return {"command": ["mkdir", str(self._marks / name)]}

    def _next(self, kind: str) -> str:
        with self._lock:
            self._number += 1
            return f"{kind}-{self._number}"

    def _submit(self, stopped: threading.Event, room: threading.Semaphore | None) -> None:
        options = [
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.initial_reconnect_backoff_ms", 20),
            ("grpc.min_reconnect_backoff_ms", 20),
            ("grpc.max_reconnect_backoff_ms", 50),
        ]
        with grpc.insecure_channel(self._server.rpc, options=options) as channel:
            stub = pb_grpc.OrchestratorStub(channel)  # type: ignore[no-untyped-call]
            while not stopped.is_set():
                if room is not None and not room.acquire(timeout=0.05):
                    continue
                name = self._next("rpc")
                request = pb.SubmitJobRequest(job_id=name, payload=json.dumps(self.payload(name)).encode())
                try:
                    answer = stub.SubmitJob(request, timeout=5)
                except grpc.RpcError as error:
                    self.refusals.append(error)
                    if error.code() is grpc.StatusCode.UNAVAILABLE:
                        # Nobody is there, or not any more.
                        if room is not None:
                            room.release()
                        stopped.wait(0.02)
                else:
                    assert answer.job.job_id == name
                    self._answered = True
                    self.acknowledged.append(name)

    def _drop(self, stopped: threading.Event, count: int) -> None:
        for _ in range(count):
            name = self._next("file")
            outside = self._server.queue / f".{name}"
            outside.write_text(json.dumps({"id": name, "payload": self.payload(name)}))
            outside.rename(self._server.queue / "pending" / f"{name}.json")
            self.acknowledged.append(name)
            if stopped.wait(0.01):
                return

    def ran(self, name: str) -> bool:
        return (self._marks / name).exists()


def ended(client: Client, names: list[str], timeout: float = 120) -> list[Job]:
    """The jobs, once each has ended."""
    waiting = set(names)
    with client.events(types=["task_completed", "task_failed", "task_cancelled"], timeout=timeout) as events:
        while waiting:
            waiting.discard(next(events).job_id)
    return [client.status(name) for name in names]


def assert_nothing_lost(server: Server, client: Client, load: Load) -> tuple[list[Job], list[Event]]:
    """Every acknowledged job is there and ended once, having run once; the event log has no gap and no repeat."""
    jobs = ended(client, load.acknowledged)
    last = max(job.last_sequence for job in jobs)
    # A job may be in the log without its answer having come through: those end as well.
    unanswered = {event.job_id for event in history(client, last)} - {job.job_id for job in jobs}
    jobs += ended(client, sorted(unanswered))
    log = history(client, max(job.last_sequence for job in jobs))
    assert_gapless(log)
    assert_each_ended_once(log, [job.job_id for job in jobs])
    assert not [job for job in jobs if job.state is not JobState.SUCCEEDED]
    assert not [job.job_id for job in jobs if job.job_id.startswith(("rpc-", "file-")) and not load.ran(job.job_id)]
    for name in load.acknowledged:
        if name.startswith("file-"):
            assert server.done_file(name)["status"] == "completed"
    return jobs, log


class Follower:
    """A subscriber that resumes for as long as it is not told to stop."""

    def __init__(self, server: Server) -> None:
        self.seen: list[Event] = []
        self._client = server.client()
        self._events = self._client.events(reconnect_for=120)
        self._thread = threading.Thread(target=self._follow)
        self._thread.start()

    def _follow(self) -> None:
        with contextlib.suppress(OrchestratorError):
            self.seen.extend(self._events)

    def stop(self) -> list[Event]:
        self._events.close()
        self._thread.join()
        self._client.close()
        return self.seen
