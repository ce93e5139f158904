"""``dspy-orch submit``."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from dspy_orchestrator.cli import complete
from dspy_orchestrator.cli.follow import print_logs
from dspy_orchestrator.cli.session import EXIT_FAILED, Session, exit_code, session
from dspy_orchestrator.client import Client
from dspy_orchestrator.errors import OrchestratorError
from dspy_orchestrator.handle import JobHandle, as_completed
from dspy_orchestrator.model import Job, JobState, RetryPolicy, Slurm
from dspy_orchestrator.requests import JobSpec


def register(app: typer.Typer) -> None:
    app.command()(submit)


def submit(
    context: typer.Context,
    command: Annotated[list[str] | None, typer.Argument(metavar="-- COMMAND [ARGUMENT]...", show_default=False)] = None,
    from_json: Annotated[
        str | None,
        typer.Option(
            "--json",
            metavar="FILE",
            help='Jobs as JSON, one object or one a line: {"id", "class", "payload", "priority", "labels", '
            '"timeout_seconds", "deadline_seconds", "depends_on"}, all but the payload optional. - is standard input.',
        ),
    ] = None,
    handler: Annotated[str | None, typer.Option(help="A handler of the server, in place of a command.")] = None,
    payload: Annotated[str | None, typer.Option(metavar="JSON", help="What else goes into the job's payload.")] = None,
    job_class: Annotated[
        str | None, typer.Option("--class", "-c", autocompletion=complete.job_classes, help="cpu_short unless said.")
    ] = None,
    job_id: Annotated[str | None, typer.Option("--id", help="The job's id; submitting it again is then safe.")] = None,
    priority: Annotated[int, typer.Option(help="Higher runs first.")] = 0,
    label: Annotated[list[str] | None, typer.Option("--label", "-l", metavar="KEY=VALUE")] = None,
    env: Annotated[list[str] | None, typer.Option("--env", "-e", metavar="NAME=VALUE")] = None,
    cwd: Annotated[str | None, typer.Option(help="Where it runs: an absolute path on the server's machine.")] = None,
    stdin: Annotated[str | None, typer.Option(metavar="FILE", help="Its standard input; - is this one.")] = None,
    job_timeout: Annotated[
        float | None, typer.Option("--job-timeout", metavar="SECONDS", help="How long one attempt may take.")
    ] = None,
    deadline: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="How long until its end, waiting and all attempts included.")
    ] = None,
    attempts: Annotated[int, typer.Option(min=1, max=100, help="Attempts in all.")] = 1,
    depends_on: Annotated[
        list[str] | None, typer.Option(metavar="JOB", autocompletion=complete.jobs, help="Must succeed first.")
    ] = None,
    partition: Annotated[str | None, typer.Option(help="Slurm: the partition.")] = None,
    gpus: Annotated[int | None, typer.Option(help="Slurm: GPUs.")] = None,
    nodes: Annotated[int | None, typer.Option(help="Slurm: nodes.")] = None,
    time_limit: Annotated[str | None, typer.Option(help="Slurm: the time limit, as sbatch has it.")] = None,
    wait: Annotated[bool, typer.Option("--wait", "-w", help="Wait, print the result, exit with the outcome.")] = False,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Show its output while it runs, and wait.")] = False,
) -> None:
    """Hand in a job; print its id.

    dspy-orch submit --wait -- python3 train.py --epochs 3
    """
    here = session(context)
    slurm_options = {"partition": partition, "gpus": gpus, "nodes": nodes, "time_limit": time_limit}
    slurm = Slurm(**slurm_options) if any(value is not None for value in slurm_options.values()) else None  # type: ignore[arg-type]
    if from_json is not None:
        if command or handler or payload:
            raise typer.BadParameter(
                "says all of the job: leave command, --handler and --payload out", param_hint="--json"
            )
        specs = list(_read(from_json))
    else:
        if not command and not handler and not payload and slurm is None:
            raise typer.BadParameter("give a command after --, or --handler, --payload or --json", param_hint="COMMAND")
        specs = [
            JobSpec(
                command=command or None,
                handler=handler,
                payload=_object(payload, "--payload") if payload else None,
                job_class=job_class,
                job_id=job_id,
                priority=priority,
                labels=_pairs(label, "--label"),
                timeout=job_timeout,
                deadline=deadline,
                retry=RetryPolicy(attempts) if attempts > 1 else None,
                depends_on=depends_on or (),
                slurm=slurm,
                env=_pairs(env, "--env") or None,
                cwd=cwd,
                stdin=None if stdin is None else _text(stdin, "--stdin"),
            )
        ]
    with here.client() as client:
        if len(specs) == 1:
            jobs: list[JobHandle | OrchestratorError] = [JobHandle(client, client.accept(specs[0]))]
        else:
            jobs = client.submit_many(specs)
        raise typer.Exit(_after(here, client, jobs, wait=wait, follow=follow))


def _after(
    here: Session, client: Client, jobs: Sequence[JobHandle | OrchestratorError], *, wait: bool, follow: bool
) -> int:
    refused = [error for error in jobs if isinstance(error, OrchestratorError)]
    accepted = [job for job in jobs if isinstance(job, JobHandle)]
    for error in refused:
        here.note(f"dspy-orch: {error}")
    if not wait and not follow:
        here.lines([job.job_id] for job in accepted)
        return EXIT_FAILED if refused else 0
    worst = EXIT_FAILED if refused else 0
    if len(jobs) == 1 and accepted:
        here.note(accepted[0].job_id)
        if follow:
            print_logs(here, client, accepted[0].job_id, follow=True)
        ended = client.wait(accepted[0].job_id)
        if not follow and ended.state is JobState.SUCCEEDED:
            here.json(ended.result)
        _tell(here, ended)
        return exit_code(ended)
    for job in as_completed(accepted):
        job.exception()
        here.json({"id": job.job_id, "state": job.state.value, "result": job.job.result, "error": job.error})
        worst = worst or exit_code(job.job)
    return worst


def _tell(here: Session, job: Job) -> None:
    if job.state is not JobState.SUCCEEDED:
        here.note(f"{job.job_id} {job.state.value}" + (f": {job.error}" if job.error else ""))


def _read(file: str) -> Iterator[JobSpec]:
    text = _text(file, "--json")
    try:
        documents = [json.loads(text)]
    except ValueError:
        documents = []
        for number, line in enumerate(text.splitlines(), 1):
            if line.strip():
                try:
                    documents.append(json.loads(line))
                except ValueError as error:
                    raise typer.BadParameter(f"line {number} is no JSON: {error}", param_hint="--json") from None
    for document in documents:
        yield from map(_spec, document if isinstance(document, list) else [document])


_KEYS = {
    "id": "job_id",
    "class": "job_class",
    "payload": "payload",
    "priority": "priority",
    "labels": "labels",
    "timeout_seconds": "timeout",
    "deadline_seconds": "deadline",
    "depends_on": "depends_on",
}


def _spec(document: Any) -> JobSpec:
    """A job as the file queue and the gateway have it."""
    if not isinstance(document, Mapping):
        raise typer.BadParameter(f"{json.dumps(document)[:60]} is no object", param_hint="--json")
    unknown = sorted(set(document) - set(_KEYS))
    if unknown:
        raise typer.BadParameter(
            f"no key {unknown[0]!r}: use {', '.join(_KEYS)}; what the job itself needs goes into payload",
            param_hint="--json",
        )
    return JobSpec(**{_KEYS[key]: value for key, value in document.items()})


def _object(text: str, option: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise typer.BadParameter(f"no JSON: {error}", param_hint=option) from None
    if not isinstance(value, dict):
        raise typer.BadParameter(f"a {type(value).__name__}; a JSON object is expected", param_hint=option)
    return value


def _pairs(pairs: Sequence[str] | None, option: str) -> dict[str, str]:
    made = {}
    for pair in pairs or ():
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise typer.BadParameter(f"{pair!r} is no NAME=VALUE", param_hint=option)
        made[name] = value
    return made


def _text(file: str, option: str) -> str:
    try:
        return sys.stdin.read() if file == "-" else Path(file).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise typer.BadParameter(f"{file} can't be read: {error}", param_hint=option) from None
