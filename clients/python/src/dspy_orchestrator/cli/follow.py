"""``dspy-orch logs``, ``events``, ``watch`` and ``top``: what goes on."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from itertools import islice
from typing import Annotated

import typer
from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.text import Text

from dspy_orchestrator.cli import complete, present
from dspy_orchestrator.cli.session import Session, exit_code, session
from dspy_orchestrator.client import Client
from dspy_orchestrator.errors import DeadlineExceeded
from dspy_orchestrator.model import Job, JobState


def register(app: typer.Typer) -> None:
    app.command()(logs)
    app.command()(events)
    app.command()(watch)
    app.command()(top)


def logs(
    context: typer.Context,
    job_id: Annotated[str, typer.Argument(metavar="JOB", autocompletion=complete.jobs)],
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on while it runs; exit with its outcome.")] = False,
    stream: Annotated[str | None, typer.Option(help="stdout or stderr alone.")] = None,
    attempt: Annotated[int, typer.Option(min=0, help="Which attempt; 0 is the newest.")] = 0,
) -> None:
    """Print what a job wrote: its standard output to ours, its standard error to ours."""
    here = session(context)
    with here.client() as client:
        print_logs(here, client, job_id, follow=follow, stream=stream, attempt=attempt)
        if follow:
            raise typer.Exit(exit_code(client.wait(job_id)))


def print_logs(
    here: Session, client: Client, job_id: str, *, follow: bool, stream: str | None = None, attempt: int = 0
) -> None:
    truncated = False
    with client.logs(job_id, stream=stream, follow=follow, attempt=attempt) as chunks:
        for chunk in chunks:
            to = sys.stderr.buffer if chunk.stream == "stderr" else sys.stdout.buffer
            to.write(chunk.data)
            to.flush()
            truncated = truncated or chunk.truncated
    if truncated:
        here.note("dspy-orch: it wrote more than the server keeps")


def events(
    context: typer.Context,
    job_ids: Annotated[
        list[str] | None, typer.Argument(metavar="[JOB]...", autocompletion=complete.jobs, show_default=False)
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what happens from now.")] = False,
    after: Annotated[int, typer.Option(min=0, help="Begin behind this sequence.")] = 0,
    types: Annotated[list[str] | None, typer.Option("--type", metavar="TYPE")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON, one event a line.")] = False,
) -> None:
    """Print what happened, and with -f what happens, each event once.

    With jobs and -f it ends when they have all ended. Without -f it ends with the newest event there is.
    """
    here = session(context)
    with here.client() as client:
        last = None if follow else client.metrics().last_sequence or 0
        if last == 0:
            return
        ends = bool(job_ids) and follow
        stream = client.events(
            after,
            job_ids=job_ids or None,
            types=types or None,
            end_when_done=ends,
            # Filters may leave nothing up to the newest event, which then never comes by.
            timeout=None if follow else _QUIET_SECONDS if job_ids or types else None,
        )
        try:
            with stream:
                for event in stream:
                    if last is not None and event.sequence > last:
                        break
                    if as_json:
                        here.json(present.plain(event))
                    else:
                        sys.stdout.write(present.event_line(event) + "\n")
                        sys.stdout.flush()
                    if event.sequence == last:
                        break
        except DeadlineExceeded:
            if follow:
                raise


_QUIET_SECONDS = 2.0


def watch(
    context: typer.Context,
    job_ids: Annotated[
        list[str] | None, typer.Argument(metavar="[JOB]...", autocompletion=complete.jobs, show_default=False)
    ] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="Rows, without jobs named.")] = 20,
    interval: Annotated[float, typer.Option(min=0.2, help="Seconds between looks.")] = 1.0,
) -> None:
    """Watch jobs in a live table: those named until they have ended, or the newest until Ctrl-C.

    In a pipe it prints a line for each change.
    """
    here = session(context)
    with here.client() as client:
        before: dict[str, Job] = {}
        with Live(console=here.out, auto_refresh=False, transient=False) as live:
            while True:
                jobs = [client.get(job_id) for job_id in job_ids] if job_ids else list(islice(client.list(), limit))
                if here.is_interactive:
                    live.update(_progress(jobs, bool(job_ids)), refresh=True)
                else:
                    here.lines(present.row(job) for job in jobs if _changed(before.get(job.job_id), job))
                    before = {job.job_id: job for job in jobs}
                if job_ids and all(job.is_done for job in jobs):
                    raise typer.Exit(max(exit_code(job) for job in jobs))
                time.sleep(interval)


def _changed(before: Job | None, now: Job) -> bool:
    return before is None or (before.state, before.attempt) != (now.state, now.attempt)


def _progress(jobs: Sequence[Job], is_named: bool) -> RenderableType:
    if not is_named:
        return present.table(jobs)
    ended = sum(job.is_done for job in jobs)
    failed = sum(job.state is JobState.FAILED for job in jobs)
    summary = Text(f"{ended} of {len(jobs)} ended" + (f", {failed} failed" if failed else ""))
    return Group(present.table(jobs), ProgressBar(total=len(jobs), completed=ended, width=40), summary)


def top(
    context: typer.Context,
    interval: Annotated[float, typer.Option(min=0.2, help="Seconds between looks.")] = 2.0,
    once: Annotated[bool, typer.Option("--once", help="Look once; so it does in a pipe.")] = False,
) -> None:
    """Watch the server: its classes, and what runs longest."""
    here = session(context)
    with here.client() as client:
        if once or not here.is_interactive:
            here.out.print(_overview(client))
            return
        with Live(console=here.out, auto_refresh=False, screen=True) as live:
            while True:
                live.update(_overview(client), refresh=True)
                time.sleep(interval)


def _overview(client: Client) -> RenderableType:
    metrics = client.metrics()
    running = sorted(
        islice(client.list(states=[JobState.RUNNING, JobState.SUBMITTED]), 200),
        key=lambda job: job.started_at or job.submitted_at,
    )
    head = Text(f"{client.target}  version {metrics.version}  up {present.duration(metrics.uptime_seconds)}\n", "bold")
    return Group(head, present.classes(metrics), Text(), present.table(running[:15]))
