"""``dspy-orch status``, ``list``, ``cancel``, ``requeue`` and ``metrics``: one question, one answer."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Annotated

import typer

from dspy_orchestrator.cli import complete, present
from dspy_orchestrator.cli.session import EXIT_FAILED, exit_code, session
from dspy_orchestrator.cli.submit import _pairs
from dspy_orchestrator.client import Client
from dspy_orchestrator.errors import OrchestratorError
from dspy_orchestrator.model import JobState


def register(app: typer.Typer) -> None:
    app.command()(status)
    app.command(name="list")(list_jobs)
    app.command()(cancel)
    app.command()(requeue)
    app.command()(metrics)


JobIds = Annotated[list[str], typer.Argument(metavar="JOB...", autocompletion=complete.jobs)]
AsJson = Annotated[bool, typer.Option("--json", help="JSON, one line for each.")]


def status(
    context: typer.Context,
    job_ids: JobIds,
    as_json: AsJson = False,
    wait: Annotated[bool, typer.Option("--wait", "-w", help="Wait until it has ended.")] = False,
) -> None:
    """Show jobs as they are now. Exits with the outcome of the first that has ended badly."""
    here = session(context)
    worst = 0
    with here.client() as client:
        for job_id in job_ids:
            job = client.wait(job_id) if wait else client.get(job_id)
            if as_json:
                here.json(present.plain(job))
            else:
                here.out.print(present.details(job))
            worst = worst or (exit_code(job) if job.is_done else 0)
    raise typer.Exit(worst)


def list_jobs(
    context: typer.Context,
    state: Annotated[list[str] | None, typer.Option("--state", "-s", autocompletion=complete.states)] = None,
    job_class: Annotated[list[str] | None, typer.Option("--class", "-c", autocompletion=complete.job_classes)] = None,
    label: Annotated[list[str] | None, typer.Option("--label", "-l", metavar="KEY=VALUE")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many at most.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List jobs, newest first."""
    here = session(context)
    with here.client() as client:
        jobs = islice(
            client.list(
                states=state or (),
                classes=job_class or (),
                labels=_pairs(label, "--label"),
                page_size=min(limit, 1000),
            ),
            limit,
        )
        if as_json:
            for job in jobs:
                here.json(present.plain(job))
        elif here.is_interactive:
            here.out.print(present.table(jobs))
        else:
            here.lines(map(present.row, jobs))


def cancel(
    context: typer.Context,
    job_ids: JobIds,
    reason: Annotated[str, typer.Option(help="Kept with the job.")] = "",
) -> None:
    """Ask jobs to end. One that has ended already stays as it is."""

    def cancelled(client: Client, job_id: str) -> str:
        job = client.cancel(job_id, reason)
        ended = job.is_done and job.state is not JobState.CANCELLED
        return f"{'has ended already: ' if ended else ''}{job.state.value}"

    _change_each(context, job_ids, cancelled)


def requeue(
    context: typer.Context,
    job_ids: JobIds,
    reason: Annotated[str, typer.Option(help="Kept in the event that follows.")] = "",
) -> None:
    """Put batch jobs back into Slurm's queue. They go on as the same attempt."""
    _change_each(context, job_ids, lambda client, job_id: client.requeue(job_id, reason).state.value)


def _change_each(context: typer.Context, job_ids: list[str], change: Callable[[Client, str], str]) -> None:
    """Goes on after a job that can't be changed. `change` says what became of the job."""
    here = session(context)
    failed = False
    with here.client() as client:
        for job_id in job_ids:
            try:
                here.note(f"{job_id} {change(client, job_id)}")
            except OrchestratorError as error:
                failed = True
                here.note(f"dspy-orch: {error}")
    raise typer.Exit(EXIT_FAILED if failed else 0)


def metrics(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Only samples whose name begins so.")] = "",
    as_json: AsJson = False,
) -> None:
    """Show the server's numbers: the classes, or samples by name."""
    here = session(context)
    with here.client() as client:
        found = client.metrics()
    samples = [sample for sample in found.metrics if sample.name.startswith(name)]
    if as_json and not name:
        here.json(present.plain(found))
    elif as_json:
        for sample in samples:
            here.json(present.plain(sample))
    elif name or not here.is_interactive:
        for sample in samples:
            labels = ",".join(f'{key}="{value}"' for key, value in sorted(sample.labels.items()))
            here.lines([[f"{sample.name}{{{labels}}}" if labels else sample.name, f"{sample.value:g}"]])
    else:
        here.out.print(present.classes(found))
        here.out.print(f"version {found.version}, up {present.duration(found.uptime_seconds)}", markup=False)
