"""How a port that speaks gRPC answers what is no gRPC: HTTP 415, and a line that says so."""

from __future__ import annotations

import pytest
from attacker import DATA, END_HEADERS, END_STREAM, HEADERS, PROTOCOL_ERROR, frame, literal
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
    peer.send(post(1))
    peer.until(lambda: 1 in peer.streams and peer.streams[1].ended, "the answer")
    assert peer.streams[1].headers[":status"] == "415"
    # The rest may come, though not without end: then the client is told to stop, without blame (RFC 9113 §8.1).
    peer.send(frame(DATA, bytes(1 << 14), 1) * 3).goes_on()
    assert peer.resets(1) == []
    peer.send(frame(DATA, bytes(1 << 14), 1) * 3).until(lambda: peer.resets(1), "RST_STREAM")
    assert peer.resets(1) == [0]
    peer.goes_on()


LATE = {
    "a body unlike its content-length": (("content-length", "1"), frame(DATA, b"test", 1, END_STREAM)),
    "headers that are no trailers": (("x-test", "ok"), frame(HEADERS, literal([("x-test", "ok")]), 1, END_HEADERS)),
}


@pytest.mark.parametrize("kind", LATE)
def test_what_is_malformed_is_refused_after_the_answer_too(peer: Peer, kind: str) -> None:
    field, rest = LATE[kind]
    peer.send(post(1, field))
    peer.until(lambda: 1 in peer.streams and peer.streams[1].ended, "the answer")
    peer.send(rest).stream_error(1, PROTOCOL_ERROR)


def test_a_call_on_the_same_connection_is_served(peer: Peer) -> None:
    peer.send(get(1), open_call(3), frame(DATA, b"", 3, END_STREAM)).is_answered(1, 3)
    assert peer.streams[3].status == 0
