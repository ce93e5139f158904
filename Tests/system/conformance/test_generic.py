"""What every peer may send, and how a request is answered: the sections of RFC 9113 as they come."""

from __future__ import annotations

import pytest
from attacker import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PING,
    SETTINGS,
    frame,
    literal,
    settings,
)
from hpack.huffman import HuffmanEncoder
from hpack.huffman_constants import REQUEST_CODES, REQUEST_CODES_LENGTH
from peer import (
    PADDED,
    WITH_PRIORITY,
    Peer,
    get,
    open_call,
    padded,
    post,
    priority,
    priority_fields,
    request,
    reset,
    window_update,
)


def test_the_preface_is_answered_with_settings_first(peer: Peer) -> None:
    assert (peer.frames[0].kind, peer.frames[0].flags, peer.frames[0].stream) == (SETTINGS, 0, 0)


# §5.1: what may still come for a stream that the client has ended.
AFTER_END = {"WINDOW_UPDATE": window_update(1, 100), "PRIORITY": priority(1), "RST_STREAM": reset(1)}


def test_priority_is_taken_on_an_idle_stream(peer: Peer) -> None:
    peer.send(priority(1), get(1)).is_answered(1)
    peer.goes_on()


@pytest.mark.parametrize("kind", AFTER_END)
def test_a_half_closed_stream_still_takes(peer: Peer, kind: str) -> None:
    peer.send(get(1), AFTER_END[kind]).goes_on()
    peer.send(get(3)).is_answered(3)


@pytest.mark.parametrize("kind", AFTER_END)
def test_a_closed_stream_still_takes(peer: Peer, kind: str) -> None:
    peer.send(get(1)).is_answered(1)
    peer.send(AFTER_END[kind]).goes_on()


BODIES = {
    "one DATA": frame(DATA, b"test", 1, END_STREAM),
    "several DATA": frame(DATA, b"test", 1) * 3 + frame(DATA, b"test", 1, END_STREAM),
    "padded DATA": frame(DATA, padded(b"test", 255), 1, END_STREAM | PADDED),
    "DATA of padding only": frame(DATA, padded(b"", 255), 1, END_STREAM | PADDED),
    "empty DATA": frame(DATA, b"", 1, END_STREAM),
    "trailers": frame(DATA, b"test", 1) + frame(HEADERS, literal([("x-trailer", "ok")]), 1, END_HEADERS | END_STREAM),
    "trailers without a body": frame(HEADERS, literal([("x-trailer", "ok")]), 1, END_HEADERS | END_STREAM),
}


@pytest.mark.parametrize("body", BODIES)
def test_a_request_with_a_body_is_answered(peer: Peer, body: str) -> None:
    peer.send(post(1), BODIES[body]).is_answered(1)
    peer.goes_on()


def test_a_body_that_comes_after_the_answer_is_no_error(peer: Peer) -> None:
    # A server may answer before the request has ended (§8.1); the client may not know yet.
    peer.send(post(1))
    peer.goes_on()
    peer.send(frame(DATA, b"test", 1, END_STREAM)).is_answered(1)
    peer.goes_on()


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"])
def test_a_request_by_any_method_is_answered(peer: Peer, method: str) -> None:
    peer.send(frame(HEADERS, literal(request(method)), 1, END_HEADERS | END_STREAM)).is_answered(1)
    if method == "HEAD":
        assert peer.streams[1].data == b"", "RFC 9110 §9.3.2"


END = END_HEADERS | END_STREAM
BLOCK = literal(request())

HEADER_FRAMES = {
    "plain": frame(HEADERS, BLOCK, 1, END),
    "padded": frame(HEADERS, padded(BLOCK, 255), 1, END | PADDED),
    "with priority": frame(HEADERS, priority_fields(0, 255) + BLOCK, 1, END | WITH_PRIORITY),
    "padded with priority": frame(HEADERS, padded(priority_fields() + BLOCK, 8), 1, END | WITH_PRIORITY | PADDED),
    "one CONTINUATION": frame(HEADERS, BLOCK[:5], 1, END_STREAM) + frame(CONTINUATION, BLOCK[5:], 1, END_HEADERS),
    "several CONTINUATION": frame(HEADERS, BLOCK[:5], 1, END_STREAM)
    + frame(CONTINUATION, BLOCK[5:9], 1)
    + frame(CONTINUATION, BLOCK[9:13], 1)
    + frame(CONTINUATION, BLOCK[13:], 1, END_HEADERS),
    "an empty CONTINUATION": frame(HEADERS, BLOCK, 1, END_STREAM) + frame(CONTINUATION, b"", 1, END_HEADERS),
    "empty HEADERS": frame(HEADERS, b"", 1, END_STREAM) + frame(CONTINUATION, BLOCK, 1, END_HEADERS),
}


@pytest.mark.parametrize("shape", HEADER_FRAMES)
def test_a_header_block_may_be_framed(peer: Peer, shape: str) -> None:
    peer.send(HEADER_FRAMES[shape]).is_answered(1)
    peer.goes_on()


PRIORITIES = {
    "of the least weight": priority(1, weight=0),
    "of the greatest weight": priority(1, weight=255),
    "on another stream": priority(3, depends_on=1),
    "exclusively on another stream": priority(3, depends_on=1, exclusive=True),
    "of a later idle stream": priority(7),
}


@pytest.mark.parametrize("kind", PRIORITIES)
def test_a_priority_is_taken(peer: Peer, kind: str) -> None:
    peer.send(PRIORITIES[kind], get(1)).is_answered(1)
    peer.goes_on()


def test_a_reset_ends_a_request_and_not_the_connection(peer: Peer) -> None:
    peer.send(open_call(1), reset(1)).goes_on()
    peer.send(get(3)).is_answered(3)


def test_settings_are_acknowledged(peer: Peer) -> None:
    before = len([each for each in peer.of_kind(SETTINGS) if each.flags & ACK])
    peer.send(settings(x3=100), settings(), settings(x1=0, x4=70_000)).goes_on()
    acknowledged = [each for each in peer.of_kind(SETTINGS) if each.flags & ACK]
    assert len(acknowledged) == before + 3
    assert all(each.payload == b"" for each in acknowledged)


def test_a_ping_is_answered_with_its_bytes(peer: Peer) -> None:
    peer.send(frame(PING, b"h2spec~!"))
    peer.until(lambda: peer.of_kind(PING), "an answer")
    assert [(each.flags, each.payload) for each in peer.of_kind(PING)] == [(ACK, b"h2spec~!")]


def test_the_answer_to_a_ping_is_not_answered(peer: Peer) -> None:
    peer.send(frame(PING, b"unasked!", flags=ACK)).goes_on()
    assert b"unasked!" not in [each.payload for each in peer.of_kind(PING)]


def test_a_connection_that_says_goaway_is_served_to_its_end(peer: Peer) -> None:
    peer.send(get(1), frame(7, bytes(8))).is_answered(1)


@pytest.mark.parametrize("stream", [0, 1])
def test_a_window_is_opened(peer: Peer, stream: int) -> None:
    peer.send(open_call(1), window_update(stream, 1)).goes_on()


def test_several_requests_on_one_connection_are_answered(peer: Peer) -> None:
    streams = range(1, 41, 2)
    peer.send(*(get(stream) for stream in streams)).is_answered(*streams)
    peer.goes_on()


# HPACK: the representations of RFC 7541 §6. A block begins with :method GET, :scheme http, :path / and :authority,
# of which the first three are in the static table.

GET_ROOT = b"\x82\x86\x84" + b"\x01\x04test"


def huffman(text: bytes) -> bytes:
    coded = HuffmanEncoder(REQUEST_CODES, REQUEST_CODES_LENGTH).encode(text)
    return bytes([0x80 | len(coded)]) + coded


def plain(text: bytes) -> bytes:
    return bytes([len(text)]) + text


USER_AGENT = 58

REPRESENTATIONS = {
    "indexed": b"\x90",  # accept-encoding: gzip, deflate
    "with incremental indexing, indexed name": bytes([0x40 | USER_AGENT]) + plain(b"test"),
    "with incremental indexing, indexed name, Huffman": bytes([0x40 | USER_AGENT]) + huffman(b"test"),
    "with incremental indexing, new name": b"\x40" + plain(b"x-test") + plain(b"test"),
    "with incremental indexing, new name, Huffman": b"\x40" + huffman(b"x-test") + huffman(b"test"),
    "without indexing, indexed name": bytes([0x0F, USER_AGENT - 15]) + plain(b"test"),
    "without indexing, indexed name, Huffman": bytes([0x0F, USER_AGENT - 15]) + huffman(b"test"),
    "without indexing, new name": b"\x00" + plain(b"x-test") + plain(b"test"),
    "without indexing, new name, Huffman": b"\x00" + huffman(b"x-test") + huffman(b"test"),
    "never indexed, indexed name": bytes([0x1F, USER_AGENT - 15]) + plain(b"test"),
    "never indexed, indexed name, Huffman": bytes([0x1F, USER_AGENT - 15]) + huffman(b"test"),
    "never indexed, new name": b"\x10" + plain(b"x-test") + plain(b"test"),
    "never indexed, new name, Huffman": b"\x10" + huffman(b"x-test") + huffman(b"test"),
    "an empty value": b"\x00" + plain(b"x-test") + plain(b""),
}


@pytest.mark.parametrize("representation", REPRESENTATIONS)
def test_a_field_may_be_represented(peer: Peer, representation: str) -> None:
    peer.send(frame(HEADERS, GET_ROOT + REPRESENTATIONS[representation], 1, END)).is_answered(1)
    peer.goes_on()


def test_a_field_that_was_indexed_may_be_named_by_its_index(peer: Peer) -> None:
    indexed = b"\x40" + plain(b"x-test") + plain(b"test")
    peer.send(frame(HEADERS, GET_ROOT + indexed, 1, END), frame(HEADERS, GET_ROOT + b"\xbe", 3, END))
    peer.is_answered(1, 3)


@pytest.mark.parametrize("updates", [b"\x20", b"\x20\x3f\xe1\x1f"], ids=["one", "two"])
def test_the_dynamic_table_may_be_resized_before_a_block(peer: Peer, updates: bytes) -> None:
    peer.send(frame(HEADERS, updates + GET_ROOT, 1, END)).is_answered(1)
    peer.goes_on()
