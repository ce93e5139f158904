"""A client that means well, beside an attack."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator

import grpc
from server import Server

from dspy_orchestrator.v1 import orchestrator_pb2 as pb

MIB = 1 << 20

ALLOWED_GROWTH = 64 * MIB

PATIENCE_SECONDS = 30.0
"""For one answer, of a debug build on a machine that the attacker shares."""


class Bystander:
    """Asks for a job that is not there, again and again, on a connection of its own; NOT_FOUND is the answer."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.answers = 0
        self.failures: list[str] = []
        self.most_bytes = self.first_bytes = 0
        self.stopped = threading.Event()

    def ask(self) -> None:
        stub = self.server.stub()
        while not self.stopped.is_set():
            try:
                stub.GetStatus(pb.GetStatusRequest(job_id="nobody"), timeout=PATIENCE_SECONDS)
            except grpc.RpcError as error:
                code = error.code()
                if code is grpc.StatusCode.NOT_FOUND:
                    self.answers += 1
                else:
                    self.failures.append(f"{code}: {error}")
            self.most_bytes = max(self.most_bytes, self.server.rss_bytes())
            time.sleep(0.005)


@contextlib.contextmanager
def unharmed(server: Server, growth: int = ALLOWED_GROWTH) -> Iterator[Bystander]:
    """Checks that another client is answered during and after the body, and that the server's memory stays bounded."""
    warm_up(server)
    bystander = Bystander(server)
    bystander.first_bytes = server.rss_bytes()
    asking = threading.Thread(target=bystander.ask, daemon=True)
    asking.start()
    try:
        yield bystander
        answered = bystander.answers
        deadline = time.monotonic() + PATIENCE_SECONDS
        while bystander.answers < answered + 20 and not bystander.failures:
            assert time.monotonic() < deadline, "the bystander is answered no more"
            time.sleep(0.01)
    finally:
        bystander.stopped.set()
        asking.join(2 * PATIENCE_SECONDS)
    assert not bystander.failures, bystander.failures[0]
    grown = bystander.most_bytes - bystander.first_bytes
    assert grown < growth, f"the server grew by {grown / MIB:.0f} MiB"
    assert server.process is not None
    assert server.process.poll() is None


def warm_up(server: Server) -> None:
    """What the first calls allocate once and for all is no growth."""
    stub = server.stub()
    for _ in range(50):
        with contextlib.suppress(grpc.RpcError):
            stub.GetStatus(pb.GetStatusRequest(job_id="nobody"), timeout=PATIENCE_SECONDS)
