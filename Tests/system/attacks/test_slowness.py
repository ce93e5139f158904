"""Peers that keep the server waiting."""

from __future__ import annotations

import contextlib
import resource
import socket
import struct
import time

from attacker import (
    DATA,
    END_HEADERS,
    END_STREAM,
    ENHANCE_YOUR_CALM,
    HEADERS,
    PREFACE,
    WINDOW_UPDATE,
    Attacker,
    block,
    call,
    frame,
    headers,
    message,
    settings,
)
from eventually import eventually
from healthy import MIB, unharmed
from server import Server

from dspy_orchestrator import Client
from dspy_orchestrator.v1 import orchestrator_pb2 as pb

IDLE_CONNECTIONS = 2_000

CANCELLED = 1

STUCK_SECONDS = 4
"""A minute by default."""

BYTES_PER_CONNECTION = 56 << 10
"""34 KiB were measured of a debug build."""


def test_a_preface_that_does_not_come_is_not_waited_for_without_end(stopped_server: Server) -> None:
    stopped_server.flags = ("--rpc-preface-timeout-seconds", "2")
    server = stopped_server.start()
    greetings = [b"", PREFACE[:10], PREFACE, PREFACE + settings()[:5]]
    with unharmed(server), contextlib.ExitStack() as stack:
        began = time.monotonic()
        attackers = [stack.enter_context(Attacker(server.rpc, greeting)) for greeting in greetings]
        for attacker in attackers:
            attacker.send_all()
        for attacker in attackers:
            attacker.until_closed(timeout=25)
            assert attacker.go_aways == [(ENHANCE_YOUR_CALM, "first_settings_timeout")]
        assert time.monotonic() - began > 1.5


def test_two_thousand_idle_connections_cost_little(server: Server) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, IDLE_CONNECTIONS + 1_000)), hard))
    with unharmed(server, growth=IDLE_CONNECTIONS * BYTES_PER_CONNECTION), contextlib.ExitStack() as stack:
        attackers = [stack.enter_context(Attacker(server.rpc)) for _ in range(IDLE_CONNECTIONS)]
        for attacker in attackers:
            attacker.pump(lambda attacker=attacker: attacker.frames, "SETTINGS")  # type: ignore[misc]


def test_five_hundred_peers_that_close_their_half_leave_nothing_behind(server: Server) -> None:
    with unharmed(server), contextlib.ExitStack() as stack:
        attackers = [stack.enter_context(Attacker(server.rpc)) for _ in range(500)]
        for attacker in attackers:
            attacker.send(headers(1, "StreamEvents"), frame(DATA, message(), 1, END_STREAM), headers(3))
            attacker.send_all()
            attacker.socket.shutdown(socket.SHUT_WR)
        for attacker in attackers:
            attacker.until_closed()


def test_five_hundred_peers_that_vanish_leave_nothing_behind(server: Server) -> None:
    with unharmed(server):
        for _ in range(500):
            with Attacker(server.rpc) as attacker:
                attacker.send(headers(1, "StreamEvents"), frame(DATA, message(), 1, END_STREAM), headers(3))
                attacker.send_all()
                attacker.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def test_subscribers_with_closed_windows_cost_little_and_can_go_on(server: Server, client: Client) -> None:
    for number in range(200):
        client.submit(["true"], job_id=f"job-{number}", job_class="cpu_long")
    with unharmed(server), Attacker(server.rpc, PREFACE + settings(x4=0)) as attacker:
        streams = range(1, 1_001, 2)
        attacker.send(*(headers(stream, "StreamEvents") for stream in streams))
        attacker.send(*(frame(DATA, message(), stream, END_STREAM) for stream in streams))
        attacker.pump(lambda: len(attacker.streams) == len(streams), "the headers of every stream")
        assert not any(stream.data for stream in attacker.streams.values())
        attacker.send(frame(WINDOW_UPDATE, struct.pack(">I", 1_000), 1))
        attacker.pump(lambda: len(attacker.streams[1].data) == 1_000, "what the window has room for")


def test_answers_that_no_window_has_room_for_stay_bounded(server: Server, client: Client) -> None:
    client.submit(["true", "x" * 500_000], job_id="large", job_class="cpu_long")
    ask = pb.GetStatusRequest(job_id="large").SerializeToString()
    with unharmed(server, growth=192 * MIB), Attacker(server.rpc, PREFACE + settings(x4=0)) as attacker:
        streams = range(1, 2_001, 2)
        attacker.send(*(call(stream, "GetStatus", ask) for stream in streams))
        attacker.send_all()
        attacker.pump(lambda: len(attacker.streams) == len(streams), "an answer on every stream")


def test_what_does_not_move_is_ended(stopped_server: Server) -> None:
    """All of them at once, for each takes its time."""
    stopped_server.flags = ("--rpc-stuck-timeout-seconds", str(STUCK_SECONDS))
    server = stopped_server.start()
    with server.client() as client:
        for number in range(300):
            client.submit(["true"], job_id=f"job-{number}", labels={"filler": "x" * 200}, job_class="cpu_long")
    window = struct.pack(">I", 0x3FFFFFFF)
    with unharmed(server), contextlib.ExitStack() as stack:
        half_frame = stack.enter_context(Attacker(server.rpc)).send(headers(1)[:-3])
        half_data = stack.enter_context(Attacker(server.rpc)).send(
            headers(1), frame(DATA, message(b"x" * 100), 1, END_STREAM)[:-3]
        )
        half_block = stack.enter_context(Attacker(server.rpc)).send(frame(HEADERS, block()[:50], 1))
        stuck = stack.enter_context(Attacker(server.rpc, PREFACE + settings(x4=0x3FFFFFFF)))
        stuck.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stuck.send(frame(WINDOW_UPDATE, window), *(call(stream, "ListJobs") for stream in range(1, 401, 2)))
        began = time.monotonic()
        half_request = stack.enter_context(Attacker(server.rpc)).send(
            headers(1), frame(DATA, message(b"x", length=100), 1), headers(3), headers(5, "StreamEvents")
        )
        waiting = [half_frame, half_data, half_block]
        for attacker in [*waiting, half_request]:
            attacker.send_all()
        stuck.send_all(reads=False)
        for attacker in waiting:
            attacker.until_closed(timeout=100)
            assert attacker.go_aways == [(ENHANCE_YOUR_CALM, "frame_timeout")]
        assert time.monotonic() - began > STUCK_SECONDS - 1
        # Looked at once in that time, so after twice as long at the latest.
        assert {stream.status for stream in half_request.until_over(1, 3, 5, timeout=100)} == {CANCELLED}
        eventually(
            lambda: f":{stuck.port}" in server.stderr.read_text(), "a line about the peer that takes nothing", 60
        )
        assert "write_timeout" in server.stderr.read_text()


def test_a_header_block_may_end_late(server: Server) -> None:
    with unharmed(server), Attacker(server.rpc) as attacker:
        attacker.send(frame(HEADERS, block()[:50], 1))
        attacker.send_all()
        time.sleep(2)
        attacker.send(frame(9, block()[50:], 1, END_HEADERS), frame(DATA, message(), 1, END_STREAM))
        assert attacker.until_over(1)[0].status is not None
