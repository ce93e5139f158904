"""Messages on a stream of bytes: four bytes of length, the most significant first, and a JSON object in UTF-8."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from typing import Any, BinaryIO

_LENGTH = struct.Struct(">I")


class ProtocolError(Exception):
    """The other end doesn't speak the protocol."""


class FrameTooLarge(Exception):
    """A message would be larger than the other end takes."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.size = size


def read(stream: BinaryIO, limit: int) -> dict[str, Any] | None:
    """The next message, or None at the end of the stream. Raises ProtocolError; nothing larger is ever read."""
    header = _exactly(stream, _LENGTH.size)
    if not header:
        return None
    if len(header) < _LENGTH.size:
        raise ProtocolError("the stream ended within a frame's length")
    (size,) = _LENGTH.unpack(header)
    if size > limit:
        raise ProtocolError(f"a frame of {size} bytes; at most {limit} are allowed")
    body = _exactly(stream, size)
    if len(body) < size:
        raise ProtocolError(f"the stream ended after {len(body)} of a frame's {size} bytes")
    try:
        message = json.loads(body)
    except ValueError as error:
        raise ProtocolError(f"a frame that is no JSON: {error}") from None
    if not isinstance(message, dict):
        raise ProtocolError(f"a frame holds a {type(message).__name__}; an object is expected")
    return message


def write(stream: BinaryIO, message: Mapping[str, Any], limit: int) -> None:
    """Sends a message at once. Raises FrameTooLarge, and TypeError or ValueError for what has no JSON form."""
    body = json.dumps(message, ensure_ascii=False, allow_nan=False).encode("utf-8", "surrogatepass")
    if len(body) > limit:
        raise FrameTooLarge(len(body))
    stream.write(_LENGTH.pack(len(body)) + body)
    stream.flush()


def _exactly(stream: BinaryIO, size: int) -> bytes:
    """That many bytes, or fewer at the end of the stream."""
    found = b""
    while len(found) < size:
        more = stream.read(size - len(found))
        if not more:
            break
        found += more
    return found
