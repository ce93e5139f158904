"""Header blocks that are too much, or wrong."""

from __future__ import annotations

import pytest
from attacker import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PREFACE,
    Attacker,
    Stream,
    block,
    call,
    frame,
    headers,
    integer,
    literal,
    message,
    settings,
)
from healthy import unharmed
from server import Server

RESOURCE_EXHAUSTED = 8
HALF_FRAME = 8 << 10


def in_pieces(whole: bytes, stream: int, size: int = 16 << 10) -> bytes:
    """A header block as HEADERS and CONTINUATION."""
    pieces = [whole[start : start + size] for start in range(0, len(whole), size)]
    kinds = [HEADERS] + [CONTINUATION] * (len(pieces) - 1)
    flags = [0] * (len(pieces) - 1) + [END_HEADERS]
    return b"".join(frame(kind, piece, stream, flag) for kind, piece, flag in zip(kinds, pieces, flags, strict=True))


def test_headers_of_more_than_sixteen_kibibytes_are_refused_and_the_connection_goes_on(server: Server) -> None:
    with unharmed(server), Attacker(server.rpc) as attacker:
        bomb = block(more=[(f"x-{number}", "v" * HALF_FRAME) for number in range(10)])
        attacker.send(in_pieces(bomb, 1), frame(DATA, message(), 1, END_STREAM), call(3))
        large, small = attacker.until_over(1, 3)
        assert large.status == RESOURCE_EXHAUSTED
        assert "16384" in large.headers["grpc-message"]
        assert small.status not in (None, RESOURCE_EXHAUSTED)


def test_an_entry_of_the_table_named_again_and_again_is_refused(server: Server) -> None:
    """An HPACK bomb: one byte for 4,000. 200 blocks of 15,000 bytes would be 12 GB of headers."""
    with unharmed(server), Attacker(server.rpc) as attacker:
        giant = b"\x40" + integer(1, 7) + b"x" + integer(4000, 7) + b"v" * 4000
        attacker.send(frame(HEADERS, giant + block(), 1, END_HEADERS), frame(DATA, message(), 1, END_STREAM))
        bombs = range(3, 403, 2)
        for stream in bombs:
            # Index 62 is the table's newest entry.
            attacker.send(frame(HEADERS, block() + b"\xbe" * 15_000, stream, END_HEADERS))
        assert {stream.status for stream in attacker.until_over(*bombs, timeout=60)} == {RESOURCE_EXHAUSTED}


BAD_HEADERS = {
    "an upper-case name": literal([("X-Upper", "v")]),
    "a name with a space": literal([("x y", "v")]),
    "a value with a line break": literal([("x", "a\r\nb")]),
    "a value with NUL": literal([("x", "a\0b")]),
    "connection": literal([("connection", "close")]),
    "te other than trailers": literal([("te", "gzip")]),
    "a pseudo-header after the others": literal([(":path", "/")]),
    "an unknown pseudo-header": literal([(":what", "ever")]),
    "an empty name": literal([("", "v")]),
    "a content-length that is wrong": literal([("content-length", "3")]),
}


@pytest.mark.parametrize("what", BAD_HEADERS)
def test_a_bad_header_ends_no_more_than_its_connection(server: Server, what: str) -> None:
    with unharmed(server), Attacker(server.rpc) as attacker:
        attacker.send(frame(HEADERS, block() + BAD_HEADERS[what], 1, END_HEADERS))
        attacker.send(frame(DATA, message(), 1, END_STREAM))
        answer = attacker.streams.setdefault(1, Stream())
        attacker.pump(lambda: attacker.is_closed or answer.is_over, "an answer")


BAD_BLOCKS = {
    "an index beyond the table": b"\xff\xff\xff\x7f",
    "an integer without an end": b"\xff" * 200,
    "a string longer than the block": b"\x00\x7f\xff\xff\xff\x07a",
    "a table larger than allowed": integer(1 << 30, 5, 0x20),
    "Huffman padding too long": b"\x00\x01x\x84\xff\xff\xff\xff",
    "index zero": b"\x80",
}


@pytest.mark.parametrize("what", BAD_BLOCKS)
def test_a_block_that_is_not_hpack_ends_its_connection(server: Server, what: str) -> None:
    with unharmed(server), Attacker(server.rpc) as attacker:
        attacker.send(frame(HEADERS, BAD_BLOCKS[what], 1, END_HEADERS | END_STREAM))
        attacker.until_closed()
        assert attacker.codes


def test_a_call_that_drips_in_byte_by_byte_is_answered(server: Server) -> None:
    with unharmed(server), Attacker(server.rpc, greeting=b"") as attacker:
        for byte in PREFACE + settings() + call(1):
            attacker.send(bytes([byte]))
            attacker.send_all()
        assert attacker.until_over(1)[0].status is not None


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 11, 100])
def test_calls_split_over_many_reads_are_answered(server: Server, size: int) -> None:
    with unharmed(server), Attacker(server.rpc) as attacker:
        streams = range(1, 41, 2)
        whole = b"".join(call(stream) for stream in streams)
        for start in range(0, len(whole), size):
            attacker.send(whole[start : start + size])
            attacker.send_all()
        assert None not in {stream.status for stream in attacker.until_over(*streams)}


def test_a_block_split_over_continuations_byte_by_byte_is_answered(server: Server) -> None:
    with unharmed(server), Attacker(server.rpc) as attacker:
        whole = in_pieces(block(), 1, len(block()) // 6) + frame(DATA, message(), 1, END_STREAM)
        for byte in whole:
            attacker.send(bytes([byte]))
            attacker.send_all()
        assert attacker.until_over(1)[0].status is not None


def test_trailers_of_a_request_are_no_second_request(server: Server) -> None:
    with unharmed(server), Attacker(server.rpc) as attacker:
        attacker.send(headers(1), frame(DATA, message(), 1))
        attacker.send(frame(HEADERS, literal([("x-trailer", "v")]), 1, END_HEADERS | END_STREAM))
        assert attacker.until_over(1)[0].status is not None
