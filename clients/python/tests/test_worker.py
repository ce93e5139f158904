"""The worker as a process, spoken to as a runner does: Documentation/workers.md."""

from __future__ import annotations

import json
import os
import signal
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent


class Worker:
    """A runner's view of one worker."""

    def __init__(self, directory: Path, function: str, *options: str, **environment: str) -> None:
        self.log = directory / "worker.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "dspy_orchestrator.worker", function, *options],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=HERE,
                env=os.environ | environment,
            )
        # A worker that hangs fails the test rather than stopping it.
        self.timer = threading.Timer(45, self.process.kill)
        self.timer.start()

    def send(self, message: Any) -> None:
        self.send_bytes(json.dumps(message).encode())

    def send_bytes(self, body: bytes, size: int | None = None) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(struct.pack(">I", len(body) if size is None else size) + body)
        self.process.stdin.flush()

    def receive(self) -> Any:
        """The next message, or None at the end."""
        assert self.process.stdout is not None
        header = self.process.stdout.read(4)
        if not header:
            return None
        (size,) = struct.unpack(">I", header)
        return json.loads(self.process.stdout.read(size))

    def task(self, payload: Any, number: int = 1, **fields: Any) -> Any:
        self.send({"type": "task", "id": f"job-{number}", "attempt": number, "payload": payload, **fields})
        return self.receive()

    def end(self) -> int:
        """Closes its standard input; returns its exit code."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        return self.process.wait()

    def close(self) -> None:
        self.timer.cancel()
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Worker]]:
    made: list[Worker] = []

    def make(*arguments: str, **environment: str) -> Worker:
        made.append(Worker(tmp_path, *arguments, **environment))
        return made[-1]

    yield make
    for worker in made:
        worker.close()


@pytest.fixture
def worker(start: Callable[..., Worker]) -> Worker:
    made = start("worker_functions:do")
    hello = made.receive()
    assert (hello["type"], hello["protocol"], hello["pid"]) == ("hello", 1, made.process.pid)
    assert (hello["handler"], hello["max_frame_bytes"]) == ("worker_functions:do", 4 << 20)
    return made


def test_one_task_after_another_is_answered_until_the_input_ends(start: Callable[..., Worker]) -> None:
    worker = start("worker_functions:echo")
    worker.receive()
    for number in range(1, 4):
        payload = {"number": number, "text": "é\x00\n𝄞", "nested": [{}, None]}
        assert worker.task(payload, number) == {
            "type": "result",
            "id": f"job-{number}",
            "attempt": number,
            "ok": True,
            "value": payload,
        }
    assert worker.end() == 0
    assert worker.receive() is None


def test_an_exception_comes_back_with_type_message_and_traceback_and_goes_to_the_log(worker: Worker) -> None:
    answer = worker.task({"do": "raise", "value": "no such row"})
    assert not answer["ok"]
    assert (answer["error"]["type"], answer["error"]["message"]) == ("LookupError", "no such row")
    assert "worker_functions.py" in answer["error"]["traceback"]
    assert "LookupError: no such row" in worker.log.read_text()
    assert worker.task({"do": "exit", "value": 3})["error"] == answer["error"] | {
        "type": "SystemExit",
        "message": "sys.exit(3)",
        "traceback": worker.log.read_text().partition("LookupError: no such row\n")[2],
    }
    assert worker.task({"do": "nothing"})["value"] == "unknown"


def test_what_is_printed_goes_to_the_log_and_never_into_the_protocol(worker: Worker) -> None:
    answer = worker.task({"do": "print", "value": "here"})
    assert (answer["ok"], answer["value"]) == (True, "")
    assert sorted(worker.log.read_text().splitlines()) == ["child here", "descriptor here", "error here", "python here"]


def test_a_tasks_own_files_take_what_is_printed_while_it_runs(worker: Worker, tmp_path: Path) -> None:
    out, err = tmp_path / "stdout", tmp_path / "stderr"
    for number in (1, 2):
        worker.task({"do": "print", "value": number}, stdout_path=str(out), stderr_path=str(err))
    worker.task({"do": "raise", "value": "told"}, stderr_path=str(err))
    worker.task({"do": "print", "value": "elsewhere"})
    lines = [f"{who} {number}" for number in (1, 2) for who in ("python", "descriptor", "child")]
    assert out.read_text().splitlines() == lines
    assert err.read_text().splitlines()[:2] == ["error 1", "error 2"]
    assert err.read_text().endswith("LookupError: told\n")
    assert "python elsewhere" in worker.log.read_text()
    assert "told" not in worker.log.read_text()
    answer = worker.task({"do": "nothing"}, stdout_path=str(tmp_path / "missing" / "file"))
    assert answer["error"]["type"] == "FileNotFoundError"
    assert worker.task({"do": "nothing"})["ok"]


def test_the_function_can_ask_which_task_it_runs_for(worker: Worker) -> None:
    assert worker.task({"do": "task"}, 7, timeout_seconds=1.5)["value"] == ["job-7", 7, 1.5, "job-7", "7"]


@pytest.mark.parametrize(
    ("what", "message"),
    [("large", "the limit is"), ("object", "not JSON serializable"), ("nan", "not JSON compliant")],
)
def test_a_result_that_can_not_be_sent_is_an_error_of_the_task(worker: Worker, what: str, message: str) -> None:
    answer = worker.task({"do": "make", "what": what, "value": 4 << 20})
    assert not answer["ok"]
    assert message in answer["error"]["message"]
    assert worker.task({"do": "nothing"})["ok"]


def test_an_async_function_is_awaited(start: Callable[..., Worker]) -> None:
    worker = start("worker_functions:slowly")
    worker.receive()
    assert [worker.task({"value": number})["value"] for number in (1, 2)] == [1, 2]


def test_messages_of_an_unknown_type_are_passed_over(worker: Worker) -> None:
    worker.send({"type": "weather", "sun": True})
    assert worker.task({"do": "nothing"})["ok"]


@pytest.mark.parametrize(
    ("body", "size", "words"),
    [
        (b"{", None, "no JSON"),
        (b"[]", None, "an object is expected"),
        (b'{"type":"task","id":7,"attempt":1,"payload":{}}', None, "id is 7"),
        (b'{"type":"task","id":"a","attempt":1}', None, "payload is None"),
        (b"", (4 << 20) + 1, "at most 4194304"),
        (b"abc", 4, "ended after 3 of"),
    ],
)
def test_what_is_not_the_protocol_ends_the_worker_with_a_reason(
    worker: Worker, body: bytes, size: int | None, words: str
) -> None:
    worker.send_bytes(body, size)
    assert worker.end() == 2
    fatal = worker.receive()
    assert fatal["type"] == "fatal"
    assert words in fatal["error"]["message"]
    assert words in worker.log.read_text()


@pytest.mark.parametrize(
    ("function", "kind"),
    [("no_such_module:f", "ModuleNotFoundError"), ("worker_functions:nothing", "InvalidArgument"), ("x", "Invalid")],
)
def test_a_function_that_is_not_there_is_told_before_any_task(
    start: Callable[..., Worker], function: str, kind: str
) -> None:
    worker = start(function)
    fatal = worker.receive()
    assert fatal["type"] == "fatal"
    assert kind in fatal["error"]["type"]
    assert worker.process.wait() == 3
    assert "can't be loaded" in worker.log.read_text()


def test_a_runner_of_another_version_is_told(start: Callable[..., Worker]) -> None:
    worker = start("worker_functions:do", DSPY_WORKER_PROTOCOL="2")
    assert "version 2" in worker.receive()["error"]["message"]


def test_sigterm_ends_the_task_with_its_cleanup(worker: Worker, tmp_path: Path) -> None:
    begun, cleaned = tmp_path / "begun", tmp_path / "cleaned"
    task = {"do": "cleanup", "begun": str(begun), "cleaned": str(cleaned)}
    worker.send({"type": "task", "id": "a", "attempt": 1, "payload": task})
    while not begun.exists() and worker.process.poll() is None:
        pass
    worker.process.send_signal(signal.SIGTERM)
    assert worker.process.wait() == 128 + signal.SIGTERM
    assert cleaned.exists()
    assert worker.receive() is None


def test_an_idle_worker_ends_at_sigterm(worker: Worker) -> None:
    worker.process.send_signal(signal.SIGTERM)
    assert worker.process.wait() == 128 + signal.SIGTERM


def run_once(tmp_path: Path, function: str, payload: Any) -> tuple[int, Any, str]:
    given, result = tmp_path / "payload", tmp_path / "result"
    given.write_text(json.dumps(payload))
    ended = subprocess.run(
        [sys.executable, "-m", "dspy_orchestrator.worker", "--once", function],
        env=os.environ | {"DSPY_PAYLOAD_PATH": str(given), "DSPY_RESULT_PATH": str(result)},
        cwd=HERE,
        capture_output=True,
        text=True,
        timeout=45,
    )
    return ended.returncode, json.loads(result.read_text()), ended.stderr


def test_once_is_a_jobs_command(tmp_path: Path) -> None:
    call = "dspy_orchestrator.functions:call"
    add = {"function": "worker_functions:add", "args": [1], "kwargs": {"b": 2}}
    assert run_once(tmp_path, call, add) == (0, 3, "")
    code, result, errors = run_once(tmp_path, call, {"function": "worker_functions:divide", "args": [1, 0]})
    assert (code, result["error"]["type"]) == (1, "ZeroDivisionError")
    assert "ZeroDivisionError" in errors
    code, result, _ = run_once(tmp_path, call, [])
    assert (code, result["error"]["message"]) == (1, "the payload is a list; an object is expected")


def test_once_talks_over_standard_streams_without_the_files() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "dspy_orchestrator.worker", "--once", "worker_functions:echo"],
        input='{"a": 1}',
        cwd=HERE,
        capture_output=True,
        text=True,
        timeout=45,
    )
    assert ended.stdout.splitlines()[-1] == '__DSPY_RESULT__:{"a": 1}'
