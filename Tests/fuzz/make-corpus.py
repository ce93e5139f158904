"""Writes corpus/: the openings of the attacks in Tests/system/attacks. Run with .venv/bin/python."""

from __future__ import annotations

import struct
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "system" / name) for name in ("attacks", ".")]

from attacker import (  # noqa: E402
    ACK,
    CANCEL,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PING,
    PREFACE,
    PRIORITY,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    frame,
    integer,
    literal,
    message,
    settings,
)
from test_floods import IDLE_FRAMES, MADE_YOU_RESET  # noqa: E402
from test_headers import BAD_BLOCKS, BAD_HEADERS  # noqa: E402
from test_messages import BAD_FIELDS, BAD_MESSAGES, NO_MESSAGES, PAYLOAD, text  # noqa: E402

LONGEST = 4096


def block(path: str = "/test.Echo/Async", more: bytes = b"") -> bytes:
    """For the methods of the tests in RPCServerTests."""
    fields = [(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "a")]
    return literal([*fields, ("content-type", "application/grpc"), ("te", "trailers")]) + more


def request(stream: int, path: str = "/test.Echo/Async", flags: int = END_HEADERS, more: bytes = b"") -> bytes:
    return frame(HEADERS, block(path, more), stream, flags)


BODY = frame(DATA, message(b"\x10\x07"), 1, END_STREAM)
GIANT = b"\x40" + integer(1, 7) + b"x" + integer(1000, 7) + b"v" * 1000

CONNECTIONS: dict[str, bytes] = {
    "call": request(1) + BODY,
    "call at once": request(1, "/test.Echo/Now") + BODY,
    "stream": request(1, "/test.Stream/Pull") + BODY + frame(WINDOW_UPDATE, struct.pack(">I", 1000), 1),
    "unknown method": request(1, "/test.Echo/No") + BODY,
    "deadline": request(1, "/test.Wait/Call", more=literal([("grpc-timeout", "1n")])) + BODY,
    "wrong timeout": request(1, more=literal([("grpc-timeout", "forever")])) + BODY,
    "gzip": request(1, more=literal([("grpc-encoding", "gzip")])) + BODY,
    "binary metadata": request(1, more=literal([("x-bin", "AAECAw=="), ("y-bin", "!!!")])) + BODY,
    "padded and with priority": frame(HEADERS, b"\2" + struct.pack(">IB", 0, 9) + block() + b"\0\0", 1, 0x2C) + BODY,
    "trailers": request(1) + BODY[:4] + b"\0" + BODY[5:] + frame(HEADERS, literal([("t", "v")]), 1, 0x5),
    "two messages": request(1) + frame(DATA, message() * 2, 1, END_STREAM),
    "continuations": frame(HEADERS, block()[:30], 1) + frame(CONTINUATION, block()[30:], 1, END_HEADERS) + BODY,
    "continuation flood": frame(HEADERS, block(), 1) + frame(CONTINUATION, b"", 1) * 20,
    "continuation of another stream": frame(HEADERS, block(), 1) + frame(CONTINUATION, b"", 3, END_HEADERS),
    "hpack bomb": frame(HEADERS, GIANT + block(), 1, END_HEADERS) + frame(HEADERS, b"\xbe" * 900, 3, END_HEADERS),
    "rapid reset": b"".join(request(n) + frame(RST_STREAM, struct.pack(">I", CANCEL), n) for n in range(1, 20, 2)),
    "reset of nothing": frame(RST_STREAM, struct.pack(">I", CANCEL), 1),
    "even stream": request(2) + BODY,
    "stream backwards": request(5) + request(3),
    "settings": settings(x1=0, x2=1, x3=0, x4=0, x5=1 << 14, x6=1, x8=1) + request(1) + BODY + settings(x4=1000),
    "settings wrong": settings(x4=1 << 31),
    "settings of odd length": frame(SETTINGS, b"\0" * 5),
    "settings ack with a payload": frame(SETTINGS, b"\0" * 6, flags=ACK),
    "push promise": frame(PUSH_PROMISE, struct.pack(">I", 2) + block(), 1, END_HEADERS),
    "ping and ack": frame(PING, b"12345678") + frame(PING, b"12345678", flags=ACK),
    "ping of seven bytes": frame(PING, b"1234567"),
    "goaway": request(1) + BODY + frame(GOAWAY, struct.pack(">II", 0, 0) + b"bye"),
    "frame too large": frame(DATA, b"", 1)[1:3].rjust(3, b"\xff") + frame(DATA, b"", 1)[3:],
    "half a frame": request(1)[:-7],
    "data before headers": BODY,
    "priority of itself": frame(PRIORITY, struct.pack(">IB", 1, 1), 1),
    "not http2": b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
}
for name, header in BAD_HEADERS.items():
    CONNECTIONS[f"header, {name}"] = request(1, more=header) + BODY
for name, bytes_ in BAD_BLOCKS.items():
    CONNECTIONS[f"block, {name}"] = frame(HEADERS, bytes_, 1, END_HEADERS | END_STREAM)
for name, trick in MADE_YOU_RESET.items():
    CONNECTIONS[f"reset, {name}"] = b"".join(piece for stream in (1, 3, 5) for piece in trick(stream))
for name, idle in IDLE_FRAMES.items():
    CONNECTIONS[f"idle, {name}"] = request(1) + idle * 5 + BODY
for name, (body, _) in BAD_MESSAGES.items():
    CONNECTIONS[f"message, {name}"] = request(1) + frame(DATA, body, 1, END_STREAM)

MESSAGES: dict[str, bytes] = {
    "empty": b"",
    "whole": text(1, b"id")
    + b"\x10\x02"
    + PAYLOAD
    + b"\x20\x05"
    + text(5, text(1, b"a") + text(2, b"b"))
    + text(6, b"\x08\x3c")
    + text(7, b"\x08\x03" + text(2, b"\x08\x01") + text(4, b"\1\2\3"))
    + text(8, b"other")
    + text(9, b"\x09" + struct.pack("<d", 0.5) + b"\x10\x80\x80\x01"),
    "jobs": text(1, text(1, b"a") + PAYLOAD) + text(1, text(1, b"b") + PAYLOAD),
    "list": text(1, b"\1\2\3")
    + b"\x10\x01"
    + text(3, text(1, b"a") + text(2, b"b"))
    + b"\x20\x0a"
    + text(5, b"t")
    + text(6, b"\x08\x01\x10\x02"),
    "events": b"\x08\x07" + text(2, b"a") + text(3, b"task_started") + b"\x20\x01\x28\x01",
    "map entry twice": text(5, text(1, b"a") + text(2, b"1")) + text(5, text(1, b"a") + text(2, b"2")),
    "map entry without a key": text(5, text(2, b"1")),
    "packed and not": b"\x08\x01" + text(1, b"\2\3") + b"\x08\x04",
    "not a number": text(9, b"\x09" + struct.pack("<d", float("nan"))),
    **{f"field, {name}": bytes_ for name, bytes_ in BAD_FIELDS.items()},
    **{f"no message, {name}": bytes_ for name, bytes_ in NO_MESSAGES.items()},
}


def write(directory: str, name: str, content: bytes) -> None:
    file = HERE / "corpus" / directory / (name.replace(",", "").replace(" ", "-").replace("^", "-").lower() + ".bin")
    file.write_bytes(content[:LONGEST])


for name, rest in CONNECTIONS.items():
    write("frames", name, rest if name == "not http2" else PREFACE + settings() + rest)
for name, bytes_ in MESSAGES.items():
    write("messages", name, bytes_)
