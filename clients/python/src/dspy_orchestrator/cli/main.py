"""The program's entry and the options that all commands share."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

import dspy_orchestrator
from dspy_orchestrator.channel import TARGET_VARIABLE
from dspy_orchestrator.cli import doctor, follow, show, submit
from dspy_orchestrator.cli.session import EXIT_CANCELLED, EXIT_FAILED, Session, error_code
from dspy_orchestrator.errors import OrchestratorError

app = typer.Typer(
    name="dspy-orch",
    help="Submit jobs to a dspy-orchestrator server, follow them, and see how it does.\n\n"
    "Commands that wait for a job exit with its outcome: its exit code, 128 and its signal, 124 for a timeout, 130 "
    "when it was cancelled. 69: the server can't be reached; 77: it doesn't let you; 2: the command line is wrong.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)
submit.register(app)
show.register(app)
follow.register(app)
doctor.register(app)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"dspy-orch {dspy_orchestrator.__version__}")
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    target: Annotated[
        str | None, typer.Option("--target", "-t", envvar=TARGET_VARIABLE, help="host:port of the server.")
    ] = None,
    timeout: Annotated[float, typer.Option(help="Seconds that one call may take, retries included.")] = 10.0,
    token_file: Annotated[
        Path | None, typer.Option(help="File with the token; DSPY_ORCHESTRATOR_TOKEN is the token itself.")
    ] = None,
    tls_ca: Annotated[
        str | None, typer.Option(envvar="DSPY_ORCHESTRATOR_TLS_CA", help="PEM file of the server's CA, or system.")
    ] = None,
    tls_certificate: Annotated[
        str | None, typer.Option(envvar="DSPY_ORCHESTRATOR_TLS_CERTIFICATE", help="PEM file to say who you are.")
    ] = None,
    tls_key: Annotated[
        str | None, typer.Option(envvar="DSPY_ORCHESTRATOR_TLS_KEY", help="PEM file with its key.")
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    token = None
    if token_file is not None:
        try:
            token = token_file.read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise typer.BadParameter(f"{token_file} can't be read: {error}", param_hint="--token-file") from None
    context.obj = Session(
        {
            "target": target,
            "timeout": timeout,
            "token": token,
            "tls_ca": tls_ca,
            "tls_certificate": tls_certificate,
            "tls_key": tls_key,
        }
    )


def main() -> None:
    """Runs the program; what goes wrong is one line on standard error."""
    try:
        app()
    except OrchestratorError as error:
        print(f"dspy-orch: {error}", file=sys.stderr)
        sys.exit(error_code(error))
    except KeyboardInterrupt:
        sys.exit(EXIT_CANCELLED)
    except BrokenPipeError:
        # The reader of our output has left, as `head` does. Python would complain again at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.exit(EXIT_FAILED)
