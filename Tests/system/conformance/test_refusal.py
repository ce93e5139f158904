"""How a port that speaks gRPC answers what is no gRPC: HTTP 415, and a line that says so."""

from __future__ import annotations

import pytest
from attacker import DATA, END_HEADERS, END_STREAM, HEADERS, frame, literal
from peer import OTHER_SERVER, Fields, Peer, get, open_call, post, request

pytestmark = pytest.mark.skipif(OTHER_SERVER is not None, reason="another server answers as it likes")


@pytest.mark.parametrize(
    "fields",
    [request(), request("POST"), request("POST", more=[("content-type", "application/json")]), request("PUT")],
    ids=["GET", "POST", "JSON", "PUT"],
)
def test_it_says_what_the_port_speaks(peer: Peer, fields: Fields) -> None:
    peer.send(frame(HEADERS, literal(fields), 1, END_HEADERS | END_STREAM)).is_answered(1)
    answer = peer.streams[1]
    assert answer.headers == {":status": "415", "content-type": "text/plain; charset=utf-8"}
    assert b"gRPC" in answer.data


def test_it_does_not_wait_for_the_rest_of_the_request(peer: Peer) -> None:
    peer.send(post(1)).is_answered(1)
    # The client is told to send no more, without blame (RFC 9113 §8.1).
    peer.until(lambda: peer.resets(1), "RST_STREAM")
    assert peer.resets(1) == [0]


def test_a_call_on_the_same_connection_is_served(peer: Peer) -> None:
    peer.send(get(1), open_call(3), frame(DATA, b"", 3, END_STREAM)).is_answered(1, 3)
    assert peer.streams[3].status == 0
