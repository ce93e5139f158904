"""``dspy-orch doctor``: can I reach it, which version, is Slurm there, what is misconfigured."""

from __future__ import annotations

import difflib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass

import typer
from rich.text import Text

import dspy_orchestrator
from dspy_orchestrator.channel import TARGET_VARIABLE
from dspy_orchestrator.cli.session import EXIT_FAILED, Session, session
from dspy_orchestrator.client import Client
from dspy_orchestrator.errors import OrchestratorError
from dspy_orchestrator.health import Health
from dspy_orchestrator.model import JobClass, Metrics

KNOWN_VARIABLES = (
    TARGET_VARIABLE,
    "DSPY_ORCHESTRATOR_TOKEN",
    "DSPY_ORCHESTRATOR_TLS_CA",
    "DSPY_ORCHESTRATOR_TLS_CERTIFICATE",
    "DSPY_ORCHESTRATOR_TLS_KEY",
    # The project's own tests.
    "DSPY_ORCHESTRATOR_EXECUTABLE",
)


@dataclass(frozen=True)
class Finding:
    """One thing looked at."""

    mark: str
    """``ok``, ``warn`` or ``fail``."""
    text: str


_STYLES = {"ok": "green", "warn": "yellow", "fail": "bold red"}


def register(app: typer.Typer) -> None:
    app.command()(doctor)


def doctor(context: typer.Context) -> None:
    """Check settings, connection and server. Exits with 1 when something is broken."""
    here = session(context)
    broken = False
    for finding in findings(here):
        broken = broken or finding.mark == "fail"
        here.out.print(Text(f"{finding.mark:<5}", _STYLES[finding.mark]) + Text(finding.text))
    raise typer.Exit(EXIT_FAILED if broken else 0)


def findings(here: Session) -> Iterator[Finding]:
    yield from _variables()
    try:
        client = here.client()
    except OrchestratorError as error:
        yield Finding("fail", str(error))
        return
    with client:
        yield Finding("ok", f"target {client.target}")
        yield from _server(client)


def _variables() -> Iterator[Finding]:
    for name in sorted(os.environ):
        if name.startswith("DSPY_ORCHESTRATOR_") and name not in KNOWN_VARIABLES:
            close = difflib.get_close_matches(name, KNOWN_VARIABLES, 1)
            hint = f": is {close[0]} meant?" if close else ": unset it"
            yield Finding("warn", f"{name} is set, which nothing reads{hint}")


def _server(client: Client) -> Iterator[Finding]:
    try:
        begin = time.monotonic()
        health = client.health()
        took = time.monotonic() - begin
    except OrchestratorError as error:
        yield Finding("fail", str(error))
        return
    mark = "ok" if health is Health.SERVING else "fail"
    yield Finding(mark, f"the server says it is {health.value.replace('_', ' ')} ({took * 1000:.0f} ms)")
    try:
        metrics = client.metrics()
    except OrchestratorError as error:
        yield Finding("fail", f"it doesn't tell its numbers: {error}")
        return
    if metrics.version == dspy_orchestrator.__version__:
        yield Finding("ok", f"version {metrics.version}, like this client")
    else:
        yield Finding("warn", f"version {metrics.version}; this client is {dspy_orchestrator.__version__}")
    if metrics.last_sequence is not None:
        yield Finding("ok", f"the newest event has sequence {metrics.last_sequence}")
    yield _slurm(metrics)
    for stats in metrics.classes.values():
        if stats.queue_depth and not stats.inflight and not stats.concurrency_limit:
            yield Finding("warn", f"{stats.queue_depth} jobs of {stats.job_class.value} wait, and its limit is 0")


def _slurm(metrics: Metrics) -> Finding:
    """A bridge that runs tells when Slurm last answered it."""
    last = metrics.value("slurm_reconcile_last_success_timestamp_seconds")
    if last is None:
        return Finding("ok", f"Slurm is not set up: jobs of class {JobClass.GPU_SLURM.value} are refused")
    silent = time.time() - last
    if last and silent < _SILENT_SECONDS:
        return Finding("ok", f"Slurm answered {silent:.0f} s ago")
    words = f"has not answered for {silent:.0f} s" if last else "has not answered since the server started"
    return Finding("warn", f"Slurm {words}: its jobs wait; see the server's log")


_SILENT_SECONDS = 300.0
