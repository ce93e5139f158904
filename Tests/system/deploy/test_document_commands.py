"""Every command and script that stands in a document is run here, or a table says where it is, or why it is not."""

from __future__ import annotations

import functools
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from documents import DOCUMENTS, SHELLS, blocks, name, prose, python_scripts, spans
from eventually import eventually
from programs import RUNNER
from server import EXECUTABLE, ROOT, Server

from dspy_orchestrator import Client

TESTED = {
    "./scripts/setup": "scripts/test",
    "./scripts/demo": "Tests/system/test_examples.py::test_the_demo_finds_everything_as_expected",
    ".build/release/dspy-orchestrator serve": "Tests/system/server.py::start",
    "pip install ./clients/python": "clients/python/tests/test_wheel.py::test_what_is_installed_works",
    "pip install './clients/python[dspy]'": (
        "clients/python/tests/test_wheel.py::test_the_wheel_has_the_packages_version_and_extras"
    ),
    "dspy-orch --install-completion": "clients/python/tests/test_wheel.py::test_the_shell_completes_commands",
    "python -m dspy_orchestrator.worker module:function": (
        "clients/python/tests/test_worker.py::test_one_task_after_another_is_answered_until_the_input_ends"
    ),
    "dspy-orch requeue train-7": ("clients/python/tests/test_cli.py::test_requeue_goes_on_after_a_job_that_can_not_be"),
    "dspy-orchestrator serve --slurm true": "Tests/system/slurm/conftest.py::stopped_server",
    "sqlite3 data/ledger.sqlite": "Tests/system/deploy/test_documents.py::test_a_backup_of_a_running_server_restores",
    "docker build -f docker/lightweight/Dockerfile": "Tests/system/deploy/engine.py::build_images",
    "docker-compose -f docker/lightweight/docker-compose.yml up --detach": (
        "Tests/system/deploy/test_compose.py::test_a_job_goes_through_by_rpc_and_by_file"
    ),
    "helm install dspy deploy/helm/orchestrator": (
        "Tests/system/deploy/test_documents.py::test_the_chart_takes_what_the_helm_command_sets"
    ),
    "systemd-sysusers": "Tests/system/deploy/test_systemd.py::test_the_group_may_drop_tasks",
    "systemd-tmpfiles --create": "Tests/system/deploy/test_systemd.py::test_the_group_may_drop_tasks",
}
"""How a command begins, and the test (or what the tests are made of) that runs it, or its like."""

NOT_RUN = {
    "./scripts/test": "it runs this very test",
    "swift build -c release": "takes many minutes; scripts/test makes the debug build, scripts/demo this one",
    "systemctl ": "systemd is not the first process where tests run",
    "nghttpd ": "for trying other people's servers; the next line is about it",
    "CONFORMANCE_ADDRESS=": "other people's servers do not pass it",
}
"""How a command begins, and why no test can run it."""

FOLLOWED = {
    "curl -N 'http://127.0.0.1:9097/v1/events?from_now=1'": r'(?s)data: .*"task_submitted".*data: .*"task_failed"',
    "dspy-orch events -f --json --type task_failed": r'"type":\s*"task_failed"',
    "dspy-orch watch": r"\tfailed",
    "dspy-orch top": r"cpu_short",
    "dspy-orchestrator serve --config deploy/config.yaml": r"^ready rpc=127\.0\.0\.1:\d+ http=127\.0\.0\.1:\d+\n$",
}
"""What goes on until it is stopped, and what it has to say of a job that fails meanwhile."""

ANSWERS = {
    "curl http://127.0.0.1:9097/v1/jobs/nap": r'"job_id":"nap"',
    "curl http://127.0.0.1:9097/metrics": r"^env_queue_depth",
    "curl http://127.0.0.1:9097/health": r'"status":"healthy"',
    "curl -N 'http://127.0.0.1:9097/v1/jobs/my-job/logs?follow=1'": r"^step 1\nstep 2\n$",
    "cat logs/env_queue/done/hello.json": r'"status":"completed"',
    "printf %s": r"^[0-9a-f]{64}  -$",
    "dspy-orch submit --wait": r"^0\.5$",
    "dspy-orch submit --follow": r"trained",
    "dspy-orch doctor": r"^ok ",
    "dspy-orchestrator config check": r": good$",
    "dspy-orchestrator config show": r"(?s)^server:.*rpc_listen",
    "dspy-orchestrator config example": r"(?m)^server:",
}
"""What else than an exit code of 0 is to be seen."""

PRINTED = {
    "README.md": [r"(?s)^\['one', 'two', 'three'\]\n.* task_completed \S+ succeeded\n"],
    "clients/python/README.md": [
        r"(?s)^\['one', 'two', 'three'\]\n.*exited with code 2;.* task_failed \S+ failed\n",
        r"\[7, 7\]\n",
    ],
}
"""What the scripts in Python print, in their order."""

PROGRAMS = {
    "train.py": 'print("trained")\nprint("__DSPY_RESULT__:0.5")\n',
    "my_module.py": "def score(row):\n    return 7\n",
}
"""What documents take for granted where the reader works."""


class Session:
    """A reader's shell, in a directory that looks like the repository, beside a server that runs there."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.directory = server.directory
        self.root = self.directory / "root"
        for directory in ("usr/bin", "etc/systemd/system", "etc/sysusers.d", "etc/tmpfiles.d", "etc/dspy-orchestrator"):
            (self.root / directory).mkdir(parents=True)
        for place in ("deploy", "docker", "clients", "scripts", "Sources"):
            (self.directory / place).symlink_to(ROOT / place)
        for file, text in PROGRAMS.items():
            (self.directory / file).write_text(text)
        (self.directory / ".curlrc").write_text("silent\nshow-error\nfail\nmax-time = 60\n")
        another = self.directory / "another"
        self.environment = os.environ | {
            "PATH": f"{Path(EXECUTABLE).parent}:{Path(sys.executable).parent}:{os.environ['PATH']}",
            "CURL_HOME": str(self.directory),
            "DSPY_ORCHESTRATOR_TARGET": server.rpc,
            # Of a server that the commands start.
            "ORCHESTRATOR_RPC_LISTEN": "127.0.0.1:0",
            "ORCHESTRATOR_HTTP_LISTEN": "127.0.0.1:0",
            "ORCHESTRATOR_DATA_DIR": str(another / "data"),
            "ORCHESTRATOR_LOG_DIR": str(another / "logs"),
            "ENV_QUEUE_DIR": str(another / "queue"),
        }

    def here(self, text: str) -> str:
        """The same, where this test may do it."""
        for there, here in (
            ("127.0.0.1:9097", self.server.http),
            ("127.0.0.1:50051", self.server.rpc),
            ("/srv/project", str(self.directory)),
            (".build/release", str(Path(RUNNER).parent)),
            (" /usr/", f" {self.root}/usr/"),
            (" /etc/", f" {self.root}/etc/"),
        ):
            text = text.replace(there, here)
        return text

    def start(self, *command: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            command,
            cwd=self.directory,
            env=self.environment,
            stdout=(self.directory / "output").open("w"),
            stderr=subprocess.STDOUT,
            start_new_session=True,
            text=True,
        )

    def output(self) -> str:
        return (self.directory / "output").read_text()

    def run(self, *command: str) -> tuple[int, str]:
        code = self.start(*command).wait(120)
        return code, self.output()

    def follow(self, client: Client, expected: str, *command: str) -> None:
        process = self.start(*command)

        def said() -> object:
            if re.search(expected, self.output()):
                return True
            assert process.poll() is None, self.output()
            client.wait(client.submit(["false"]).job_id, timeout=60)
            return False

        try:
            eventually(said, f"{expected} from {command}", 50)
        except AssertionError as error:
            raise AssertionError(f"{error}; it says\n{self.output()}") from None
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
                process.wait(60)


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    made = Server(tmp_path)
    made.queue = tmp_path / "logs" / "env_queue"
    try:
        yield Session(made.start())
    finally:
        made.close()


def entry(table: dict[str, str], command: str) -> str | None:
    return next((value for start, value in table.items() if command.startswith(start)), None)


def commands_of(document: Path) -> list[list[str]]:
    return [block.commands() for block in blocks(document) if block.language in SHELLS]


@pytest.mark.parametrize("document", [each for each in DOCUMENTS if commands_of(each)], ids=name)
def test_the_commands_of_a_document_do_what_it_says(document: Path, session: Session) -> None:
    with session.server.client() as client:
        # Jobs that documents speak of as the reader's own.
        client.submit(["true"], job_id="prepare-7")
        client.submit(["printf", "step 1\\nstep 2\\n"], job_id="my-job")
        client.wait("my-job", timeout=60)
        for commands in commands_of(document):
            before = ""  # what a shell would still know: variables of the lines above
            for command in commands:
                if entry(TESTED, command) or entry(NOT_RUN, command):
                    continue
                line = session.here(command)
                if command in FOLLOWED:
                    session.follow(client, FOLLOWED[command], "bash", "-c", line)
                    continue
                script = f"set -euo pipefail\n{before}{line}"
                expected = entry(ANSWERS, command)
                if command.startswith("cat "):
                    eventually((session.directory / command.split()[1]).exists, command)
                code, output = session.run("bash", "-c", script)
                assert code == 0, f"{command}\n{output}"
                assert expected is None or re.search(expected, output, re.M), f"{command}\n{output}"
                if re.match(r"[A-Z]+=", command):
                    before += line + "\n"


@pytest.mark.parametrize("document", [each for each in DOCUMENTS if python_scripts(each)], ids=name)
def test_the_scripts_of_a_document_print_what_they_should(document: Path, session: Session) -> None:
    with session.server.client() as client:
        for number, (script, expected) in enumerate(
            zip(python_scripts(document), PRINTED[name(document)], strict=True)
        ):
            file = session.directory / f"script-{number}.py"
            file.write_text(session.here(script))
            if "client.events(" in script:  # goes on for ever
                session.follow(client, expected, sys.executable, "-u", str(file))
            else:
                code, output = session.run(sys.executable, str(file))
                assert code == 0, output
                assert re.search(expected, output), output


def test_the_tables_name_tests_that_are_there_and_commands_that_documents_have() -> None:
    commands = [command for document in DOCUMENTS for block in commands_of(document) for command in block]
    for table in (TESTED, NOT_RUN, FOLLOWED, ANSWERS):
        for start in table:
            assert any(command.startswith(start) for command in commands), f"no document has {start}"
    for where in TESTED.values():
        file, _, test = where.partition("::")
        assert f"def {test}(" in (ROOT / file).read_text() if test else (ROOT / file).exists(), where
    assert "scripts/setup tests" in (ROOT / "scripts" / "test").read_text().splitlines()


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_a_block_says_what_it_is_and_is_that(document: Path) -> None:
    """So that no command stands where the tests above don't look for it."""
    for block in blocks(document):
        assert block.language in {*SHELLS, "python", "json", "yaml", "ini", "text"}, block.text
        if block.language == "json":
            json.loads(block.text)
        if block.language == "yaml":
            yaml.safe_load(block.text)
        if block.language == "text":
            assert not re.match(r"(\./|\.venv|(dspy-\w+|curl|docker|pip|python3?|swift) )", block.text), block.text
    assert not re.search(r"^(?: {4}|\t)\S", prose(document), re.M), "use a fence"


def test_the_configuration_of_a_document_is_good(tmp_path: Path) -> None:
    files = [block.text for document in DOCUMENTS for block in blocks(document) if block.language == "yaml"]
    assert files
    for text in files:
        (tmp_path / "config.yaml").write_text(text)
        command = [EXECUTABLE, "config", "check", str(tmp_path / "config.yaml")]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=30)
        assert ended.returncode == 0, ended.stderr


def test_the_ready_line_is_the_one_that_is_printed(server: Server) -> None:
    (line,) = (block.text for block in blocks(ROOT / "README.md") if block.language == "text")
    assert line == server.output[0].replace(server.rpc, "127.0.0.1:50051").replace(server.http, "127.0.0.1:9097") + "\n"


PATH = re.compile(r"(?:\./)?((?:scripts|bench|proto|Sources|Tests|clients|deploy|docker|Documentation)/[\w./@-]*\w)")


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_what_running_text_names_is_there(document: Path) -> None:
    for span in spans(document):
        for path in PATH.findall(span):
            places = (ROOT, document.parent)
            assert any((place / path).exists() or list(place.glob(f"{path}*")) for place in places), span


@pytest.fixture(scope="module")
def flags() -> set[str]:
    """Of all programs that documents speak of."""
    programs = [
        [EXECUTABLE, "serve"],
        [str(RUNNER)],
        [sys.executable, "-m", "dspy_orchestrator.worker"],
        [str(Path(EXECUTABLE).with_name("InteropServer"))],
        *[[sys.executable, "-m", "dspy_orchestrator.cli", *each] for each in ([], ["submit"], ["events"], ["list"])],
    ]
    known = {"--help", "--version"}
    for program in programs:
        shown = subprocess.run(
            [*program, "--help"], capture_output=True, text=True, timeout=60, env=os.environ | {"COLUMNS": "200"}
        ).stdout
        found = set(re.findall(r"--[a-z][a-z-]+", shown))
        assert found, program
        known |= found
    return known


OTHERS = {
    "--filter",
    "--tool",
    "--in-place",
    "--recursive",
    "--parsable",
    "--scale",
    "--strict",
    "--local",
    "--quick",
    "--static-swift-stdlib",
}
"""Flags of programs that have no --help to ask, or are not ours."""


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_every_flag_in_running_text_is_some_programs(document: Path, flags: set[str]) -> None:
    named = {flag for span in spans(document) for flag in re.findall(r"(?<![\w-])--[a-z][a-z-]*[a-z]", span)}
    unknown = {flag for flag in named - flags - OTHERS if not any(each.startswith(flag) for each in flags)}
    assert unknown == set()


@functools.cache
def settings(*program: str) -> dict[tuple[str, str], str]:
    """Of the program's --help: flag and variable, and the default."""
    shown = subprocess.run([*program, "--help"], capture_output=True, text=True, timeout=60).stdout
    option = re.compile(r"(--[a-z-]+) <[a-z-]+> (?:(?! --[a-z-]+ <).)*?\(env: ([A-Z_]+)[^;)]*(?:; default: ([^)]*))?\)")
    return {(found[1], found[2]): found[3] or "" for found in option.finditer(re.sub(r"\s+", " ", shown))}


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_a_table_of_settings_has_their_variables_and_defaults(document: Path) -> None:
    served, run = settings(EXECUTABLE, "serve"), settings(str(RUNNER))
    assert len(served) > 60
    for row in re.findall(r"^\| (`--.*) \|$", document.read_text(), re.M):
        cells = row.split(" | ")
        flags, variables = (re.findall(pattern, cell) for pattern, cell in zip((FLAG, VARIABLE), cells, strict=False))
        pairs = [pair for pair in zip(flags, variables, strict=False) if "…" not in pair[1]]
        for pair in pairs:
            assert pair in served or pair in run, pair
        if len(flags) == 1 and pairs:
            default = re.match(r"`?([\w./:]+)`?(?:;|$)", cells[2])
            assert not default or default[1] in (served.get(pairs[0]), run.get(pairs[0])), row


FLAG, VARIABLE = r"`(--[a-z-]+)`", r"`([A-Z_…]+)`"


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_every_variable_in_running_text_is_some_programs(document: Path, variables_of_all: str) -> None:
    named = {
        variable
        for span in spans(document)
        for variable in re.findall(r"\b(?:ORCHESTRATOR|ENV|KAFKA|REDDB|DSPY)_[A-Z_]*[A-Z]\b", span)
    }
    unknown = {variable for variable in named if not re.search(rf"\b{variable}", variables_of_all)}
    assert unknown == set()


@pytest.fixture(scope="module")
def variables_of_all() -> str:
    """Wherever a program reads a variable, or a test does."""
    files = [
        file
        for place in ("Sources", "Tests/system", "clients/python/src", "docker", "scripts", "deploy/slurm")
        for file in (ROOT / place).rglob("*")
        if file.suffix in (".swift", ".py", ".c", ".yml", ".sh", ".sbatch", "")
        and file.is_file()
        and "golden" not in file.parts
    ]
    return "\n".join(file.read_text(errors="replace") for file in files)
