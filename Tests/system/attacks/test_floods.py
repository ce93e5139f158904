"""Many frames that cost the peer little and the server more."""

from __future__ import annotations

import struct

import pytest
from attacker import (
    ACK,
    CANCEL,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    ENHANCE_YOUR_CALM,
    HEADERS,
    NO_ERROR,
    PING,
    PRIORITY,
    PROTOCOL_ERROR,
    REFUSED_STREAM,
    RST_STREAM,
    SETTINGS,
    STREAM_CLOSED,
    WINDOW_UPDATE,
    Attacker,
    block,
    call,
    frame,
    headers,
    message,
)
from eventually import eventually
from healthy import unharmed
from server import Server

MOST_STREAMS = 1024


@pytest.mark.parametrize("code", [NO_ERROR, CANCEL])
def test_rapid_resets_end_their_connection(server: Server, code: int) -> None:
    """CVE-2023-44487."""
    with unharmed(server), Attacker(server.rpc) as attacker:
        for stream in range(1, 200_000, 2):
            attacker.send(headers(stream), frame(RST_STREAM, struct.pack(">I", code), stream))
        attacker.until_closed()
        assert attacker.codes == [ENHANCE_YOUR_CALM]


OVERFLOW = struct.pack(">I", 0x7FFFFFFF)

MADE_YOU_RESET = {
    "a window beyond 2^31-1": lambda stream: [headers(stream), frame(WINDOW_UPDATE, OVERFLOW, stream)],
    "a window opened by nothing": lambda stream: [headers(stream), frame(WINDOW_UPDATE, bytes(4), stream)],
    "DATA after the end": lambda stream: [
        headers(stream, "StreamEvents"),
        frame(DATA, message(), stream, END_STREAM),
        frame(DATA, message(), stream, END_STREAM),
    ],
    "HEADERS after the end": lambda stream: [
        headers(stream, "StreamEvents"),
        frame(DATA, message(), stream, END_STREAM),
        headers(stream, flags=END_HEADERS | END_STREAM),
    ],
    "a message cut short": lambda stream: [
        headers(stream),
        frame(DATA, message(length=100), stream, END_STREAM),
        frame(RST_STREAM, struct.pack(">I", CANCEL), stream),
    ],
    "a PRIORITY that names itself": lambda stream: [
        headers(stream),
        frame(PRIORITY, struct.pack(">IB", stream, 1), stream),
        frame(RST_STREAM, struct.pack(">I", CANCEL), stream),
    ],
}


@pytest.mark.parametrize("trick", MADE_YOU_RESET)
def test_resets_that_the_peer_provokes_end_its_connection(server: Server, trick: str) -> None:
    """CVE-2025-8671."""
    with unharmed(server), Attacker(server.rpc) as attacker:
        for stream in range(1, 60_000, 2):
            attacker.send(*MADE_YOU_RESET[trick](stream))
        attacker.until_closed()
        assert attacker.codes[-1:] in ([ENHANCE_YOUR_CALM], [PROTOCOL_ERROR], [STREAM_CLOSED])


@pytest.mark.parametrize("size", [0, 1, 1000])
def test_a_header_block_in_endless_continuations_ends_its_connection(server: Server, size: int) -> None:
    with unharmed(server), Attacker(server.rpc) as attacker:
        attacker.send(frame(HEADERS, block(), 1))
        # Literals whose names and values are empty, as many as there is room for.
        attacker.send(frame(CONTINUATION, bytes(size // 3 * 3), 1) * 20_000)
        attacker.until_closed()


IDLE_FRAMES = {
    "SETTINGS": frame(SETTINGS),
    "PRIORITY": frame(PRIORITY, struct.pack(">IB", 0, 1), 1),
    "WINDOW_UPDATE": frame(WINDOW_UPDATE, struct.pack(">I", 1)),
    "an unknown type": frame(0xBE, b"whatever"),
    "an unknown type on a stream": frame(0xBE, b"", 1),
    "empty DATA": frame(DATA, b"", 1),
}


@pytest.mark.parametrize("kind", IDLE_FRAMES)
@pytest.mark.parametrize("reads", [True, False], ids=["reading", "not reading"])
def test_frames_that_move_nothing_end_their_connection(server: Server, kind: str, reads: bool) -> None:
    with unharmed(server), Attacker(server.rpc) as attacker:
        attacker.send(headers(1), IDLE_FRAMES[kind] * 200_000)
        attacker.send_all(reads=reads)
        attacker.until_closed()
        assert attacker.codes == [ENHANCE_YOUR_CALM]


@pytest.mark.parametrize("reads", [True, False], ids=["reading", "not reading"])
def test_a_flood_of_pings_ends_its_connection_by_name(server: Server, reads: bool) -> None:
    with unharmed(server), Attacker(server.rpc) as attacker:
        attacker.send(frame(PING, b"attacker") * 200_000)
        attacker.send_all(reads=reads)
        attacker.until_closed()
        assert attacker.go_aways == [(ENHANCE_YOUR_CALM, "too_many_pings")]


def test_streams_beyond_the_most_there_may_be_are_refused(server: Server) -> None:
    with unharmed(server), Attacker(server.rpc) as attacker:
        beyond = range(2 * MOST_STREAMS + 1, 2 * MOST_STREAMS + 2_000, 2)
        attacker.send(*(headers(stream) for stream in range(1, 2 * MOST_STREAMS, 2)))
        attacker.send(*(headers(stream) for stream in beyond))
        assert {stream.reset for stream in attacker.until_over(*beyond)} == {REFUSED_STREAM}
        attacker.send(frame(DATA, message(), 1, END_STREAM))
        assert attacker.until_over(1)[0].status is not None


def test_one_stream_beyond_a_limit_that_the_peer_knows_ends_its_connection(server: Server) -> None:
    with unharmed(server), Attacker(server.rpc) as attacker:
        attacker.pump(lambda: any(each.kind == SETTINGS for each in attacker.frames), "SETTINGS")
        attacker.send(frame(SETTINGS, flags=ACK), *(headers(stream) for stream in range(1, 2 * MOST_STREAMS + 2, 2)))
        attacker.until_closed()
        assert attacker.codes == [PROTOCOL_ERROR]


def test_refused_streams_whose_refusals_nobody_reads_gather_no_memory(server: Server) -> None:
    with unharmed(server), Attacker(server.rpc) as attacker:
        attacker.send(*(headers(stream) for stream in range(1, 400_000, 2)))
        # It stops taking them, or ends the connection.
        try:
            attacker.send_all(timeout=10, reads=False)
        except AssertionError:
            assert attacker.output


def test_who_floods_is_counted_and_logged_once_with_the_address(server: Server) -> None:
    with unharmed(server), Attacker(server.rpc) as attacker:
        attacker.send(frame(PING, b"attacker") * 1_000)
        attacker.until_closed()
        lines = eventually(
            lambda: [line for line in server.stderr.read_text().splitlines() if f":{attacker.port}" in line],
            "a line with the attacker's address",
        )
        assert len(lines) == 1
        assert "too_many_pings" in lines[0]


def test_an_honest_connection_makes_thousands_of_calls(server: Server) -> None:
    """With both windows opened again for each, as simple clients do."""
    with unharmed(server), Attacker(server.rpc) as honest:
        streams = range(1, 40_000, 2)
        for start in range(0, len(streams), 500):
            for stream in streams[start : start + 500]:
                update = struct.pack(">I", 100)
                honest.send(call(stream), frame(WINDOW_UPDATE, update, stream), frame(WINDOW_UPDATE, update))
            honest.until_over(*streams[start : start + 500])
        assert honest.codes == []
