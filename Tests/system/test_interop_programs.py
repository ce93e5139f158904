"""gRPC's interop cases with clients in other languages: C++, Go, Java and Ruby, in the directories interop_*."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from interop_cases import CASES, PROGRAMS
from interop_clients import said_by

Said = Callable[[str], dict[str, str]]


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> Said:
    """Each program is built and run once, at its first case."""
    known: dict[str, dict[str, str] | AssertionError] = {}

    def said(program: str) -> dict[str, str]:
        if program not in known:
            try:
                known[program] = said_by(program, tmp_path_factory.mktemp(program))
            except AssertionError as failure:
                known[program] = failure
        lines = known[program]
        if isinstance(lines, AssertionError):
            raise lines
        return lines

    return said


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("program", PROGRAMS)
def test_case(said: Said, program: str, case: str) -> None:
    assert said(program).get(case, f"did not run {case}") == f"ok {case}"


@pytest.mark.parametrize("program", PROGRAMS)
def test_no_case_of_its_own_fails(said: Said, program: str) -> None:
    assert [line for line in said(program).values() if not line.startswith("ok ")] == []
