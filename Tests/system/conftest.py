from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from server import EXECUTABLE, Server

from dspy_orchestrator import Client


@pytest.fixture(scope="session", autouse=True)
def _built() -> None:
    assert Path(EXECUTABLE).is_file(), f"no {EXECUTABLE}: run `swift build`, or set DSPY_ORCHESTRATOR_EXECUTABLE"


@pytest.fixture
def stopped_server(tmp_path: Path) -> Iterator[Server]:
    """A server that the test starts itself."""
    made = Server(tmp_path)
    yield made
    made.close()


@pytest.fixture
def server(stopped_server: Server) -> Server:
    return stopped_server.start()


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    with server.client() as made:
        yield made
