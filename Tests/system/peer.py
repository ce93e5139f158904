"""A client that keeps to HTTP/2 until a test has it do otherwise, and what it may expect then."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterable

from attacker import (
    ACK,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PING,
    PREFACE,
    PRIORITY,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    Attacker,
    Frame,
    frame,
    literal,
    settings,
)

PADDED, WITH_PRIORITY = 0x8, 0x20

PATIENCE = 30.0

OTHER_SERVER = os.environ.get("CONFORMANCE_ADDRESS")
"""HOST:PORT of another server to try the tests of conformance/ on, such as nghttpd's."""

# RFC 9113 §7
FLOW_CONTROL_ERROR, FRAME_SIZE_ERROR, COMPRESSION_ERROR = 0x3, 0x6, 0x9

# RFC 9113 §6.5.2
MAX_CONCURRENT_STREAMS, MAX_FRAME_SIZE = 0x3, 0x5

Fields = list[tuple[str, str]]


def request(method: str = "GET", path: str = "/", more: Iterable[tuple[str, str]] = ()) -> Fields:
    return [(":method", method), (":scheme", "http"), (":path", path), (":authority", "conformance"), *more]


def get(stream: int, flags: int = END_STREAM | END_HEADERS) -> bytes:
    return frame(HEADERS, literal(request()), stream, flags)


def post(stream: int, *more: tuple[str, str]) -> bytes:
    """Headers only: the body may follow."""
    return frame(HEADERS, literal(request("POST", more=more)), stream, END_HEADERS)


def open_call(stream: int) -> bytes:
    """A request that stays open in both directions on a server that speaks gRPC, too."""
    more = [("content-type", "application/grpc"), ("te", "trailers")]
    fields = request("POST", "/grpc.testing.TestService/FullDuplexCall", more)
    return frame(HEADERS, literal(fields), stream, END_HEADERS)


def reset(stream: int, code: int = 8) -> bytes:
    return frame(RST_STREAM, struct.pack(">I", code), stream)


def window_update(stream: int, increment: int) -> bytes:
    return frame(WINDOW_UPDATE, struct.pack(">I", increment), stream)


def priority(stream: int, depends_on: int = 0, weight: int = 15, exclusive: bool = False) -> bytes:
    return frame(PRIORITY, priority_fields(depends_on, weight, exclusive), stream)


def priority_fields(depends_on: int = 0, weight: int = 15, exclusive: bool = False) -> bytes:
    return struct.pack(">IB", depends_on | exclusive << 31, weight)


def padded(content: bytes, padding: int) -> bytes:
    return bytes([padding]) + content + bytes(padding)


Connect = Callable[..., "Peer"]
"""``connect(x4=1)`` is a connection with these settings."""


class Peer(Attacker):
    """One connection, greeted and answered (RFC 9113 §3.4) unless told otherwise."""

    def __init__(self, address: str, *, greets: bool = True, **values: int) -> None:
        super().__init__(address, PREFACE + settings(**values) if greets else b"")
        self.pings = 0
        if greets:
            self.until(self.has_settings, "the server's SETTINGS and its answer to ours")
            self.send(frame(SETTINGS, flags=ACK))

    def has_settings(self) -> bool:
        flags = [each.flags for each in self.frames if each.kind == SETTINGS]
        return 0 in flags and ACK in flags

    def settings_of_server(self) -> dict[int, int]:
        first = next(each for each in self.frames if each.kind == SETTINGS and not each.flags)
        return dict(struct.iter_unpack(">HI", first.payload))

    def of_kind(self, kind: int, stream: int | None = None) -> list[Frame]:
        return [each for each in self.frames if each.kind == kind and stream in (None, each.stream)]

    def until(self, condition: Callable[[], object], what: str) -> None:
        self.pump(lambda: bool(condition()), what, PATIENCE)

    def send(self, *pieces: bytes) -> Peer:
        super().send(*pieces)
        return self

    # What may be expected

    def is_answered(self, *streams: int) -> None:
        """With a status, whichever; and without complaint."""
        for stream, answer in zip(streams, self.until_over(*streams, timeout=PATIENCE), strict=True):
            assert answer.reset in (None, 0), f"stream {stream} was reset with {answer.reset}"
            assert answer.headers.get(":status", "").isdigit(), answer.headers

    def goes_on(self) -> None:
        """What was sent before was taken without complaint, and the connection is as good as before."""
        self.pings += 1
        mark = b"ping%4d" % self.pings
        self.send(frame(PING, mark))
        self.until(
            lambda: any(each.flags & ACK and each.payload == mark for each in self.of_kind(PING)), "an answer to a PING"
        )
        assert not self.codes

    def connection_error(self, *codes: int) -> None:
        """GOAWAY with one of the codes, and then the connection's end (§5.4.1)."""
        self.pump(lambda: self.is_closed, "the connection's end", PATIENCE)
        assert self.codes, "the connection was closed without GOAWAY"
        assert self.codes[-1] in codes, self.go_aways

    def stream_error(self, stream: int, *codes: int) -> None:
        """RST_STREAM with one of the codes, or the same as an error of the connection (§5.4.2)."""
        self.until(lambda: self.is_closed or self.codes or any(self.resets(stream)), f"an error on stream {stream}")
        if self.codes:
            assert self.codes[-1] in codes, self.go_aways
        else:
            assert self.resets(stream), "the connection was closed without a word"
            assert self.resets(stream)[-1] in codes, self.resets(stream)
            self.goes_on()

    def resets(self, stream: int) -> list[int]:
        return [struct.unpack(">I", each.payload)[0] for each in self.of_kind(RST_STREAM, stream)]
