"""What every command of the command line needs: a client, two consoles, and what an exit code means."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import typer
from rich.console import Console

from dspy_orchestrator.client import Client
from dspy_orchestrator.errors import OrchestratorError, PermissionDenied, Unauthenticated, Unavailable
from dspy_orchestrator.model import FailureReason, Job, JobState

EXIT_FAILED = 1
EXIT_UNAVAILABLE = 69
"""EX_UNAVAILABLE of sysexits.h."""
EXIT_NO_PERMISSION = 77
"""EX_NOPERM of sysexits.h."""
EXIT_TIMEOUT = 124
"""As timeout(1)."""
EXIT_CANCELLED = 130
"""As of a program that Ctrl-C ended."""


@dataclass
class Session:
    """The settings of one run of the program."""

    settings: dict[str, Any]
    out: Console = field(default_factory=lambda: Console(soft_wrap=True, highlight=False))
    err: Console = field(default_factory=lambda: Console(stderr=True, soft_wrap=True, highlight=False))

    def client(self) -> Client:
        return Client(**self.settings)

    @property
    def is_interactive(self) -> bool:
        """Whether somebody watches standard output, rather than another program."""
        return self.out.is_terminal

    def json(self, value: Any) -> None:
        """One line of JSON, at once."""
        sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")
        sys.stdout.flush()

    def lines(self, rows: Iterable[Iterable[Any]]) -> None:
        """Rows for other programs: fields between tabs."""
        for row in rows:
            sys.stdout.write("\t".join(" ".join(str(cell).split()) for cell in row) + "\n")
            sys.stdout.flush()

    def note(self, text: str) -> None:
        """For people, beside what goes into a pipe."""
        self.err.print(text, markup=False)


def session(context: typer.Context) -> Session:
    found = context.find_object(Session)
    assert found is not None
    return found


def exit_code(job: Job) -> int:
    """The job's outcome as a program's: its own exit code, or 128 and its signal, as a shell has it."""
    if job.state is JobState.SUCCEEDED:
        return 0
    if job.state is JobState.CANCELLED:
        return EXIT_CANCELLED
    if job.failure_reason is FailureReason.TIMEOUT:
        return EXIT_TIMEOUT
    if job.signal:
        return 128 + job.signal
    return job.exit_code & 0xFF or EXIT_FAILED


def error_code(error: OrchestratorError) -> int:
    if isinstance(error, Unavailable):
        return EXIT_UNAVAILABLE
    if isinstance(error, (Unauthenticated, PermissionDenied)):
        return EXIT_NO_PERMISSION
    return EXIT_FAILED
