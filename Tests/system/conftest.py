from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from interop import interop_server
from peer import OTHER_SERVER, Connect, Peer
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


@pytest.fixture(scope="session")
def http2_address() -> Iterator[str]:
    if OTHER_SERVER:
        yield OTHER_SERVER
    else:
        with interop_server() as made:
            yield made


@pytest.fixture
def connect(http2_address: str) -> Iterator[Connect]:
    made: list[Peer] = []

    def connect(*, greets: bool = True, **values: int) -> Peer:
        made.append(Peer(http2_address, greets=greets, **values))
        return made[-1]

    yield connect
    for each in made:
        each.socket.close()


@pytest.fixture
def peer(connect: Connect) -> Peer:
    return connect()
