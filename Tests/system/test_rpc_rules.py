"""What gRPC itself promises, seen by a stock client."""

from __future__ import annotations

import re
import subprocess
import threading
from typing import Any

import grpc
import pytest
from eventually import eventually
from refusals import refused
from server import Server

from dspy_orchestrator import Client
from dspy_orchestrator.v1 import orchestrator_pb2 as pb

SERVICE = "/dspy_orchestrator.v1.Orchestrator/"


def raw(channel: Any, path: str, body: bytes = b"") -> object:
    return channel.unary_unary(path)(body, timeout=10)


def subscribers(server: Server) -> float:
    match = re.search(r"^orchestrator_stream_subscribers(?:\{.*?\})? (\S+)$", server.request("/metrics").text, re.M)
    assert match is not None
    return float(match[1])


@pytest.mark.parametrize("path", [SERVICE + "NoSuchMethod", "/no.such.Service/GetStatus", "/odd"])
def test_an_unknown_method_is_unimplemented_and_named(server: Server, path: str) -> None:
    error = refused(lambda: raw(server.channel(), path))
    assert error.code() is grpc.StatusCode.UNIMPLEMENTED
    assert path.rpartition("/")[2] in error.details()


def test_bytes_that_are_no_message_are_refused_and_the_connection_goes_on(server: Server) -> None:
    channel = server.channel()
    error = refused(lambda: raw(channel, SERVICE + "GetStatus", b"\xff\xff\xff"))
    assert error.code() in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.INTERNAL)
    assert refused(lambda: raw(channel, SERVICE + "GetStatus", b"\n\x01x")).code() is grpc.StatusCode.NOT_FOUND


def test_an_id_that_is_not_ascii_comes_back_whole_in_the_message(server: Server) -> None:
    error = refused(lambda: server.stub().GetStatus(pb.GetStatusRequest(job_id="søk 100%"), timeout=10))
    assert error.code() in (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.INVALID_ARGUMENT)
    assert "søk 100%" in error.details()


def test_a_stream_ends_at_its_deadline_and_the_server_lets_go_of_it(server: Server) -> None:
    error = refused(lambda: list(server.stub().StreamEvents(pb.StreamEventsRequest(), timeout=0.3)))
    assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    eventually(lambda: subscribers(server) == 0, "no subscriber left")


def test_a_stream_cancelled_by_the_client_reaches_the_server(server: Server) -> None:
    call = server.stub().StreamEvents(pb.StreamEventsRequest())
    eventually(lambda: subscribers(server) == 1, "one subscriber")
    call.cancel()
    eventually(lambda: subscribers(server) == 0, "no subscriber left")


def test_a_client_that_vanishes_is_let_go_of(server: Server) -> None:
    channel = server.channel()
    call = channel.unary_stream(SERVICE + "StreamEvents")(b"")
    eventually(lambda: subscribers(server) == 1, "one subscriber")
    channel.close()
    assert call.code() is grpc.StatusCode.CANCELLED
    eventually(lambda: subscribers(server) == 0, "no subscriber left")


def test_many_calls_share_one_connection(server: Server, client: Client) -> None:
    job = client.submit(["true"])
    stub = server.stub()
    calls = [stub.GetStatus.future(pb.GetStatusRequest(job_id=job.job_id), timeout=30) for _ in range(500)]
    assert {call.result().job.job_id for call in calls} == {job.job_id}


def test_many_streams_share_one_connection_and_see_the_same(server: Server, client: Client) -> None:
    stub = server.stub()
    job = client.submit(["true"], job_id="seen-by-all")
    calls = [
        stub.StreamEvents(pb.StreamEventsRequest(job_ids=[job.job_id], end_when_done=True), timeout=60)
        for _ in range(50)
    ]
    seen = {tuple(event.sequence for event in call) for call in calls}
    assert len(seen) == 1
    assert len(seen.pop()) == 3


def test_a_request_that_is_not_grpc_is_answered_with_http_415(server: Server) -> None:
    url = f"http://{server.rpc}{SERVICE}GetStatus"
    curl = ["curl", "--silent", "--output", "/dev/null", "--write-out", "%{http_code} %{http_version}"]
    answer = subprocess.run(
        [*curl, "--http2-prior-knowledge", "--header", "content-type: application/json", "--data", "{}", url],
        check=True,
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert answer.stdout == "415 2"


@pytest.mark.parametrize(("allowed", "ends"), [(1, False), (10, True)])
def test_pings_on_a_quiet_stream_may_come_as_often_as_the_server_says(
    stopped_server: Server, allowed: int, ends: bool
) -> None:
    """Once a second from this client. By default the server says every ten."""
    stopped_server.flags = ("--rpc-min-ping-seconds", str(allowed))
    server = stopped_server.start()
    options = [("grpc.keepalive_time_ms", 1_000), ("grpc.http2.max_pings_without_data", 0)]
    with grpc.insecure_channel(server.rpc, options=options) as channel:
        open_stream: Any = channel.unary_stream(SERVICE + "StreamEvents")
        call = open_stream(b"")
        ended = threading.Event()
        call.add_callback(ended.set)
        # The third ping that a server takes for too many ends the connection (gRFC A8), so the wait is the test.
        assert ended.wait(20 if ends else 5) == ends
        assert ("too_many_pings" in server.stderr.read_text()) == ends
        call.cancel()
