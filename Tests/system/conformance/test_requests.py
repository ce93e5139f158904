"""Requests that are malformed, and their end: RFC 9113 §8."""

from __future__ import annotations

import pytest
from attacker import DATA, END_HEADERS, END_STREAM, HEADERS, PROTOCOL_ERROR, frame, literal
from peer import Fields, Peer, get, open_call, post, request

END = END_HEADERS | END_STREAM


def without(name: str) -> Fields:
    return [field for field in request() if field[0] != name]


MALFORMED: dict[str, Fields] = {
    "a name in upper case (§8.2.1)": request(more=[("X-TEST", "ok")]),
    "a name with a space (§8.2.1)": request(more=[("x test", "ok")]),
    "a name with a colon (§8.2.1)": request(more=[("x:test", "ok")]),
    "a name with a control character (§8.2.1)": request(more=[("x\x01test", "ok")]),
    "a name with NUL (§8.2.1)": request(more=[("x\x00test", "ok")]),
    "a name with DEL (§8.2.1)": request(more=[("x\x7ftest", "ok")]),
    "a name beyond ASCII (§8.2.1)": request(more=[("x-tëst", "ok")]),
    "an empty name (§8.2.1)": request(more=[("", "ok")]),
    "a value with NUL (§8.2.1)": request(more=[("x-test", "o\x00k")]),
    "a value with CR (§8.2.1)": request(more=[("x-test", "o\rk")]),
    "a value with LF (§8.2.1)": request(more=[("x-test", "o\nk: 1")]),
    "a value that begins with a space (§8.2.1)": request(more=[("x-test", " ok")]),
    "a value that ends with a tab (§8.2.1)": request(more=[("x-test", "ok\t")]),
    "an unknown pseudo-header (§8.3)": request(more=[(":test", "ok")]),
    "a response's pseudo-header (§8.3)": request(more=[(":status", "200")]),
    "a pseudo-header after another field (§8.3)": [("x-test", "ok"), *request()],
    "connection (§8.2.2)": request(more=[("connection", "keep-alive")]),
    "keep-alive (§8.2.2)": request(more=[("keep-alive", "timeout=5")]),
    "proxy-connection (§8.2.2)": request(more=[("proxy-connection", "keep-alive")]),
    "transfer-encoding (§8.2.2)": request(more=[("transfer-encoding", "chunked")]),
    "upgrade (§8.2.2)": request(more=[("upgrade", "websocket")]),
    "te of anything but trailers (§8.2.2)": request(more=[("te", "trailers, deflate")]),
    "an empty :path (§8.3.1)": request(path=""),
    "a :path that does not begin with a slash (§8.3.1)": request(path="test"),
    "no :method (§8.3.1)": without(":method"),
    "no :scheme (§8.3.1)": without(":scheme"),
    "no :path (§8.3.1)": without(":path"),
    "two :method (§8.3.1)": [(":method", "GET"), *request()],
    "two :scheme (§8.3.1)": [(":scheme", "http"), *request()],
    "two :path (§8.3.1)": [(":path", "/"), *request()],
    "two :authority (§8.3.1)": [(":authority", "conformance"), *request()],
    "neither :authority nor host (§8.3.1)": without(":authority"),
    "a :method with a space (§8.3.1)": request("GE T"),
    "CONNECT with a :path (§8.5)": request("CONNECT"),
    "two content-length that differ (RFC 9110 §8.6)": request(more=[("content-length", "0"), ("content-length", "1")]),
    "a content-length that is no number (RFC 9110 §8.6)": request(more=[("content-length", "1x")]),
}

# What the protocol allows a server to let pass.
TOLERABLE = {"neither :authority nor host (§8.3.1)"}


@pytest.mark.parametrize("kind", [kind for kind in MALFORMED if kind not in TOLERABLE])
def test_a_malformed_request_is_refused(peer: Peer, kind: str) -> None:
    peer.send(frame(HEADERS, literal(MALFORMED[kind]), 1, END)).stream_error(1, PROTOCOL_ERROR)


@pytest.mark.parametrize("kind", [kind for kind in MALFORMED if kind not in TOLERABLE])
def test_a_malformed_request_harms_no_other(peer: Peer, kind: str) -> None:
    peer.send(get(1), frame(HEADERS, literal(MALFORMED[kind]), 3, END), get(5))
    peer.until(lambda: peer.resets(3) or peer.codes, "an error")
    if not peer.codes:
        peer.is_answered(1, 5)


WELL_FORMED: dict[str, Fields] = {
    "te: trailers": request(more=[("te", "trailers")]),
    "an empty value": request(more=[("x-test", "")]),
    "a value beyond ASCII": request(more=[("x-test", "tëst")]),
    "a value with a tab inside": request(more=[("x-test", "a\tb")]),
    "every character of a token": request(more=[("!#$%&'*+-.^_`|~09az", "ok")]),
    "host for :authority": [*without(":authority"), ("host", "conformance")],
    "several cookies": request(more=[("cookie", "a=1"), ("cookie", "b=2")]),
    "a content-length of 0": request(more=[("content-length", "0")]),
}


@pytest.mark.parametrize("kind", WELL_FORMED)
def test_a_request_within_the_rules_is_answered(peer: Peer, kind: str) -> None:
    peer.send(frame(HEADERS, literal(WELL_FORMED[kind]), 1, END)).is_answered(1)
    peer.goes_on()


# §8.1: trailers

TRAILERS = {
    "do not end the stream": frame(HEADERS, literal([("x-test", "ok")]), 1, END_HEADERS),
    "have a pseudo-header": frame(HEADERS, literal([(":method", "GET")]), 1, END),
    "are a second request": get(1, END_HEADERS),
}


@pytest.mark.parametrize("kind", TRAILERS)
def test_trailers_are_refused_that(peer: Peer, kind: str) -> None:
    peer.send(open_call(1), TRAILERS[kind]).stream_error(1, PROTOCOL_ERROR)


# §8.1.1

LENGTHS = {
    "longer than the body": (("content-length", "5"), frame(DATA, b"test", 1, END_STREAM)),
    "shorter than the body": (("content-length", "1"), frame(DATA, b"test", 1, END_STREAM)),
    "shorter than several DATA": (("content-length", "5"), frame(DATA, b"test", 1) * 2),
    "given without a body": (("content-length", "5"), frame(DATA, b"", 1, END_STREAM)),
}


@pytest.mark.parametrize("kind", LENGTHS)
def test_a_content_length_is_the_bodys(peer: Peer, kind: str) -> None:
    field, body = LENGTHS[kind]
    peer.send(post(1, field), body).stream_error(1, PROTOCOL_ERROR)


def test_a_content_length_without_a_body_is_refused_at_once(peer: Peer) -> None:
    peer.send(frame(HEADERS, literal(request("POST", more=[("content-length", "5")])), 1, END))
    peer.stream_error(1, PROTOCOL_ERROR)
