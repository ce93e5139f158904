"""How real processes end, and what the job then says."""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path

import pytest
from eventually import eventually
from jobs import occupy, result_line, shell
from processes import is_alive

from dspy_orchestrator import Client, FailureReason, Job, JobFailed, JobState, RetryPolicy


def run(client: Client, *arguments: object, **options: object) -> Job:
    job = client.submit(*arguments, **options)  # type: ignore[arg-type]
    return client.wait(job.job_id, timeout=60)


@pytest.mark.parametrize("job_class", ["cpu_short", "cpu_long", "gpu"])
def test_each_class_of_this_machine_runs_processes(client: Client, job_class: str) -> None:
    job = run(client, shell('echo __DSPY_RESULT__:[\\"$DSPY_JOB_CLASS\\",$DSPY_ATTEMPT]'), job_class=job_class)
    assert job.result == [job_class, 1]


def test_an_exit_code_fails_the_job_with_that_code(client: Client) -> None:
    job = run(client, shell("echo 'no such dataset' >&2; exit 3"))
    assert (job.state, job.failure_reason, job.exit_code, job.signal) == (
        JobState.FAILED,
        FailureReason.EXIT_CODE,
        3,
        0,
    )
    assert "3" in job.error
    with pytest.raises(JobFailed, match=job.job_id):
        job.raise_for_state()


def test_a_signal_fails_the_job_with_that_signal(client: Client) -> None:
    job = run(client, shell("kill -SEGV $$"))
    assert (job.failure_reason, job.exit_code, job.signal) == (FailureReason.SIGNAL, 0, signal.SIGSEGV)


def test_a_job_over_its_time_is_ended_with_all_its_processes(client: Client, tmp_path: Path) -> None:
    script = f"sleep 300 & echo $! > {tmp_path}/child; echo $$ > {tmp_path}/parent; wait"
    begin = time.monotonic()
    job = run(client, shell(script), timeout=4)
    assert (job.state, job.failure_reason) == (JobState.FAILED, FailureReason.TIMEOUT)
    assert time.monotonic() - begin >= 4
    for name in ("child", "parent"):
        pid = int((tmp_path / name).read_text())
        eventually(lambda pid=pid: not is_alive(pid), f"the {name} process gone")  # type: ignore[misc]


def test_a_job_that_ignores_sigterm_is_killed(client: Client) -> None:
    job = run(client, shell("trap '' TERM; while :; do sleep 0.1; done"), timeout=0.5)
    assert job.failure_reason is FailureReason.TIMEOUT


def test_a_program_that_does_not_exist_is_named(client: Client) -> None:
    job = run(client, ["no-such-program-anywhere"])
    assert (job.state, job.failure_reason) == (JobState.FAILED, FailureReason.RUNNER_ERROR)
    assert "no-such-program-anywhere" in job.error


def test_a_directory_that_does_not_exist_is_named(client: Client) -> None:
    job = run(client, ["true"], cwd="/no/such/directory")
    assert job.failure_reason is FailureReason.RUNNER_ERROR
    assert "/no/such/directory" in job.error


def test_the_result_is_what_the_job_wrote_to_its_result_file(client: Client) -> None:
    script = """echo '__DSPY_RESULT__:"from the line"'; printf '{"from": "the file"}' > "$DSPY_RESULT_PATH" """
    assert run(client, shell(script)).result == {"from": "the file"}


def test_without_a_file_the_result_is_the_last_marked_line(client: Client) -> None:
    script = "echo '__DSPY_RESULT__:1'; echo talk; echo '__DSPY_RESULT__:[2, {\"three\": null}]'; echo more talk"
    assert run(client, shell(script)).result == [2, {"three": None}]


def test_a_marked_line_is_found_after_much_output(client: Client) -> None:
    script = "head -c 20000000 /dev/zero | tr '\\0' x | fold; echo; echo '__DSPY_RESULT__:\"late\"'"
    assert run(client, shell(script)).result == "late"


def test_without_either_there_is_no_result(client: Client) -> None:
    job = run(client, ["echo", "nothing to tell"])
    assert (job.state, job.result) == (JobState.SUCCEEDED, None)


def test_a_result_that_is_not_json_does_not_break_the_job_or_its_readers(client: Client) -> None:
    job = run(client, result_line("{broken"))
    assert job.is_done
    assert job.result is None


def test_words_reach_the_process_as_they_are(client: Client) -> None:
    awkward = ["a b", "$HOME", "`id`", "; exit 7", "*", "é", '"', "\\", "", "--"]
    script = "import json, sys; print('__DSPY_RESULT__:' + json.dumps(sys.argv[1:]))"
    assert run(client, [sys.executable, "-c", script, *awkward]).result == awkward


def test_environment_directory_and_standard_input_reach_the_process(client: Client, tmp_path: Path) -> None:
    script = (
        "import json, os, sys; print('__DSPY_RESULT__:' + json.dumps("
        "[os.environ['COLOUR'], os.getcwd(), sys.stdin.read(), os.environ['DSPY_JOB_ID'],"
        " json.load(open(os.environ['DSPY_PAYLOAD_PATH']))['extra']]))"
    )
    job = client.submit(
        [sys.executable, "-c", script],
        payload={"extra": [1]},
        job_id="fed",
        env={"COLOUR": "blue"},
        cwd=tmp_path,
        stdin="line\nanother ü",
    )
    assert client.wait(job.job_id, timeout=60).result == ["blue", str(tmp_path), "line\nanother ü", "fed", [1]]


def test_the_older_form_of_a_payload_is_read_too(client: Client, tmp_path: Path) -> None:
    execution = {
        "command": ["sh", "-c", 'echo "__DSPY_RESULT__:\\"$COLOUR $(pwd)\\""; sleep 60'],
        "env": {"COLOUR": "red"},
        "timeout_seconds": 1,
        "working_dir": str(tmp_path),
    }
    job = run(client, payload={"execution": execution})
    assert job.failure_reason is FailureReason.TIMEOUT


def test_a_failed_attempt_is_followed_by_another_where_the_policy_says_so(client: Client, tmp_path: Path) -> None:
    script = f"test -e {tmp_path}/tried && exit 0; touch {tmp_path}/tried; exit 9"
    job = client.submit(shell(script), retry=RetryPolicy(3, initial_backoff=0.05))
    events = list(client.events(job_ids=[job.job_id], end_when_done=True, timeout=60))
    assert [(event.type, event.attempt) for event in events] == [
        ("task_submitted", 0),
        ("task_started", 1),
        ("task_retrying", 1),
        ("task_started", 2),
        ("task_completed", 2),
    ]
    assert client.status(job.job_id).attempt == 2


def test_attempts_end_where_the_policy_ends(client: Client) -> None:
    job = run(client, shell("exit 9"), retry=RetryPolicy(3, initial_backoff=0.01))
    assert (job.state, job.attempt, job.exit_code) == (JobState.FAILED, 3, 9)


def test_higher_priority_runs_first(client: Client, tmp_path: Path) -> None:
    blockers = occupy(client, "gpu")
    order = tmp_path / "order"
    for name, priority in (("low", -1), ("middle", 0), ("high", 5)):
        client.submit(shell(f"echo {name} >> {order}"), job_id=name, job_class="gpu", priority=priority)
    for blocker in blockers[1:]:
        assert client.status(blocker.job_id).state is JobState.RUNNING
    client.cancel(blockers[0].job_id)
    for name in ("low", "middle", "high"):
        client.wait(name, timeout=60, check=True)
    assert order.read_text().split() == ["high", "middle", "low"]
