"""A peer that sends what no client library would: HTTP/2 frames made by hand (RFC 9113 §4.1)."""

from __future__ import annotations

import select
import socket
import struct
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import hpack

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS = 0x1, 0x1, 0x4

NO_ERROR, PROTOCOL_ERROR, STREAM_CLOSED, REFUSED_STREAM, CANCEL, ENHANCE_YOUR_CALM = 0x0, 0x1, 0x5, 0x7, 0x8, 0xB
INITIAL_WINDOW_SIZE = 0x4

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SERVICE = "/dspy_orchestrator.v1.Orchestrator/"


@dataclass
class Frame:
    kind: int
    flags: int
    stream: int
    payload: bytes


@dataclass
class Stream:
    """What the server said on one."""

    headers: dict[str, str] = field(default_factory=dict)
    data: bytes = b""
    reset: int | None = None
    ended: bool = False

    @property
    def status(self) -> int | None:
        """The call's gRPC status."""
        return int(self.headers["grpc-status"]) if "grpc-status" in self.headers else None

    @property
    def is_over(self) -> bool:
        return self.ended or self.reset is not None


def frame(kind: int, payload: bytes = b"", stream: int = 0, flags: int = 0) -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def settings(**values: int) -> bytes:
    """``settings(x4=0)``: the number of the setting after an x."""
    return frame(SETTINGS, b"".join(struct.pack(">HI", int(name[1:], 16), value) for name, value in values.items()))


def message(body: bytes = b"", flag: int = 0, length: int | None = None) -> bytes:
    """A gRPC message with its prefix, which may lie."""
    return struct.pack(">BI", flag, len(body) if length is None else length) + body


def block(method: str = "GetStatus", more: Iterable[tuple[str, str]] = ()) -> bytes:
    """A request's header block, the same whatever was sent before: nothing in it uses the table of its connection."""
    fields = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", SERVICE + method),
        (":authority", "attacker"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
        *more,
    ]
    return literal(fields)


def literal(fields: Iterable[tuple[str, str]]) -> bytes:
    """Without indexing, without Huffman (RFC 7541 §6.2.2)."""
    encoded = b""
    for name, value in fields:
        encoded += b"\x00"
        for text in (name.encode(), value.encode()):
            encoded += integer(len(text), 7) + text
    return encoded


def integer(value: int, prefix: int, first: int = 0) -> bytes:
    """RFC 7541 §5.1."""
    most = (1 << prefix) - 1
    if value < most:
        return bytes([first | value])
    encoded = [first | most]
    value -= most
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])


def headers(stream: int, method: str = "GetStatus", flags: int = END_HEADERS) -> bytes:
    return frame(HEADERS, block(method), stream, flags)


def call(stream: int, method: str = "GetStatus", body: bytes = b"") -> bytes:
    """A whole unary call."""
    return headers(stream, method) + frame(DATA, message(body), stream, END_STREAM)


class Attacker:
    """One connection. Nothing is read but in ``pump``."""

    def __init__(self, address: str, greeting: bytes = PREFACE + settings()) -> None:
        host, _, port = address.rpartition(":")
        self.socket = socket.create_connection((host, int(port)))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.port: int = self.socket.getsockname()[1]
        self.output = bytearray(greeting)
        self.input = bytearray()
        self.frames: list[Frame] = []
        self.streams: dict[int, Stream] = {}
        self.is_closed = False
        self.decoder = hpack.Decoder()

    def __enter__(self) -> Attacker:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, *pieces: bytes) -> Attacker:
        for piece in pieces:
            self.output += piece
        return self

    def pump(self, until: Callable[[], bool], what: str, timeout: float = 30, reads: bool = True) -> None:
        """Sends, and reads unless told not to, until the condition holds."""
        deadline = time.monotonic() + timeout
        poll = select.poll()
        while not until():
            assert not self.is_closed, f"the server closed the connection before {what}; GOAWAY {self.go_aways}"
            left = deadline - time.monotonic()
            assert left > 0, f"not within {timeout:g} s: {what}"
            events = (select.POLLIN if reads else 0) | (select.POLLOUT if self.output else 0)
            poll.register(self.socket, events)
            ready = poll.poll(min(left, 0.1) * 1000)
            happened = ready[0][1] if ready else 0
            try:
                if happened & select.POLLOUT:
                    del self.output[: self.socket.send(memoryview(self.output)[: 1 << 18].tobytes())]
                if happened & (select.POLLIN | select.POLLHUP | select.POLLERR):
                    self._read()
            except (BrokenPipeError, ConnectionResetError):
                # What it sent before can still be there.
                self.output.clear()
                self._read_rest()

    def send_all(self, timeout: float = 30, reads: bool = True) -> None:
        self.pump(lambda: self.is_closed or not self.output, "the server to take it all", timeout, reads)

    def until_closed(self, timeout: float = 30) -> None:
        self.pump(lambda: self.is_closed, "the connection's end", timeout)

    def until_over(self, *streams: int, timeout: float = 30) -> list[Stream]:
        """What the server said on the streams, once they are over."""
        self.pump(
            lambda: all(number in self.streams and self.streams[number].is_over for number in streams),
            f"the end of streams {streams[:8]}",
            timeout,
        )
        return [self.streams[number] for number in streams]

    @property
    def go_aways(self) -> list[tuple[int, str]]:
        """Code and reason of each."""
        return [
            (struct.unpack(">I", each.payload[4:8])[0], each.payload[8:].decode())
            for each in self.frames
            if each.kind == GOAWAY
        ]

    @property
    def codes(self) -> list[int]:
        return [code for code, _ in self.go_aways]

    def _read_rest(self) -> None:
        try:
            while not self.is_closed:
                self._read()
        except OSError:
            self.is_closed = True

    def _read(self) -> None:
        received = self.socket.recv(1 << 18)
        if not received:
            self.is_closed = True
        self.input += received
        start = 0
        while len(self.input) - start >= 9:
            length = int.from_bytes(self.input[start : start + 3], "big")
            kind, flags, stream = struct.unpack(">BBI", self.input[start + 3 : start + 9])
            if len(self.input) - start < 9 + length:
                break
            self._received(Frame(kind, flags, stream, bytes(self.input[start + 9 : start + 9 + length])))
            start += 9 + length
        del self.input[:start]

    def _received(self, received: Frame) -> None:
        self.frames.append(received)
        if received.kind in (HEADERS, DATA, RST_STREAM):
            stream = self.streams.setdefault(received.stream, Stream())
            if received.kind == RST_STREAM:
                stream.reset = struct.unpack(">I", received.payload)[0]
            elif received.kind == HEADERS:
                stream.headers.update((str(name), str(value)) for name, value in self.decoder.decode(received.payload))
            else:
                stream.data += received.payload
            stream.ended = stream.ended or (received.kind != RST_STREAM and bool(received.flags & END_STREAM))
