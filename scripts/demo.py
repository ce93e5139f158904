"""Shows the product at work: real jobs, their events as they come, the numbers, the file queue, a clean stop.

usage: demo.py PATH-OF-DSPY-ORCHESTRATOR

Exits with 0 only when everything went as it should.
"""

from __future__ import annotations

import json
import os
import re
import select
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from dspy_orchestrator import Client, Event, Job

COLOURS = {"succeeded": "32", "failed": "31", "cancelled": "33", "running": "36", "queued": "2"}
MAIN_METRICS = re.compile(
    r"^(env_queue_depth|orchestrator_inflight_tasks|orchestrator_jobs_completed_total|events_published_total"
    r"|orchestrator_job_errors_total|grpc_server_handled_total\{.*OK.*)\b"
)


class Expected(NamedTuple):
    state: str
    reason: str | None = None
    exit_code: int = 0
    result: object = None


class Server:
    """`dspy-orchestrator serve` on free ports of loopback, with its files in one directory."""

    def __init__(self, executable: str, directory: Path) -> None:
        self.directory = directory
        self.log = directory / "server.log"
        places = {f"--{name}-dir": str(directory / name) for name in ("data", "queue", "log")}
        listen = {"--rpc-listen": "127.0.0.1:0", "--http-listen": "127.0.0.1:0"}
        flags = [word for pair in (places | listen).items() for word in pair]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen([executable, "serve", *flags], stdout=subprocess.PIPE, stderr=log)
        self.rpc, self.http = self._ready()

    def _ready(self) -> tuple[str, str]:
        output = self.process.stdout
        assert output is not None
        if select.select([output], [], [], 30)[0]:
            line = output.readline().decode()
            match = re.match(r"ready rpc=(\S+) http=(\S+)$", line.strip())
            if match:
                return match[1], match[2]
        self.process.kill()
        sys.exit(f"the server did not get ready:\n{self.log.read_text()}")

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            sys.exit("the server did not stop within 30 s of SIGTERM")


def paint(word: str, text: str | None = None) -> str:
    text = word if text is None else text
    colour = COLOURS.get(word)
    return f"\033[{colour}m{text}\033[0m" if colour and sys.stdout.isatty() and "NO_COLOR" not in os.environ else text


def heading(text: str) -> None:
    print(f"\n-- {text}")


def submit_all(client: Client) -> dict[str, Expected]:
    """A handful of real processes, and what each should come to."""
    python = [sys.executable, "-c"]
    by_file = "import json, os; json.dump({'sum': sum(range(101))}, open(os.environ['DSPY_RESULT_PATH'], 'w'))"
    client.submit([*python, by_file], job_id="sum")
    by_line = (
        "import json, os, sys; print('__DSPY_RESULT__:' + json.dumps([os.environ['TONE'], *sys.stdin.read().split()]))"
    )
    client.submit([*python, by_line], job_id="words", stdin="three small words", env={"TONE": "calm"})
    expected = {
        "sum": Expected("succeeded", result={"sum": 5050}),
        "words": Expected("succeeded", result=["calm", "three", "small", "words"]),
    }
    for number in range(1, 5):
        script = f"sleep 0.4; echo '__DSPY_RESULT__:{number * number}'"
        client.submit(["sh", "-c", script], job_id=f"batch-{number}", labels={"batch": "squares"})
        expected[f"batch-{number}"] = Expected("succeeded", result=number * number)
    client.submit(["sh", "-c", "echo 'no such dataset' >&2; exit 3"], job_id="exits-with-3")
    expected["exits-with-3"] = Expected("failed", "exit_code", exit_code=3)
    client.submit(["sleep", "60"], job_id="too-slow", timeout=1)
    expected["too-slow"] = Expected("failed", "timeout")
    return expected


def show_event(event: Event, began: float) -> None:
    state = paint(event.state.value, f"{event.state.value:<10}")
    print(f"  {event.time.timestamp() - began:7.3f} s  #{event.sequence:<4} {event.type:<15} {state} {event.job_id}")


def show_end(job: Job) -> None:
    started, finished = job.started_at, job.finished_at
    took = f"{(finished - started).total_seconds():6.3f} s" if started and finished else " " * 8
    told = json.dumps(job.result) if job.state == "succeeded" else job.error
    print(f"  {job.job_id:<13} {paint(job.state.value, f'{job.state.value:<10}')} {took}  {told}")


def faults_of(job: Job, expected: Expected) -> list[str]:
    reason = job.failure_reason.value if job.failure_reason else None
    got = Expected(job.state.value, reason, job.exit_code if reason != "timeout" else 0, job.result)
    return [] if got == expected else [f"{job.job_id}: expected {expected}, got {got}"]


def run_jobs(client: Client) -> list[str]:
    began = time.time()
    expected = submit_all(client)
    heading(f"{len(expected)} jobs submitted; their events as they come")
    for event in client.events(job_ids=list(expected), end_when_done=True, timeout=60):
        show_event(event, began)
    heading("how each ended")
    faults = []
    for job_id, wanted in expected.items():
        job = client.status(job_id)
        show_end(job)
        faults += faults_of(job, wanted)
    return faults


def use_file_queue(server: Server) -> list[str]:
    heading("a task dropped in the file queue")
    queue = server.directory / "queue"
    task = {"id": "from-a-file", "class": "cpu_short", "payload": {"command": ["echo", '__DSPY_RESULT__:"hello"']}}
    (queue / "pending" / "from-a-file.json").write_text(json.dumps(task))
    print(f"  pending/from-a-file.json  {json.dumps(task)}")
    done = queue / "done" / "from-a-file.json"
    deadline = time.monotonic() + 20
    while not done.exists():
        if time.monotonic() > deadline:
            return ["done/from-a-file.json did not appear within 20 s"]
        time.sleep(0.02)
    record = json.loads(done.read_text())
    shown = {key: record.get(key) for key in ("id", "status", "exit_code", "duration_ms", "result")}
    print(f"  done/from-a-file.json     {json.dumps(shown)}")
    return [] if record.get("result") == "hello" else [f"done/from-a-file.json has result {record.get('result')!r}"]


def scrape(server: Server) -> list[str]:
    heading(f"curl http://{server.http}/metrics")
    text = subprocess.run(
        ["curl", "--silent", "--show-error", "--fail", f"http://{server.http}/metrics"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    lines = [line for line in text.splitlines() if MAIN_METRICS.match(line) and not line.endswith(" 0")]
    print("\n".join(f"  {line}" for line in lines))
    print(f"  … {sum(not line.startswith('#') for line in text.splitlines())} samples in all")
    return [] if lines else ["/metrics shows none of the main metrics"]


def main(executable: str) -> int:
    with tempfile.TemporaryDirectory(prefix="dspy-orchestrator-demo-") as directory:
        server = Server(executable, Path(directory))
        try:
            print(f"server ready: rpc on {server.rpc}, http on {server.http}")
            with Client(server.rpc) as client:
                faults = run_jobs(client)
            faults += use_file_queue(server)
            faults += scrape(server)
            heading("SIGTERM")
            code = server.stop()
            print(f"  the server drained and exited with {code}")
            faults += [] if code == 0 else [f"the server exited with {code}, not 0"]
        finally:
            if server.process.poll() is None:
                server.process.kill()
                server.process.wait()
    print()
    for fault in faults:
        print(f"NOT AS EXPECTED: {fault}", file=sys.stderr)
    if not faults:
        print("all as expected")
    return 1 if faults else 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1]))
