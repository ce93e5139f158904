from __future__ import annotations

from collections.abc import Iterator

import pytest
from fake_orchestrator import FakeOrchestrator

from dspy_orchestrator import Client


@pytest.fixture
def fake() -> Iterator[FakeOrchestrator]:
    server = FakeOrchestrator()
    yield server
    server.stop()


@pytest.fixture
def client(fake: FakeOrchestrator) -> Iterator[Client]:
    with Client(fake.target, timeout=5) as made:
        yield made
