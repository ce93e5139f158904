"""What may come in which state of a stream, and which streams may be: RFC 9113 §5."""

from __future__ import annotations

import pytest
from attacker import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PROTOCOL_ERROR,
    REFUSED_STREAM,
    STREAM_CLOSED,
    frame,
    literal,
)
from peer import (
    MAX_CONCURRENT_STREAMS,
    PATIENCE,
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

ON_IDLE = {
    "DATA": frame(DATA, b"test", 1, END_STREAM),
    "RST_STREAM": reset(1),
    "WINDOW_UPDATE": window_update(1, 100),
    "CONTINUATION": frame(CONTINUATION, literal(request()), 1, END_HEADERS),
}


@pytest.mark.parametrize("kind", ON_IDLE)
def test_an_idle_stream_takes_headers_only(peer: Peer, kind: str) -> None:
    peer.send(ON_IDLE[kind]).connection_error(PROTOCOL_ERROR)


def test_an_idle_stream_of_the_servers_takes_nothing(peer: Peer) -> None:
    peer.send(window_update(2, 100)).connection_error(PROTOCOL_ERROR)


TRAILERS = frame(HEADERS, literal([("x-trailer", "late")]), 1, END_HEADERS | END_STREAM)

AFTER = {
    "DATA": frame(DATA, b"test", 1, END_STREAM),
    "HEADERS": get(1),
    "trailers": TRAILERS,
    "CONTINUATION": frame(CONTINUATION, literal(request()), 1, END_HEADERS),
}


@pytest.mark.parametrize("kind", AFTER)
def test_a_half_closed_stream_takes_no_more(peer: Peer, kind: str) -> None:
    codes = [STREAM_CLOSED, PROTOCOL_ERROR] if kind == "CONTINUATION" else [STREAM_CLOSED]
    # One write, so that the call is not answered yet.
    peer.send(open_call(1), frame(DATA, b"", 1, END_STREAM), AFTER[kind]).stream_error(1, *codes)


@pytest.mark.parametrize("kind", ["DATA", "HEADERS", "trailers"])
def test_a_stream_that_the_client_reset_takes_no_more(peer: Peer, kind: str) -> None:
    peer.send(open_call(1), reset(1), AFTER[kind]).stream_error(1, STREAM_CLOSED)


@pytest.mark.parametrize("kind", ["DATA", "HEADERS", "trailers"])
def test_a_closed_stream_takes_no_more(peer: Peer, kind: str) -> None:
    peer.send(get(1)).is_answered(1)
    peer.send(AFTER[kind]).stream_error(1, STREAM_CLOSED)


@pytest.mark.parametrize("how", ["reset", "answered"])
def test_a_closed_stream_takes_no_continuation(peer: Peer, how: str) -> None:
    if how == "reset":
        peer.send(open_call(1), reset(1))
    else:
        peer.send(get(1)).is_answered(1)
    peer.send(AFTER["CONTINUATION"]).connection_error(STREAM_CLOSED, PROTOCOL_ERROR)


# §5.1.1


@pytest.mark.parametrize("stream", [0, 2])
def test_a_client_opens_no_stream_of_an_even_number(peer: Peer, stream: int) -> None:
    peer.send(get(stream)).connection_error(PROTOCOL_ERROR)


@pytest.mark.parametrize("skipped", [1, 3])
def test_a_new_stream_has_a_higher_number_than_those_before(peer: Peer, skipped: int) -> None:
    # Opening 5 closes what was idle below it.
    peer.send(get(5), get(skipped)).connection_error(PROTOCOL_ERROR)


def test_the_highest_stream_number_is_taken(peer: Peer) -> None:
    peer.send(get((1 << 31) - 1)).is_answered((1 << 31) - 1)


# §5.1.2


def test_more_streams_than_the_server_allows_are_refused(peer: Peer) -> None:
    most = peer.settings_of_server()[MAX_CONCURRENT_STREAMS]
    # The acknowledgement of its settings has been sent, so the server may count on its limit.
    for index in range(most + 1):
        peer.send(open_call(2 * index + 1))
    peer.stream_error(2 * most + 1, PROTOCOL_ERROR, REFUSED_STREAM)


def test_more_requests_than_the_server_allows_are_refused_while_none_can_be_answered(connect: Connect) -> None:
    peer = connect(x4=0)
    most = peer.settings_of_server()[MAX_CONCURRENT_STREAMS]
    for index in range(most + 1):
        peer.send(get(2 * index + 1))
    peer.stream_error(2 * most + 1, PROTOCOL_ERROR, REFUSED_STREAM)


# §5.3 is no longer what it was in RFC 7540: a stream that depends on itself may be an error, or be ignored.


@pytest.mark.parametrize("kind", ["HEADERS", "PRIORITY"])
def test_a_stream_that_depends_on_itself_harms_no_other(peer: Peer, kind: str) -> None:
    if kind == "HEADERS":
        block = priority_fields(depends_on=1) + literal(request())
        peer.send(frame(HEADERS, block, 1, END_HEADERS | END_STREAM | WITH_PRIORITY))
    else:
        peer.send(priority(1, depends_on=1), get(1))
    peer.pump(lambda: peer.is_closed or bool(peer.codes) or 1 in peer.streams, "an answer or an error", PATIENCE)
    assert peer.codes in ([], [PROTOCOL_ERROR])


# §5.4.1


def test_the_last_stream_is_named_when_the_connection_ends(peer: Peer) -> None:
    peer.send(get(1)).is_answered(1)
    peer.send(open_call(3), frame(DATA, b"test", 0)).connection_error(PROTOCOL_ERROR)
    [last] = peer.of_kind(GOAWAY)
    assert int.from_bytes(last.payload[:4], "big") in (1, 3)
