"""What a batch job writes is bounded on the node, whatever it writes."""

from __future__ import annotations

from pathlib import Path

import pytest
from batch import submit, until_state
from cluster import Cluster
from eventually import eventually
from jobs import shell
from server import Server

from dspy_orchestrator import Client

CAP = 1 << 20
WRITTEN = 100_000_000
FLOOD = f"head -c {WRITTEN} /dev/zero | tr '\\0' x"


@pytest.fixture
def server(stopped_server: Server) -> Server:
    stopped_server.flags += ("--slurm-output-bytes", "1MiB")
    return stopped_server.start()


def attempt(server: Server, name: str) -> Path:
    [found] = server.data.glob(f"jobs/*/{name}/1")
    return found


def text(client: Client, name: str) -> bytes:
    return b"".join(chunk.data for chunk in client.logs(name, stream="stdout"))


def output(server: Server, name: str, query: str = "") -> bytes:
    return server.request(f"/v1/jobs/{name}/logs{query}").body


def test_a_flood_without_a_line_end_is_cut_and_ends_as_it_would_have(
    server: Server, client: Client, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    script = f"{FLOOD}; touch {gate}.written; while [ ! -e {gate} ]; do sleep 0.05; done; printf END; exit 7"
    submit(client, shell(script), "flood")
    eventually(Path(f"{gate}.written").exists, "all of it written", timeout=60)
    # While it runs: the beginning, and the end of what is kept.
    eventually(lambda: len(output(server, "flood")) == CAP, "as much as is kept")
    assert output(server, "flood", "?tail=5") == b"xxxxx"
    until_state(client, "flood", "running")
    gate.touch()
    job = client.wait("flood", timeout=90)
    assert (job.failure_reason, job.exit_code, job.signal) == ("exit_code", 7, 0), job

    chunks = list(client.logs("flood", stream="stdout"))
    assert chunks[0].offset == 0
    last = chunks[-1]
    assert last.truncated
    assert not chunks[0].truncated
    assert last.data.endswith(b"xEND")
    assert last.offset + len(last.data) == WRITTEN + 3
    kept = sum(len(chunk.data) for chunk in chunks)
    assert CAP + (2 << 20) <= kept <= CAP + (4 << 20)
    assert sum(file.stat().st_size for file in attempt(server, "flood").iterdir() if file.is_file()) < CAP + (5 << 20)
    assert output(server, "flood", "?tail=4") == b"xEND"


def test_a_result_behind_a_flood_is_found_and_the_jobs_own_files_are_whole(
    server: Server, client: Client, tmp_path: Path
) -> None:
    own = tmp_path / "own"
    script = f"{FLOOD} | tee {own} >&2; {FLOOD}; echo; echo '__DSPY_RESULT__:{{\"loss\": 1}}'"
    submit(client, shell(script), "result")
    job = client.wait("result", timeout=90)
    assert (job.state, job.result) == ("succeeded", {"loss": 1}), job
    assert own.stat().st_size == WRITTEN


def test_a_job_that_slurm_ends_may_still_say_its_last_words(client: Client, cluster: Cluster) -> None:
    # Into a pipe whose reader got the same signal.
    submit(client, shell("trap 'echo last words; exit 0' TERM; echo ready; while :; do sleep 0.1; done"), "ended")
    running = until_state(client, "ended", "running")
    eventually(lambda: text(client, "ended") == b"ready\n", "its first words")
    cluster.run("scancel", running.slurm_job_id)
    assert client.wait("ended", timeout=90).state == "cancelled"
    assert text(client, "ended") == b"ready\nlast words\n"


def test_output_shows_up_as_it_is_written(client: Client, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    submit(client, shell(f"printf 'no line end yet'; while [ ! -e {gate} ]; do sleep 0.05; done"), "slow")
    with client.logs("slow", stream="stdout", follow=True) as chunks:
        assert next(iter(chunks)).data == b"no line end yet"
        gate.touch()
        assert list(chunks) == []


def test_what_a_command_leaves_running_does_not_keep_its_job(client: Client) -> None:
    submit(client, shell("sleep 600 & echo done"), "left")
    job = client.wait("left", timeout=90)
    assert job.state == "succeeded"
    assert text(client, "left") == b"done\n"


def test_a_requeued_attempt_keeps_to_the_same_bound(
    server: Server, client: Client, cluster: Cluster, tmp_path: Path
) -> None:
    ran = tmp_path / "ran"
    submit(client, shell(f"{FLOOD}; echo x >> {ran}; [ $(wc -l < {ran}) -gt 1 ] || sleep 600"), "again")
    eventually(ran.exists, "the first run's output written", timeout=60)
    running = until_state(client, "again", "running")
    client.requeue("again")
    until_state(client, "again", "submitted")
    cluster.run("scontrol", "update", f"jobid={running.slurm_job_id}", "StartTime=now+2seconds")
    assert client.wait("again", timeout=90).state == "succeeded"
    assert sum(file.stat().st_size for file in attempt(server, "again").iterdir() if file.is_file()) < CAP + (5 << 20)
    *_, last = client.logs("again", stream="stdout")
    assert last.truncated
    assert last.offset + len(last.data) == 2 * WRITTEN
