"""Kafka over TLS that asks for a client's certificate. librdkafka's mock has no TLS, so it stands in a network
namespace of its own, and TLS is taken off in front of it, on the very ports that its brokers advertise."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import ssl
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

from certificates import Authority, Certificate
from kafka_cluster import Message

NAMESPACE = Path(__file__).with_name("kafka_namespace.py")


class TLSCluster:
    def __init__(self, authority: Authority, certificate: Certificate) -> None:
        """``authority`` is that of clients; ``certificate`` the brokers' own."""
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate.certificate, certificate.key)
        self._context.load_verify_locations(authority.certificate)
        self._context.verify_mode = ssl.CERT_REQUIRED
        self.clients: list[str] = []
        """The common name in the certificate of each connection."""
        self._sockets = tempfile.TemporaryDirectory(prefix="kafka-")
        as_root = [] if os.geteuid() == 0 else ["--map-root-user"]
        self._process = subprocess.Popen(
            ["unshare", "--net", *as_root, sys.executable, str(NAMESPACE), self._sockets.name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._ports: list[int] = self._answer()
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(30)

    @property
    def bootstrap_servers(self) -> str:
        return ",".join(f"127.0.0.1:{port}" for port in self._ports)

    def messages(self) -> list[Message]:
        """Everything in the topic, read from within."""
        assert self._process.stdin is not None
        self._process.stdin.write("read\n")
        self._process.stdin.flush()
        return [Message(**message) for message in self._answer()]

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(_end_others(), self._loop).result(30)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._process.communicate(timeout=60)
        self._sockets.cleanup()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())

    async def _listen(self) -> None:
        for port in self._ports:
            await asyncio.start_server(self._serve(port), "127.0.0.1", port, ssl=self._context)

    def _serve(self, port: int) -> Any:
        async def serve(near_in: asyncio.StreamReader, near_out: asyncio.StreamWriter) -> None:
            shown: Any = near_out.get_extra_info("peercert")
            self.clients += [value for [(name, value)] in shown["subject"] if name == "commonName"]
            far_in, far_out = await asyncio.open_unix_connection(f"{self._sockets.name}/{port}")
            await asyncio.gather(_copy(near_in, far_out), _copy(far_in, near_out))

        return serve


async def _end_others() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


async def _copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await source.read(65536):
            sink.write(data)
            await sink.drain()
    sink.close()
