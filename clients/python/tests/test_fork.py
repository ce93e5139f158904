from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

HERE = Path(__file__).parent

GRPC = tuple(map(int, grpc.__version__.split(".")[:2]))

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system doesn't fork"),
    pytest.mark.skipif(GRPC < (1, 70), reason="an old grpcio hangs in one of thirty forked processes, by itself"),
]


@pytest.fixture
def target() -> Iterator[str]:
    """A FakeOrchestrator in a process of its own: gRPC doesn't let a process with a server in it fork."""
    fake = HERE / "fake_orchestrator.py"
    with subprocess.Popen([sys.executable, fake], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.kill()


def test_forked_processes_go_on_with_connections_of_their_own(target: str) -> None:
    # Not in this process, where other tests have left gRPC servers and asyncio's threads behind.
    ended = subprocess.run(
        [sys.executable, HERE / "forking_client.py", target], capture_output=True, text=True, timeout=50
    )
    expected = [f"queued child-{number}" for number in range(5)]
    assert ended.stdout.splitlines() == [*expected, "queued"], ended.stderr
