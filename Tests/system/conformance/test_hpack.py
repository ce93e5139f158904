"""Header blocks that cannot be decoded (RFC 7541): the connection's state is lost with them (RFC 9113 §4.3)."""

from __future__ import annotations

import pytest
from attacker import END_HEADERS, END_STREAM, HEADERS, STREAM_CLOSED, frame
from peer import COMPRESSION_ERROR, Connect, Peer, get, open_call, reset

GET_ROOT = b"\x82\x86\x84" + b"\x01\x04test"

# §5.2 of RFC 7541. In Huffman's code "1" is 00001, and EOS thirty ones.
BROKEN = {
    "an index beyond both tables (§2.3.3)": b"\xc6",
    "a name's index beyond both tables (§2.3.3)": b"\x7f\x0f\x04test",
    "an index of zero (§6.1)": b"\x80",
    "a resize after a field (§4.2)": b"\x20",
    "a resize beyond the setting (§6.3)": None,
    "an endless integer (§5.1)": b"\xff" + b"\xff" * 10 + b"\x7f",
    "a string longer than the block (§5.2)": b"\x00\x06x-test\x7f",
    "a block that ends within a field": b"\x00\x06x-te",
    "Huffman padding of more than seven bits": b"\x00\x06x-test\x82\x0f\xff",
    "Huffman padding of zeros": b"\x00\x06x-test\x81\x08",
    "Huffman with EOS": b"\x00\x06x-test\x84\xff\xff\xff\xff",
}


@pytest.mark.parametrize("field", BROKEN)
def test_a_broken_header_block_ends_the_connection(peer: Peer, field: str) -> None:
    broken = BROKEN[field]
    # 4096 is the size when nothing is said of it; no server is thought to say more than 2^24.
    block = GET_ROOT + broken if broken is not None else b"\x3f\xe2\xff\xff\x7f" + GET_ROOT
    peer.send(frame(HEADERS, block, 1, END_HEADERS | END_STREAM))
    peer.connection_error(COMPRESSION_ERROR)


def test_a_broken_block_of_trailers_ends_the_connection(peer: Peer) -> None:
    peer.send(open_call(1), frame(HEADERS, b"\x80", 1, END_HEADERS | END_STREAM)).connection_error(COMPRESSION_ERROR)


def test_a_broken_block_of_a_stream_that_is_gone_ends_the_connection(peer: Peer) -> None:
    # The block is decoded even when nobody wants it (RFC 9113 §5.1, closed).
    peer.send(open_call(1), reset(1), frame(HEADERS, b"\x80", 1, END_HEADERS | END_STREAM))
    peer.connection_error(COMPRESSION_ERROR, STREAM_CLOSED)


def test_a_table_that_the_client_forbids_is_not_used(connect: Connect) -> None:
    peer = connect(x1=0)
    peer.decoder.max_allowed_table_size = 0
    peer.send(get(1)).is_answered(1)
    # A second answer would name what the first has put into the table.
    peer.send(get(3)).is_answered(3)
    assert peer.decoder.header_table_size == 0
