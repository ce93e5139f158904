from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import datetime, timedelta, timezone

import grpc
import pytest
from fake_orchestrator import Failure, FakeOrchestrator
from google.protobuf import timestamp_pb2
from typer.testing import CliRunner, Result

from dspy_orchestrator import JobState, OrchestratorError
from dspy_orchestrator.cli import complete, present
from dspy_orchestrator.cli.main import app
from dspy_orchestrator.cli.session import exit_code
from dspy_orchestrator.v1 import orchestrator_pb2 as pb
from dspy_orchestrator.wire import job as from_wire

Run = Callable[..., Result]


@pytest.fixture
def run(fake: FakeOrchestrator) -> Run:
    def invoke(*arguments: str, stdin: str | None = None) -> Result:
        return CliRunner().invoke(app, ["--target", fake.target, *arguments], input=stdin)

    return invoke


def ends(fake: FakeOrchestrator, job_id: str, state: pb.JobState, **fields: object) -> None:
    """Ends the job a moment from now."""

    def end() -> None:
        fake.until(lambda: job_id in fake.jobs)
        fake.jobs[job_id].MergeFrom(pb.Job(attempt=1, **fields))  # type: ignore[arg-type]
        fake.emit(job_id, "task_completed" if state == pb.JOB_STATE_SUCCEEDED else "task_failed", state)

    threading.Timer(0.1, end).start()


def test_submit_prints_the_id_and_nothing_else(fake: FakeOrchestrator, run: Run) -> None:
    ended = run("submit", "--id", "a", "-c", "gpu", "-l", "team=red", "-e", "A=b", "--", "echo", "--wait")
    assert (ended.exit_code, ended.stdout) == (0, "a\n")
    request = fake.requests["SubmitJob"][0]
    assert json.loads(request.payload) == {"command": ["echo", "--wait"], "env": {"A": "b"}}
    assert (request.job_class, request.labels) == (pb.JOB_CLASS_GPU, {"team": "red"})


@pytest.mark.parametrize(
    ("state", "fields", "code"),
    [
        (pb.JOB_STATE_SUCCEEDED, {"result": b'{"loss": 1}'}, 0),
        (pb.JOB_STATE_FAILED, {"exit_code": 3, "failure_reason": pb.FAILURE_REASON_EXIT_CODE}, 3),
        (pb.JOB_STATE_FAILED, {"signal": 9, "failure_reason": pb.FAILURE_REASON_SIGNAL}, 137),
        (pb.JOB_STATE_FAILED, {"signal": 15, "failure_reason": pb.FAILURE_REASON_TIMEOUT}, 124),
        (pb.JOB_STATE_FAILED, {"failure_reason": pb.FAILURE_REASON_LOST}, 1),
        (pb.JOB_STATE_CANCELLED, {}, 130),
    ],
)
def test_the_exit_code_is_the_jobs_outcome(
    fake: FakeOrchestrator, run: Run, state: pb.JobState, fields: dict[str, object], code: int
) -> None:
    ends(fake, "a", state, **fields)
    ended = run("submit", "--id", "a", "--wait", "--", "true")
    assert ended.exit_code == code
    assert ended.stdout == ('{"loss": 1}\n' if code == 0 else "")
    assert ended.stderr.splitlines()[0] == "a"


def test_follow_shows_the_output_as_it_is(fake: FakeOrchestrator, run: Run) -> None:
    fake.logs["a", "stdout"], fake.logs["a", "stderr"] = b"out\n\xff", b"err"
    ends(fake, "a", pb.JOB_STATE_SUCCEEDED)
    ended = run("submit", "--id", "a", "--follow", "--", "true")
    assert (ended.exit_code, ended.stdout_bytes) == (0, b"out\n\xff")
    assert "err" in ended.stderr
    assert run("logs", "a", "-f").stdout_bytes == b"out\n\xff"
    assert run("logs", "a", "--stream", "stderr").stderr == "err"


def test_jobs_come_as_json_lines(fake: FakeOrchestrator, run: Run) -> None:
    lines = [{"id": "a", "class": "gpu", "payload": {"command": ["true"]}}, {"id": "b", "timeout_seconds": 3}]
    ended = run("submit", "--json", "-", stdin="\n".join(map(json.dumps, lines)))
    assert (ended.exit_code, ended.stdout) == (0, "a\nb\n")
    jobs = fake.requests["SubmitJobs"][0].jobs
    assert (jobs[0].job_class, jobs[1].timeout.seconds) == (pb.JOB_CLASS_GPU, 3)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["submit"], "command after --"),
        (["submit", "--json", "-", "--", "true"], "all of the job"),
        (["submit", "--json", "/nowhere"], "can't be read"),
        (["submit", "--label", "x", "--", "true"], "no NAME=VALUE"),
        (["submit", "--payload", "[]"], "object is expected"),
        (["submit", "--payload", "{"], "no JSON"),
    ],
)
def test_a_wrong_command_line_says_what_is_wrong(run: Run, arguments: list[str], words: str) -> None:
    ended = run(*arguments)
    assert ended.exit_code == 2
    assert words in " ".join(ended.stderr.replace("│", " ").split())


def test_a_wrong_key_in_json_says_which_there_are(run: Run) -> None:
    ended = run("submit", "--json", "-", stdin='{"command": ["true"]}')
    assert ended.exit_code == 2
    assert "no key 'command'" in " ".join(ended.stderr.replace("│", " ").split())


def test_status_shows_what_there_is_to_say(fake: FakeOrchestrator, run: Run) -> None:
    fake.add_job("a", pb.JOB_STATE_FAILED, exit_code=4, error="no such row", labels={"k": "v"})
    ended = run("status", "a")
    assert ended.exit_code == 4
    assert "no such row" in ended.stdout
    found = json.loads(run("status", "a", "--json").stdout)
    assert (found["state"], found["labels"], found["result"]) == ("failed", {"k": "v"}, None)


def test_list_is_lines_with_tabs_in_a_pipe(fake: FakeOrchestrator, run: Run) -> None:
    for name in "ab":
        fake.add_job(name, pb.JOB_STATE_RUNNING)
    lines = [line.split("\t") for line in run("list", "--state", "running", "-n", "1").stdout.splitlines()]
    assert [line[:3] for line in lines] == [["b", "cpu_short", "running"]]
    assert list(fake.requests["ListJobs"][0].states) == [pb.JOB_STATE_RUNNING]
    assert [json.loads(line)["job_id"] for line in run("list", "--json").stdout.splitlines()] == ["b", "a"]


def test_events_end_with_the_newest_unless_followed(fake: FakeOrchestrator, run: Run) -> None:
    fake.add_job("a")
    fake.emit("a", "task_submitted", pb.JOB_STATE_QUEUED)
    fake.emit("a", "task_completed", pb.JOB_STATE_SUCCEEDED)
    fake.metrics.metrics.add(name="orchestrator_last_sequence", type=pb.METRIC_TYPE_GAUGE, value=2)
    assert [line.split()[2] for line in run("events").stdout.splitlines()] == ["task_submitted", "task_completed"]
    followed = run("events", "-f", "--json", "a").stdout.splitlines()
    assert [json.loads(line)["sequence"] for line in followed] == [1, 2]


def test_watch_in_a_pipe_prints_changes_and_ends_with_the_jobs(fake: FakeOrchestrator, run: Run) -> None:
    fake.add_job("a", pb.JOB_STATE_RUNNING)
    fake.jobs["a"].MergeFrom(pb.Job(attempt=1))

    def end() -> None:
        # The first look has been answered.
        fake.until(lambda: len(fake.requests["GetStatus"]) >= 2)
        fake.jobs["a"].MergeFrom(pb.Job(exit_code=2))
        fake.emit("a", "task_failed", pb.JOB_STATE_FAILED)

    threading.Thread(target=end, daemon=True).start()
    ended = run("watch", "a", "--interval", "0.2")
    assert [line.split("\t")[2] for line in ended.stdout.splitlines()] == ["running", "failed"]
    assert ended.exit_code == 2


def test_cancel_goes_on_after_a_job_that_is_not_there(fake: FakeOrchestrator, run: Run) -> None:
    fake.add_job("done", pb.JOB_STATE_SUCCEEDED)
    ended = run("cancel", "done", "--reason", "no use")
    assert (ended.exit_code, ended.stderr) == (0, "done has ended already: succeeded\n")
    assert fake.requests["CancelJob"][0].reason == "no use"


def test_requeue_goes_on_after_a_job_that_can_not_be(fake: FakeOrchestrator, run: Run) -> None:
    fake.add_job("local", pb.JOB_STATE_RUNNING)
    fake.add_job("batch", pb.JOB_STATE_SUBMITTED)
    fake.failures["RequeueJob"].append(Failure(grpc.StatusCode.FAILED_PRECONDITION, "job is of class gpu"))
    ended = run("requeue", "local", "batch", "--reason", "a hung node")
    assert ended.exit_code == 1
    assert ended.stderr == "dspy-orch: job is of class gpu\nbatch submitted\n"
    assert [request.reason for request in fake.requests["RequeueJob"]] == ["a hung node"] * 2


def test_metrics_and_top_show_the_numbers(fake: FakeOrchestrator, run: Run) -> None:
    fake.metrics.metrics.add(name="depth", labels={"class": "gpu"}, type=pb.METRIC_TYPE_GAUGE, value=2)
    fake.metrics.classes.add(job_class=pb.JOB_CLASS_GPU, queue_depth=2, p95_seconds=75)
    assert run("metrics", "dep").stdout == 'depth{class="gpu"}\t2\n'
    assert json.loads(run("metrics", "--json").stdout)["classes"]["gpu"]["p95_seconds"] == 75
    assert "1m15s" in run("top", "--once").stdout


def test_doctor_says_what_is_well_and_what_is_not(
    fake: FakeOrchestrator, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DSPY_ORCHESTRATOR_TOKN", "x")
    ended = run("doctor")
    assert ended.exit_code == 0
    assert "DSPY_ORCHESTRATOR_TOKN is set, which nothing reads: is DSPY_ORCHESTRATOR_TOKEN meant?" in ended.stdout
    assert "Slurm is not set up" in ended.stdout
    fake.serving = b"\x08\x02"
    assert run("doctor").exit_code == 1
    fake.stop()
    ended = run("--timeout", "0.5", "doctor")
    assert ended.exit_code == 1
    assert "dspy-orchestrator serve" in ended.stdout


def test_completion_offers_words_and_jobs_and_never_fails(
    fake: FakeOrchestrator, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.add_job("job-1")
    fake.add_job("other")
    monkeypatch.setenv("DSPY_ORCHESTRATOR_TARGET", fake.target)
    assert complete.jobs("jo") == ["job-1"]
    assert complete.states("s") == ["submitted", "succeeded"]
    assert complete.job_classes("gpu") == ["gpu", "gpu_slurm"]
    fake.stop()
    assert complete.jobs("") == []


def program(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "dspy_orchestrator.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=os.environ | environment)


def test_an_error_is_one_line_with_an_exit_code_of_its_own(fake: FakeOrchestrator) -> None:
    ended = program("--target", fake.target, "status", "nope")
    assert (ended.returncode, ended.stdout, ended.stderr) == (1, "", "dspy-orch: no job nope\n")
    ended = program("--timeout", "0.3", "status", "nope", DSPY_ORCHESTRATOR_TARGET="127.0.0.1:1")
    assert ended.returncode == 69
    assert len(ended.stderr.splitlines()) == 1


def test_a_reader_that_leaves_early_is_no_error(fake: FakeOrchestrator) -> None:
    for number in range(300):
        fake.add_job(f"job-{number}")
    command = f"{sys.executable} -m dspy_orchestrator.cli -t {fake.target} list -n 300 | head -n 1"
    ended = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=60)
    assert ended.stdout.startswith("job-299\t")
    assert ended.stderr == ""


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.35, "350ms"), (12, "12s"), (185, "3m05s"), (7800, "2h10m"), (352800, "4d02h")]
)
def test_durations_are_short(seconds: float, text: str) -> None:
    assert present.duration(seconds) == text


def test_a_running_job_has_run_until_now() -> None:
    started = datetime(2026, 1, 1, tzinfo=timezone.utc)
    message = pb.Job(job_id="a", state=pb.JOB_STATE_RUNNING, started_at=timestamp_pb2.Timestamp())
    message.started_at.FromDatetime(started)
    job = from_wire(message)
    assert present.took(job, started + timedelta(seconds=90)) == "1m30s"
    assert job.state is JobState.RUNNING
    assert exit_code(job) == 1
    assert issubclass(OrchestratorError, Exception)
