from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from eventually import eventually
from grpc_health.v1 import health_pb2 as health_pb
from grpc_health.v1 import health_pb2_grpc as health_grpc
from grpc_reflection.v1alpha import reflection_pb2 as reflection
from grpc_reflection.v1alpha import reflection_pb2_grpc as reflection_grpc
from refusals import reason, refused
from server import Server

from dspy_orchestrator import Client
from dspy_orchestrator.v1 import orchestrator_pb2 as pb
from dspy_orchestrator.v1 import orchestrator_pb2_grpc as pb_grpc


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_cleanly(server: Server, number: signal.Signals) -> None:
    assert server.process is not None
    server.process.send_signal(number)
    assert server.wait(30) == 0


def test_during_the_drain_delay_it_is_not_ready_and_serves_as_before(tmp_path: Path) -> None:
    server = Server(tmp_path, "--drain-delay-seconds", "600").start()
    try:
        health = health_grpc.HealthStub(server.channel())
        watch = health.Watch(health_pb.HealthCheckRequest(), timeout=60)
        assert next(watch).status == health_pb.HealthCheckResponse.SERVING
        events = server.stub().StreamEvents(pb.StreamEventsRequest())
        server.terminate()
        # Whoever watches is told at once, whoever asks now and then finds out.
        assert next(watch).status == health_pb.HealthCheckResponse.NOT_SERVING
        ready = server.request("/readyz?verbose")
        assert ready.status == 503
        assert "shutdown" in ready.text
        assert server.request("/livez").status == 200
        with server.client() as client:
            job = client.submit(["true"], job_id="by-rpc")
            assert client.wait(job.job_id, timeout=60).state == "succeeded"
        body = b'{"id": "by-http", "payload": {"command": ["true"]}}'
        assert server.request("/queue/submit", body).status == 200
        (server.queue / "pending" / "by-file.json").write_text('{"id": "by-file", "payload": {"command": ["true"]}}')
        for name in ("by-http", "by-file"):
            assert server.done_file(name)["status"] == "completed"
        ended = {"by-rpc", "by-http", "by-file"}
        while ended:
            event = next(events)
            if event.type == "task_completed":
                ended.remove(event.job_id)
        # Nobody has to wait for it: a second signal ends the delay, and what follows goes its way.
        server.terminate()
        assert reason(refused(lambda: list(events))) == ("SERVER_STOPPING", {})
        assert server.wait(30) == 0
    finally:
        server.close()


def test_the_drain_delay_ends_by_itself(tmp_path: Path) -> None:
    server = Server(tmp_path, ORCHESTRATOR_DRAIN_DELAY_SECONDS="1.5").start()
    try:
        before = time.monotonic()
        server.terminate()
        assert server.wait(60) == 0
        assert time.monotonic() - before >= 1.5
    finally:
        server.close()


def test_streams_end_with_unavailable_when_it_stops(server: Server) -> None:
    call = server.stub().StreamEvents(pb.StreamEventsRequest())
    call.initial_metadata()
    server.terminate()
    error = refused(lambda: list(call))
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert reason(error) == ("SERVER_STOPPING", {})
    assert "after_sequence" in error.details()
    assert server.wait(30) == 0


def test_a_client_that_leaves_reflection_open_does_not_hold_it_up(server: Server) -> None:
    never = threading.Event()

    def ask() -> Iterator[reflection.ServerReflectionRequest]:
        yield reflection.ServerReflectionRequest(list_services="")
        never.wait(60)

    call = reflection_grpc.ServerReflectionStub(server.channel()).ServerReflectionInfo(ask())
    assert next(call).list_services_response.service
    server.terminate()
    error = refused(lambda: next(call))
    never.set()
    # Cut off at the end of the grace it would be told nothing.
    assert reason(error) == ("SERVER_STOPPING", {})
    assert server.wait(30) == 0


def test_a_running_job_that_ends_within_the_grace_is_recorded(server: Server, client: Client, tmp_path: Path) -> None:
    go = tmp_path / "go"
    up = tmp_path / "up"
    script = f"touch {up}; until test -e {go}; do sleep 0.05; done; echo __DSPY_RESULT__:1"
    client.submit(["sh", "-c", script], job_id="in-time")
    eventually(up.exists, "the job under way")
    stub = server.stub()
    stub.GetMetrics(pb.GetMetricsRequest(), timeout=10)
    server.terminate()
    # Let the job go only once the server has begun to drain: it takes no new jobs then.
    eventually(lambda: _refuses(server), "new jobs refused")
    go.touch()
    assert server.wait(60) == 0
    server.start()
    job = client.wait("in-time", timeout=60)
    assert (job.state, job.result, job.attempt) == ("succeeded", 1, 1)


def _refuses(server: Server) -> bool:
    with grpc.insecure_channel(server.rpc, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
        try:
            request = pb.SubmitJobRequest(payload=b'{"command":["true"]}')
            pb_grpc.OrchestratorStub(channel).SubmitJob(request, timeout=2)  # type: ignore[no-untyped-call]
        except grpc.RpcError as error:
            return error.code() is grpc.StatusCode.UNAVAILABLE
        return False


def test_a_burst_at_the_time_of_the_signal_loses_no_acknowledged_job(server: Server) -> None:
    acknowledged: list[str] = []

    def burst(thread: int) -> None:
        stub = server.stub()
        number = 0
        while True:
            name = f"job-{thread}-{number}"
            try:
                stub.SubmitJob(pb.SubmitJobRequest(job_id=name, payload=b'{"command":["true"]}'), timeout=5)
            except grpc.RpcError:
                return
            acknowledged.append(name)
            number += 1

    threads = [threading.Thread(target=burst, args=(thread,)) for thread in range(4)]
    for thread in threads:
        thread.start()
    eventually(lambda: len(acknowledged) >= 20, "a burst under way")
    server.terminate()
    assert server.wait(60) == 0
    for thread in threads:
        thread.join()
    server.start()
    with server.client() as client:
        assert {client.wait(name, timeout=120).state for name in acknowledged} == {"succeeded"}
