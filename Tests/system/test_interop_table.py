"""Every client runs every interop case that its library can express, and the documentation says so."""

from __future__ import annotations

import importlib

import pytest
from interop_cases import CASES, IMPOSSIBLE, PROGRAMS, PYTHON_CLIENTS, table
from server import ROOT


@pytest.mark.parametrize("client", PYTHON_CLIENTS)
def test_a_client_in_python_has_a_test_for_each_case(client: str) -> None:
    module = importlib.import_module(PYTHON_CLIENTS[client])
    missing = {case for case in CASES if not hasattr(module, f"test_{case}")}
    assert missing == set(IMPOSSIBLE.get(client, {}))


def test_the_documentation_has_the_table() -> None:
    text = (ROOT / "Documentation/interop.md").read_text()
    assert table() in text, f"Documentation/interop.md should have:\n{table()}"


def test_only_known_clients_are_excused() -> None:
    assert set(IMPOSSIBLE) <= {*PYTHON_CLIENTS, *PROGRAMS}
