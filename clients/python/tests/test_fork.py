from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from dspy_orchestrator import Client

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system doesn't fork")


@pytest.fixture
def target() -> Iterator[str]:
    """A FakeOrchestrator in a process of its own: gRPC doesn't let a process with a server in it fork."""
    fake = Path(__file__).with_name("fake_orchestrator.py")
    with subprocess.Popen([sys.executable, fake], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.kill()


def in_child(client: Client, number: int) -> str:
    """What a forked process says after it has used the client."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            job = client.submit(["true"], job_id=f"child-{number}")
            os.write(write, f"{client.get('parent').state.value} {job.job_id}".encode())
        except BaseException as error:
            os.write(write, repr(error).encode())
        finally:
            os._exit(0)
    os.close(write)
    timer = threading.Timer(30, os.kill, (child, signal.SIGKILL))
    timer.start()
    os.waitpid(child, 0)
    timer.cancel()
    with os.fdopen(read) as answer:
        return answer.read() or "the child hung"


def test_forked_processes_go_on_with_connections_of_their_own(target: str) -> None:
    with Client(target) as client:
        client.submit(["true"], job_id="parent").add_done_callback(lambda _: None)
        for number in range(5):
            assert in_child(client, number) == f"queued child-{number}"
        assert client.get("child-4").state == "queued"
