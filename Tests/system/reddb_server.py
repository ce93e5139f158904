"""A server that keeps RedDB's HTTP contract for streams, and can be told to fail in each way the contract knows."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

Fault = Callable[[dict[str, Any]], "tuple[int, str] | None"]
"""Given the record to append: what is answered in place of appending it, or None."""

APPEND = re.compile(r"/api/streams/([^/]+)/([^/]+)/append")
READ = re.compile(r"/api/streams/([^/]+)/([^/]+)/read")


class RedDB:
    def __init__(self, token: str | None = None) -> None:
        self.token = token
        self.streams: dict[tuple[str, str], list[Any]] = {}
        self.fault: Fault = lambda record: None
        self.is_healthy = True
        self.hangs = threading.Event()
        """Set: requests are not answered until it is cleared."""
        self.loses_answers = threading.Event()
        """Set: what is appended is appended, and never answered."""
        self.appends = 0
        self._connections: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._server: ThreadingHTTPServer | None = None
        self._port = 0

    def start(self) -> RedDB:
        server = ThreadingHTTPServer(("127.0.0.1", self._port), self._handler())
        server.daemon_threads = True
        self._port = server.server_address[1]
        self._server = server
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def stop(self) -> None:
        """Its data stay, as on a disk."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None
        with self._lock:
            connections = list(self._connections)
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def records(self, namespace: str = "dspy", stream: str = "agent_events") -> list[Any]:
        with self._lock:
            return list(self.streams.get((namespace, stream), []))

    def append(self, key: tuple[str, str], record: Any) -> int:
        with self._lock:
            records = self.streams.setdefault(key, [])
            records.append(record)
            return len(records) - 1

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        database = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                super().setup()
                with database._lock:
                    database._connections.add(self.connection)

            def finish(self) -> None:
                with database._lock:
                    database._connections.discard(self.connection)
                with contextlib.suppress(OSError):
                    super().finish()

            def log_message(self, *arguments: object) -> None:
                pass

            def answer(self, status: int, body: object) -> None:
                text = body if isinstance(body, str) else json.dumps(body)
                payload = text.encode()
                self.send_response(status)
                self.send_header("Content-Type", "text/plain" if isinstance(body, str) else "application/json")
                self.send_header("Content-Length", str(len(payload)))
                self.end_headers()
                self.wfile.write(payload)

            def is_allowed(self) -> bool:
                if database.token is None or self.headers.get("Authorization") == f"Bearer {database.token}":
                    return True
                self.answer(401, {"detail": "Invalid token"})
                return False

            def wait(self) -> None:
                while database.hangs.is_set() and database._server is not None:
                    time.sleep(0.02)

            def do_GET(self) -> None:
                self.wait()
                parts = urlsplit(self.path)
                if parts.path in ("/health", "/api/health"):
                    self.answer(200 if database.is_healthy else 503, {"ok": database.is_healthy, "service": "reddb"})
                    return
                match = READ.fullmatch(parts.path)
                if match is None:
                    self.answer(404, {"detail": "Not Found"})
                elif self.is_allowed():
                    query = parse_qs(parts.query)
                    start, count = (int(query.get(name, [fallback])[0]) for name, fallback in READ_QUERY)
                    found = database.records(match[1], match[2])
                    pairs = list(enumerate(found))[start : start + count]
                    self.answer(200, [{"offset": offset, "value": value} for offset, value in pairs])

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                self.wait()
                match = APPEND.fullmatch(self.path)
                if match is None:
                    self.answer(404, {"detail": "Not Found"})
                    return
                if not self.is_allowed():
                    return
                try:
                    record = json.loads(body)
                except ValueError:
                    self.answer(400, {"detail": "Invalid JSON body"})
                    return
                database.appends += 1
                fault = database.fault(record)
                if fault is not None:
                    status, text = fault
                    self.answer(status, json.loads(text) if text.startswith("{") else text)
                    return
                offset = database.append((match[1], match[2]), record)
                if database.loses_answers.is_set():
                    self.close_connection = True
                    return
                self.answer(200, {"ok": True, "namespace": match[1], "stream": match[2], "offset": offset})

        return Handler


READ_QUERY = (("start", "0"), ("count", "100"))
