"""StreamLogs of the real executable, read by grpcio."""

from __future__ import annotations

import hashlib
import threading
import time
from pathlib import Path
from typing import Any

import grpc
import pytest
from eventually import eventually
from jobs import shell
from refusals import bad_field, refused
from server import Server

from dspy_orchestrator import Client
from dspy_orchestrator.v1 import orchestrator_pb2 as pb

MIB = 1 << 20


def logs(server: Server, job_id: str, **fields: Any) -> list[pb.LogChunk]:
    return list(server.stub().StreamLogs(pb.StreamLogsRequest(job_id=job_id, **fields), timeout=60))


def text(chunks: list[pb.LogChunk], stream: int = pb.LOG_STREAM_STDOUT) -> bytes:
    """What the chunks of a stream hold; they must fit together."""
    whole = b""
    for chunk in chunks:
        if chunk.stream == stream:
            assert chunk.truncated or chunk.offset == len(whole) + (chunks[0].offset if whole == b"" else 0)
            whole += chunk.data
    return whole


def test_both_streams_of_a_job_that_ended(server: Server, client: Client) -> None:
    client.submit(shell("printf out; printf err >&2"), job_id="a")
    client.wait("a", timeout=60)
    chunks = logs(server, "a")
    assert {(chunk.stream, chunk.data, chunk.offset, chunk.truncated) for chunk in chunks} == {
        (pb.LOG_STREAM_STDOUT, b"out", 0, False),
        (pb.LOG_STREAM_STDERR, b"err", 0, False),
    }
    assert text(logs(server, "a", stream=pb.LOG_STREAM_STDERR), pb.LOG_STREAM_STDERR) == b"err"
    rest = logs(server, "a", stream=pb.LOG_STREAM_STDOUT, offset=1)
    assert [(chunk.offset, chunk.data) for chunk in rest] == [(1, b"ut")]


def test_a_follower_sees_output_as_it_is_written_and_then_the_end(
    server: Server, client: Client, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    script = f"echo first; while [ ! -e {gate} ]; do sleep 0.02; done; echo second >&2; echo third"
    client.submit(shell(script), job_id="a")
    call = server.stub().StreamLogs(pb.StreamLogsRequest(job_id="a", follow=True), timeout=60)
    first = next(call)
    assert (first.stream, first.data) == (pb.LOG_STREAM_STDOUT, b"first\n")
    gate.touch()
    rest = list(call)
    assert [chunk.data for chunk in rest if chunk.stream == pb.LOG_STREAM_STDERR] == [b"second\n"]
    assert b"".join(chunk.data for chunk in rest if chunk.stream == pb.LOG_STREAM_STDOUT) == b"third\n"
    assert call.code() is grpc.StatusCode.OK


def test_each_attempt_has_its_own_output(server: Server, client: Client) -> None:
    stub = server.stub()
    stub.SubmitJob(
        pb.SubmitJobRequest(
            job_id="a",
            payload=b'{"command":["sh","-c","echo attempt $DSPY_ATTEMPT; exit 1"]}',
            retry=pb.RetryPolicy(max_attempts=2),
        )
    )
    eventually(lambda: client.status("a").state == "failed", "both attempts to fail")
    assert text(logs(server, "a", attempt=1)) == b"attempt 1\n"
    assert text(logs(server, "a", attempt=2)) == text(logs(server, "a")) == b"attempt 2\n"
    error = refused(lambda: logs(server, "a", attempt=3))
    assert error.code() is grpc.StatusCode.NOT_FOUND
    assert "2 attempts" in error.details()


def test_what_cannot_be_read_is_refused_with_the_reason(server: Server, client: Client) -> None:
    assert refused(lambda: logs(server, "nobody")).code() is grpc.StatusCode.NOT_FOUND
    assert bad_field(refused(lambda: logs(server, ""))) == "job_id"
    client.submit(["echo", "x"], job_id="a")
    client.wait("a", timeout=60)
    assert bad_field(refused(lambda: logs(server, "a", offset=1))) == "offset"
    assert bad_field(refused(lambda: logs(server, "a", stream=9))) == "stream"
    error = refused(lambda: logs(server, "a", stream=pb.LOG_STREAM_STDOUT, offset=3))
    assert error.code() is grpc.StatusCode.OUT_OF_RANGE
    assert "2 bytes" in error.details()


@pytest.mark.timeout(300)
def test_more_output_than_is_kept_comes_with_its_beginning_its_end_and_a_mark(server: Server, client: Client) -> None:
    line = "0123456789abcde"  # and a newline: 16 bytes
    count = 20 * MIB // 16
    client.submit(shell(f"yes {line} | head -n {count}; echo the end"), job_id="a")
    client.wait("a", timeout=200)
    chunks = logs(server, "a", stream=pb.LOG_STREAM_STDOUT)
    kept, tail = ([chunk for chunk in chunks if chunk.truncated is flag] for flag in (False, True))
    beginning = b"".join(chunk.data for chunk in kept)
    end = b"".join(chunk.data for chunk in tail)
    assert beginning == (line + "\n").encode() * (16 * MIB // 16)
    assert end.endswith(b"the end\n")
    assert tail[0].offset + len(end) == 16 * count + len("the end\n")
    assert all(len(chunk.data) <= 64 << 10 for chunk in chunks)


@pytest.mark.timeout(300)
def test_readers_that_read_nothing_cost_the_server_little_and_hold_nobody_up(server: Server, client: Client) -> None:
    """20 of them, of 16 MiB each: in memory that would be 320 MiB."""
    client.submit(shell(f"head -c {16 * MIB} /dev/zero"), job_id="a")
    client.wait("a", timeout=200)
    before = server.rss_bytes()
    slow = [server.stub().StreamLogs(pb.StreamLogsRequest(job_id="a")) for _ in range(20)]
    for call in slow:
        call.initial_metadata()
    whole = text(logs(server, "a", stream=pb.LOG_STREAM_STDOUT))
    assert hashlib.sha256(whole).digest() == hashlib.sha256(bytes(16 * MIB)).digest()
    assert server.rss_bytes() - before < 64 * MIB
    for call in slow:
        call.cancel()


def test_following_costs_nothing_while_nothing_is_written(server: Server, client: Client) -> None:
    client.submit(shell("echo on; sleep 600"), job_id="a")
    stub = server.stub()
    calls = [stub.StreamLogs(pb.StreamLogsRequest(job_id="a", follow=True)) for _ in range(100)]
    for call in calls:
        assert next(call).data == b"on\n"

    def ticks() -> int:
        fields = Path(f"/proc/{server.pid}/stat").read_text().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])

    before, began = ticks(), time.monotonic()
    ended = threading.Event()

    def follow() -> None:
        list(calls[0])
        ended.set()

    threading.Thread(target=follow, daemon=True).start()
    ended.wait(3)
    # 100 readers that looked every 10 ms would take most of a processor.
    assert (ticks() - before) / 100 < 0.3 * (time.monotonic() - began)
    client.cancel("a")
    assert ended.wait(30)
    assert all(list(call) == [] for call in calls[1:])


def test_a_follower_cut_off_by_a_stop_resumes_by_its_offset_and_misses_nothing(server: Server, client: Client) -> None:
    client.submit(shell("trap 'echo bye; exit' TERM; echo on; while :; do sleep 0.05; done"), job_id="a")
    call = server.stub().StreamLogs(pb.StreamLogsRequest(job_id="a", follow=True, stream=pb.LOG_STREAM_STDOUT))
    seen = next(call).data
    assert seen == b"on\n"
    assert server.stop() == 0
    try:
        seen += b"".join(chunk.data for chunk in call)
    except grpc.RpcError:
        # Whether the job's end or the server's came first is a race; the second one says how to go on.
        assert call.code() is grpc.StatusCode.UNAVAILABLE
        assert "offset" in call.details()
    server.start()
    seen += b"".join(chunk.data for chunk in logs(server, "a", stream=pb.LOG_STREAM_STDOUT, offset=len(seen)))
    assert seen == b"on\nbye\n"
