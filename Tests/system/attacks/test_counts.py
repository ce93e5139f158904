"""Whatever a peer does that it should not is counted by kind, and its address logged once, however often it does it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from attacker import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PING,
    RST_STREAM,
    SETTINGS,
    Attacker,
    block,
    call,
    frame,
    headers,
    message,
    settings,
)
from eventually import eventually
from server import Server

MOST_STREAMS = 1_024
TIMES = 3


def metric(server: Server, name: str, label: str, value: str) -> float:
    match = re.search(rf'^{name}{{{label}="{value}"}} (\S+)$', server.request("/metrics").text, re.MULTILINE)
    assert match is not None, f"no {name} with {label} {value}"
    return float(match[1])


def lines(server: Server, word: str) -> list[str]:
    return [line for line in server.stderr.read_text().splitlines() if re.search(rf"=\"?{word}\b", line)]


def acknowledge_and_open_too_many(attacker: Attacker) -> None:
    attacker.pump(lambda: any(each.kind == SETTINGS for each in attacker.frames), "SETTINGS")
    attacker.send(frame(SETTINGS, flags=ACK), *(headers(stream) for stream in range(1, 2 * MOST_STREAMS + 2, 2)))


ENDS: dict[str, Callable[[Attacker], Any]] = {
    "too_many_resets": lambda attacker: attacker.send(
        *(headers(stream) + frame(RST_STREAM, b"\0\0\0\x08", stream) for stream in range(1, 10_000, 2))
    ),
    "too_many_pings": lambda attacker: attacker.send(frame(PING, b"attacker") * 1_000),
    "too_many_idle_frames": lambda attacker: attacker.send(headers(1), frame(DATA, b"", 1) * 50_000),
    "too_many_continuations": lambda attacker: attacker.send(
        frame(HEADERS, block(), 1), frame(CONTINUATION, b"", 1) * 1_000
    ),
    "too_many_settings": lambda attacker: attacker.send(frame(SETTINGS, b"\0\x04\0\0\0\x01" * 100)),
    "too_many_streams": acknowledge_and_open_too_many,
    "protocol_error": lambda attacker: attacker.send(frame(DATA, b"x", 1)),
    "not_http2": lambda attacker: None,
}


@pytest.mark.parametrize("reason", ENDS)
def test_an_attack_that_ends_its_connection_is_counted_by_its_kind(server: Server, reason: str) -> None:
    greeting = {"greeting": b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"} if reason == "not_http2" else {}
    for _ in range(TIMES):
        with Attacker(server.rpc, **greeting) as attacker:
            ENDS[reason](attacker)
            attacker.until_closed()
    name = "grpc_server_connections_ended_total"
    eventually(lambda: metric(server, name, "reason", reason) == TIMES, f"{TIMES} of {reason}")
    assert len(lines(server, reason)) == 1
    assert "127.0.0.1:" in lines(server, reason)[0]


LIMITS: dict[str, bytes] = {
    "header_bytes": frame(HEADERS, block(more=[("x", "v" * 16_000)] * 2)[:16_384], 1)
    + frame(CONTINUATION, block(more=[("x", "v" * 16_000)] * 2)[16_384:], 1, END_HEADERS),
    "request_bytes": headers(1) + frame(DATA, message(length=5 << 20), 1),
    "concurrent_streams": b"".join(headers(stream) for stream in range(1, 2 * MOST_STREAMS + 2, 2)),
}


@pytest.mark.parametrize("limit", LIMITS)
def test_a_limit_that_leaves_the_connection_is_counted_by_its_name(server: Server, limit: str) -> None:
    for _ in range(TIMES):
        with Attacker(server.rpc) as attacker:
            attacker.send(LIMITS[limit])
            last = 2 * MOST_STREAMS + 1 if limit == "concurrent_streams" else 1
            attacker.until_over(last)
    name = "grpc_server_limits_reached_total"
    eventually(lambda: metric(server, name, "limit", limit) == TIMES, f"{TIMES} of {limit}")
    assert len(lines(server, limit)) == 1
    assert "127.0.0.1:" in lines(server, limit)[0]


def test_honest_calls_are_counted_as_no_limit(server: Server) -> None:
    with Attacker(server.rpc) as honest:
        honest.send(settings(), call(1), headers(3), frame(DATA, message(), 3, END_STREAM))
        honest.until_over(1, 3)
    counted = re.findall(
        r"^grpc_server_(?:limits_reached|connections_ended)_total{.*} (\S+)$",
        server.request("/metrics").text,
        re.MULTILINE,
    )
    assert counted
    assert set(counted) == {"0"}
