"""The rules of each type of frame: RFC 9113 §6."""

from __future__ import annotations

import struct

import pytest
from attacker import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    GOAWAY,
    HEADERS,
    INITIAL_WINDOW_SIZE,
    PING,
    PRIORITY,
    PROTOCOL_ERROR,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    frame,
    literal,
    settings,
)
from peer import (
    FLOW_CONTROL_ERROR,
    FRAME_SIZE_ERROR,
    MAX_CONCURRENT_STREAMS,
    PADDED,
    WITH_PRIORITY,
    Connect,
    Peer,
    get,
    open_call,
    priority,
    priority_fields,
    request,
    reset,
    window_update,
)

ON_STREAM_ZERO = {
    "DATA (§6.1)": frame(DATA, b"test", 0),
    "HEADERS (§6.2)": get(0),
    "PRIORITY (§6.3)": priority(0),
    "RST_STREAM (§6.4)": reset(0),
    "PUSH_PROMISE (§6.6)": frame(PUSH_PROMISE, bytes(4), 0, END_HEADERS),
    "CONTINUATION (§6.10)": frame(CONTINUATION, literal(request()), 0, END_HEADERS),
}


@pytest.mark.parametrize("kind", ON_STREAM_ZERO)
def test_a_frame_of_a_stream_needs_one(peer: Peer, kind: str) -> None:
    peer.send(ON_STREAM_ZERO[kind]).connection_error(PROTOCOL_ERROR)


ON_A_STREAM = {
    "SETTINGS (§6.5)": frame(SETTINGS, struct.pack(">HI", MAX_CONCURRENT_STREAMS, 100), 1),
    "SETTINGS acknowledged (§6.5)": frame(SETTINGS, b"", 1, ACK),
    "PING (§6.7)": frame(PING, bytes(8), 1),
    "GOAWAY (§6.8)": frame(GOAWAY, bytes(8), 1),
}


@pytest.mark.parametrize("kind", ON_A_STREAM)
def test_a_frame_of_the_connection_is_on_no_stream(peer: Peer, kind: str) -> None:
    peer.send(open_call(1), ON_A_STREAM[kind]).connection_error(PROTOCOL_ERROR)


WRONG_LENGTH = {
    "RST_STREAM of 3 bytes (§6.4)": frame(RST_STREAM, bytes(3), 1),
    "RST_STREAM of 5 bytes (§6.4)": frame(RST_STREAM, bytes(5), 1),
    "SETTINGS of 3 bytes (§6.5)": frame(SETTINGS, bytes(3)),
    "SETTINGS acknowledged with a setting (§6.5)": frame(SETTINGS, bytes(6), flags=ACK),
    "PING of 6 bytes (§6.7)": frame(PING, bytes(6)),
    "PING of 9 bytes (§6.7)": frame(PING, bytes(9)),
    "WINDOW_UPDATE of 3 bytes (§6.9)": frame(WINDOW_UPDATE, bytes(3)),
    "WINDOW_UPDATE of 5 bytes on a stream (§6.9)": frame(WINDOW_UPDATE, bytes(5), 1),
    "GOAWAY of 7 bytes (§6.8)": frame(GOAWAY, bytes(7)),
    "HEADERS too short for their priority (§6.2)": frame(HEADERS, bytes(4), 3, END_HEADERS | WITH_PRIORITY),
}


@pytest.mark.parametrize("kind", WRONG_LENGTH)
def test_a_frame_of_the_wrong_length_ends_the_connection(peer: Peer, kind: str) -> None:
    peer.send(open_call(1), WRONG_LENGTH[kind]).connection_error(FRAME_SIZE_ERROR)


NO_PADDING_LENGTH = {
    "HEADERS (§6.2)": frame(HEADERS, b"", 3, END_HEADERS | PADDED),
    "DATA (§6.1)": frame(DATA, b"", 1, PADDED),
}


@pytest.mark.parametrize("kind", NO_PADDING_LENGTH)
def test_a_padded_frame_without_the_paddings_length_ends_the_connection(peer: Peer, kind: str) -> None:
    # Too short for what it must have (§4.2), or padding that exceeds its frame: both are meant.
    peer.send(open_call(1), NO_PADDING_LENGTH[kind]).connection_error(FRAME_SIZE_ERROR, PROTOCOL_ERROR)


def test_a_priority_of_the_wrong_length_is_an_error_of_its_stream(peer: Peer) -> None:
    peer.send(open_call(1), frame(PRIORITY, bytes(4), 1)).stream_error(1, FRAME_SIZE_ERROR)


# §6.1 and §6.2: padding

BLOCK = literal(request())

TOO_MUCH_PADDING = {
    "DATA": open_call(1) + frame(DATA, b"\x05test", 1, PADDED),
    "DATA of padding's length only": open_call(1) + frame(DATA, b"\x01", 1, PADDED),
    "HEADERS": frame(HEADERS, bytes([len(BLOCK) + 1]) + BLOCK, 1, END_HEADERS | PADDED),
    "HEADERS with priority": frame(
        HEADERS, bytes([len(BLOCK) + 1]) + priority_fields() + BLOCK, 1, END_HEADERS | PADDED | WITH_PRIORITY
    ),
}


@pytest.mark.parametrize("kind", TOO_MUCH_PADDING)
def test_padding_that_exceeds_its_frame_ends_the_connection(peer: Peer, kind: str) -> None:
    peer.send(TOO_MUCH_PADDING[kind]).connection_error(PROTOCOL_ERROR)


# §6.5.2

WRONG_SETTINGS = {
    "ENABLE_PUSH of 2": (settings(x2=2), PROTOCOL_ERROR),
    "INITIAL_WINDOW_SIZE of 2^31": (settings(x4=1 << 31), FLOW_CONTROL_ERROR),
    "MAX_FRAME_SIZE of 2^14 - 1": (settings(x5=(1 << 14) - 1), PROTOCOL_ERROR),
    "MAX_FRAME_SIZE of 2^24": (settings(x5=1 << 24), PROTOCOL_ERROR),
    "ENABLE_CONNECT_PROTOCOL of 2 (RFC 8441)": (settings(x8=2), PROTOCOL_ERROR),
    "NO_RFC7540_PRIORITIES of 2 (RFC 9218)": (settings(x9=2), PROTOCOL_ERROR),
}


@pytest.mark.parametrize("kind", WRONG_SETTINGS)
def test_a_setting_outside_its_range_ends_the_connection(peer: Peer, kind: str) -> None:
    wrong, code = WRONG_SETTINGS[kind]
    peer.send(wrong).connection_error(code)


def test_an_unknown_setting_is_ignored(peer: Peer) -> None:
    peer.send(settings(xff=1), get(1)).is_answered(1)
    peer.goes_on()


# §6.9


@pytest.mark.parametrize("stream", [0, 1])
def test_a_window_is_not_opened_by_nothing(peer: Peer, stream: int) -> None:
    peer.send(open_call(1), window_update(stream, 0))
    if stream == 0:
        peer.connection_error(PROTOCOL_ERROR)
    else:
        peer.stream_error(1, PROTOCOL_ERROR)


@pytest.mark.parametrize("stream", [0, 1])
def test_a_window_exceeds_no_31_bits(peer: Peer, stream: int) -> None:
    peer.send(open_call(1), window_update(stream, (1 << 31) - 1), window_update(stream, (1 << 31) - 1))
    if stream == 0:
        peer.connection_error(FLOW_CONTROL_ERROR)
    else:
        peer.stream_error(1, FLOW_CONTROL_ERROR)


def body_of(peer: Peer, stream: int = 1) -> bytes:
    return peer.streams[stream].data if stream in peer.streams else b""


def test_no_more_is_sent_than_a_window_holds(connect: Connect) -> None:
    peer = connect(x4=1)
    peer.send(get(1)).until(lambda: body_of(peer), "the body's first byte")
    peer.goes_on()
    assert len(body_of(peer)) == 1
    peer.send(window_update(1, 1)).until(lambda: len(body_of(peer)) == 2, "the second")
    peer.goes_on()
    assert len(body_of(peer)) == 2


def test_a_setting_opens_the_windows_of_streams_that_are_open(connect: Connect) -> None:
    peer = connect(x4=0)
    peer.send(get(1)).goes_on()
    assert body_of(peer) == b""
    peer.send(settings(x4=1)).until(lambda: body_of(peer), "the body's first byte")
    peer.goes_on()
    assert len(body_of(peer)) == 1


def test_the_last_of_a_settings_values_holds(peer: Peer) -> None:
    twice = b"".join(struct.pack(">HI", INITIAL_WINDOW_SIZE, size) for size in (100, 1))
    peer.send(frame(SETTINGS, twice), get(1)).until(lambda: body_of(peer), "the body's first byte")
    peer.goes_on()
    assert len(body_of(peer)) == 1


def test_a_window_may_become_negative(connect: Connect) -> None:
    peer = connect(x4=3)
    peer.send(get(1)).until(lambda: len(body_of(peer)) == 3, "three bytes")
    # 3 - 3 sent, less 1: -1. Two more make it 1.
    peer.send(settings(x4=2)).goes_on()
    peer.send(window_update(1, 1)).goes_on()
    assert len(body_of(peer)) == 3
    peer.send(window_update(1, 1)).until(lambda: len(body_of(peer)) == 4, "the fourth byte")


def test_a_setting_opens_no_stream_beyond_31_bits(peer: Peer) -> None:
    peer.send(open_call(1), window_update(1, (1 << 31) - 1 - 65_535), settings(x4=65_536))
    peer.stream_error(1, FLOW_CONTROL_ERROR)


def test_headers_need_no_window(connect: Connect) -> None:
    peer = connect(x4=0)
    peer.send(get(1)).until(lambda: 1 in peer.streams and peer.streams[1].headers, "the answer's headers")


def test_a_client_that_exceeds_its_window_is_refused(peer: Peer) -> None:
    window = peer.settings_of_server().get(INITIAL_WINDOW_SIZE, 65_535)
    peer.send(open_call(1))
    # A message longer than that, so that nothing is consumed and the window is not opened again.
    whole = struct.pack(">BI", 0, 4 << 20) + bytes(window)
    for start in range(0, len(whole), 1 << 14):
        peer.send(frame(DATA, whole[start : start + (1 << 14)], 1))
    peer.until(lambda: peer.is_closed or peer.codes or peer.resets(1) or peer.of_kind(WINDOW_UPDATE, 1), "an end")
    assert peer.codes in ([], [FLOW_CONTROL_ERROR])


# §6.10


@pytest.mark.parametrize("before", ["HEADERS", "CONTINUATION", "DATA"])
def test_a_continuation_continues_something(peer: Peer, before: str) -> None:
    stray = frame(CONTINUATION, literal([("x-late", "1")]), 1, END_HEADERS)
    openings = {
        "HEADERS": open_call(1),
        "CONTINUATION": frame(HEADERS, literal(request()), 1) + frame(CONTINUATION, b"", 1, END_HEADERS),
        "DATA": open_call(1) + frame(DATA, b"", 1),
    }
    peer.send(openings[before], stray).connection_error(PROTOCOL_ERROR)


# §7


def test_an_unknown_error_code_is_an_error_like_others(peer: Peer) -> None:
    peer.send(open_call(1), reset(1, 0xFF)).goes_on()
    peer.send(get(3)).is_answered(3)


def test_a_goaway_of_an_unknown_code_is_no_error(peer: Peer) -> None:
    peer.send(get(1), frame(GOAWAY, struct.pack(">II", 0, 0xFF))).is_answered(1)
    assert set(peer.codes) <= {0}


# §8.4


@pytest.mark.parametrize("stream", [1, 3])
def test_a_client_promises_nothing(peer: Peer, stream: int) -> None:
    promise = struct.pack(">I", 2) + literal(request())
    peer.send(open_call(1), frame(PUSH_PROMISE, promise, stream, END_HEADERS)).connection_error(PROTOCOL_ERROR)
