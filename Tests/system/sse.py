"""A client of server-sent events over a plain socket: what arrives, when it arrives."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any


class EventStream:
    """One GET of an event stream. Iterating gives the events' JSON; comments and retry hints are kept beside."""

    def __init__(self, address: str, path: str = "/v1/events", timeout: float = 30, **headers: str) -> None:
        host, port = address.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), timeout)
        lines = [f"GET {path} HTTP/1.1", f"Host: {address}", "Accept: text/event-stream"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self.socket.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        self.file = self.socket.makefile("rb")
        self.status = int(self.file.readline().split()[1])
        self.headers: dict[str, str] = {}
        while line := self.file.readline().strip():
            name, _, value = line.decode().partition(":")
            self.headers[name.lower()] = value.strip()
        self.comments: list[str] = []
        self.retry: list[int] = []
        self.last_id = ""
        self.is_whole = False
        """Whether the response came to its proper end."""

    def _body(self) -> Iterator[bytes]:
        """The lines, out of their chunks (RFC 9112 §7.1)."""
        rest = b""
        while size := self.file.readline().strip():
            length = int(size, 16)
            if length == 0:
                self.is_whole = True
                return
            rest += self.file.read(length)
            self.file.readline()
            *lines, rest = rest.split(b"\n")
            yield from lines

    def __iter__(self) -> Iterator[dict[str, Any]]:
        data: list[str] = []
        for line in self._body():
            text = line.decode()
            if text.startswith("data: "):
                data.append(text[6:])
            elif text.startswith("id: "):
                self.last_id = text[4:]
            elif text.startswith("retry: "):
                self.retry.append(int(text[7:]))
            elif text.startswith(":"):
                self.comments.append(text[1:].strip())
            elif not text and data:
                event = json.loads("\n".join(data))
                assert str(event["sequence"]) == self.last_id
                data = []
                yield event

    def read(self) -> bytes:
        """The body of an answer that is no stream."""
        return self.file.read(int(self.headers.get("content-length", "0")))

    def close(self) -> None:
        self.file.close()
        self.socket.close()
