"""The preface and frames as such: RFC 9113 §3.4, §4 and §5.5."""

from __future__ import annotations

import pytest
from attacker import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PING,
    PREFACE,
    PRIORITY,
    PROTOCOL_ERROR,
    SETTINGS,
    WINDOW_UPDATE,
    frame,
    literal,
    settings,
)
from peer import (
    COMPRESSION_ERROR,
    FRAME_SIZE_ERROR,
    MAX_FRAME_SIZE,
    PATIENCE,
    Connect,
    Peer,
    get,
    open_call,
    priority,
    request,
    reset,
    window_update,
)


@pytest.mark.parametrize(
    "greeting",
    [b"INVALID CONNECTION PREFACE\r\n\r\n", PREFACE[:-4] + b"XX\r\n", b"GET / HTTP/1.1\r\nhost: test\r\n\r\n"],
    ids=["garbage", "almost a preface", "HTTP/1.1"],
)
def test_a_wrong_preface_ends_the_connection(connect: Connect, greeting: bytes) -> None:
    peer = connect(greets=False)
    peer.send(greeting)
    # GOAWAY may be left out, for the peer may not speak HTTP/2 (§3.4).
    peer.pump(lambda: peer.is_closed, "the connection's end", PATIENCE)
    assert peer.codes in ([], [PROTOCOL_ERROR])


def test_a_preface_without_settings_ends_the_connection(connect: Connect) -> None:
    peer = connect(greets=False)
    peer.send(PREFACE, frame(PING, bytes(8))).connection_error(PROTOCOL_ERROR)


# §4.1

UNKNOWN = 0x16


@pytest.mark.parametrize("stream", [0, 1, 99])
def test_a_frame_of_an_unknown_type_is_ignored(peer: Peer, stream: int) -> None:
    peer.send(frame(UNKNOWN, bytes(8), stream), get(1)).is_answered(1)
    peer.goes_on()


def test_an_undefined_flag_is_ignored(peer: Peer) -> None:
    peer.send(frame(PING, b"flagged!", flags=0x16)).until(lambda: peer.of_kind(PING), "an answer")
    assert peer.of_kind(PING)[0].payload == b"flagged!"


def test_the_reserved_bit_is_ignored(peer: Peer) -> None:
    peer.send(frame(PING, b"reserved", stream=1 << 31)).until(lambda: peer.of_kind(PING), "an answer")
    assert peer.of_kind(PING)[0].payload == b"reserved"


# §4.2: the limit is what the server announced, 2^14 when it announced nothing.


def limit(peer: Peer) -> int:
    return peer.settings_of_server().get(MAX_FRAME_SIZE, 1 << 14)


def test_data_of_the_largest_size_is_taken(peer: Peer) -> None:
    peer.send(open_call(1), frame(DATA, bytes(limit(peer)), 1)).goes_on()


def test_data_beyond_the_largest_size_is_refused(peer: Peer) -> None:
    peer.send(open_call(1), frame(DATA, bytes(limit(peer) + 1), 1)).stream_error(1, FRAME_SIZE_ERROR)


@pytest.mark.parametrize("kind", [HEADERS, PRIORITY, SETTINGS, PING, WINDOW_UPDATE, UNKNOWN])
def test_another_frame_beyond_the_largest_size_ends_the_connection(peer: Peer, kind: int) -> None:
    large = frame(kind, bytes(limit(peer) + 1), 0 if kind in (SETTINGS, PING) else 1, END_HEADERS)
    peer.send(large).connection_error(FRAME_SIZE_ERROR)


def test_a_continuation_beyond_the_largest_size_ends_the_connection(peer: Peer) -> None:
    # libnghttp2 does not look at its length; what it is then blamed for depends on what is in it.
    peer.send(frame(HEADERS, literal(request()), 1, END_STREAM))
    peer.send(frame(CONTINUATION, bytes(limit(peer) + 1), 1, END_HEADERS))
    peer.connection_error(FRAME_SIZE_ERROR, COMPRESSION_ERROR)


# §4.3

MID_BLOCK = frame(HEADERS, literal(request()), 1, END_STREAM)

INTRUDERS = {
    "PRIORITY": priority(1),
    "HEADERS on another stream": get(3),
    "HEADERS on the same stream": get(1),
    "DATA": frame(DATA, b"test", 1),
    "RST_STREAM": reset(1),
    "SETTINGS": settings(),
    "PING": frame(PING, bytes(8)),
    "WINDOW_UPDATE": window_update(0, 1),
    "an unknown type (§5.5)": frame(UNKNOWN, b"", 1),
    "CONTINUATION on another stream": frame(CONTINUATION, b"", 3, END_HEADERS),
}


@pytest.mark.parametrize("intruder", INTRUDERS)
def test_nothing_may_come_between_the_frames_of_a_header_block(peer: Peer, intruder: str) -> None:
    peer.send(MID_BLOCK, INTRUDERS[intruder]).connection_error(PROTOCOL_ERROR)


@pytest.mark.parametrize("intruder", INTRUDERS)
def test_nor_between_its_later_frames(peer: Peer, intruder: str) -> None:
    peer.send(MID_BLOCK, frame(CONTINUATION, b"", 1), INTRUDERS[intruder]).connection_error(PROTOCOL_ERROR)
