from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster import Cluster
from server import Server

from dspy_orchestrator import Client


@pytest.fixture(scope="session")
def shared_cluster() -> Iterator[Cluster]:
    """With accounting."""
    made = Cluster()
    try:
        yield made.up()
    finally:
        made.close()


@pytest.fixture
def cluster(shared_cluster: Cluster) -> Iterator[Cluster]:
    yield shared_cluster if shared_cluster.is_up() else shared_cluster.up()
    shared_cluster.forget_everything()


@pytest.fixture
def stopped_server(tmp_path: Path, cluster: Cluster) -> Iterator[Server]:
    """With a bridge to the cluster; the test starts it itself."""
    made = Server(
        tmp_path,
        *["--slurm", "true", "--slurm-poll-seconds", "1", "--slurm-adopt-seconds", "2"],
        SLURM_CONF=str(cluster.conf),
    )
    yield made
    made.close()


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    with server.client() as made:
        yield made
