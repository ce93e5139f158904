from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

from batch import submit, until_state
from cluster import Cluster
from jobs import history, shell
from server import ROOT, Server

from dspy_orchestrator import OrchestratorError


def commands(server: Server) -> dict[str, int]:
    """How often each of Slurm's commands was run."""
    counts: dict[str, int] = {}
    pattern = r'slurm_command_duration_seconds_count\{command="(\w+)",outcome="\w+"\} (\d+)'
    for command, count in re.findall(pattern, server.request("/metrics").text):
        counts[command] = counts.get(command, 0) + int(count)
    return counts


def test_two_hundred_jobs_cost_a_handful_of_questions(stopped_server: Server, cluster: Cluster) -> None:
    stopped_server.flags += ("--slurm-poll-seconds", "5")
    server = stopped_server.start()
    with server.client() as client:
        before = commands(server)
        began = time.monotonic()
        names = [f"many-{number}" for number in range(200)]
        jobs = [{"payload": {"command": ["true"]}, "job_class": "gpu_slurm", "job_id": name} for name in names]
        assert not [job for job in client.submit_many(jobs) if isinstance(job, OrchestratorError)]
        ended = [client.wait(name, timeout=400) for name in names]
        log = history(client, max(job.last_sequence for job in ended))
        after = commands(server)
        seconds = time.monotonic() - began
    assert {job.state for job in ended} == {"succeeded"}
    assert len({job.slurm_job_id for job in ended}) == 200
    assert sum(event.type == "slurm_job_completed" for event in log) == 200
    used = {name: count - before.get(name, 0) for name, count in after.items()}
    assert used["sbatch"] == 200
    # A look every few seconds, whatever the number of jobs; accounting is asked for many at once. A slow
    # machine, on which they take minutes, has more time for looks.
    assert used["squeue"] <= max(60, seconds), used
    assert used.get("sacct", 0) <= max(40, seconds / 2), used
    assert set(used) <= {"sbatch", "squeue", "sacct"}, used


def test_no_more_jobs_are_in_slurm_than_the_limit_says(stopped_server: Server) -> None:
    stopped_server.flags += ("--slurm-max-jobs", "2")
    names = [f"limited-{number}" for number in range(4)]
    with stopped_server.start().client() as client:
        for name in names:
            submit(client, ["sleep", "600"], name)
        until_state(client, names[1], "running")
        assert [client.status(name).state for name in names[2:]] == ["queued", "queued"]
        client.cancel(names[0])
        until_state(client, names[2], "running")
        assert client.status(names[3]).state == "queued"


def test_grpo_of_the_python_client_trains_on_the_cluster(server: Server, tmp_path: Path) -> None:
    printed = subprocess.run(
        [sys.executable, ROOT / "clients/python/examples/grpo_on_slurm.py", tmp_path / "shared"],
        env=os.environ | {"DSPY_ORCHESTRATOR_TARGET": server.rpc},
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert printed.returncode == 0, printed.stderr
    assert printed.stdout.splitlines()[-1] == "trained: dummy-grpo"
    with server.client() as client:
        [job] = [job for job in client.list() if job.job_class == "gpu_slurm"]
        assert job.slurm_job_id


def test_accounting_that_is_down_holds_nothing_up(server: Server, cluster: Cluster) -> None:
    with server.client() as client:
        cluster.stop("slurmdbd")
        try:
            submit(client, shell("exit 6"), "unaccounted")
            assert client.wait("unaccounted", timeout=90).exit_code == 6
            submit(client, ["sleep", "600"], "cancelled")
            running = until_state(client, "cancelled", "running")
            cluster.run("scancel", running.slurm_job_id)
            assert client.wait("cancelled", timeout=90).state == "cancelled"
        finally:
            cluster.up()


def test_output_streams_while_the_job_runs(server: Server) -> None:
    with server.client() as client:
        submit(client, shell("echo first; while [ ! -e go ]; do sleep 0.05; done; echo last"), "talks")
        until_state(client, "talks", "running")
        with client.logs("talks", stream="stdout", follow=True) as chunks:
            text = b""
            for chunk in chunks:
                text += chunk.data
                if text == b"first\n":
                    [work] = server.data.glob("jobs/*/talks/1/work")
                    (work / "go").touch()
        assert text == b"first\nlast\n"


def test_a_template_gets_its_parameters_as_data(stopped_server: Server, cluster: Cluster) -> None:
    templates = stopped_server.directory / "templates"
    templates.mkdir()
    (templates / "echo.sbatch").write_text(
        "#!/bin/bash\n#DSPY require text\n#SBATCH --cpus-per-task=2\n"
        "python3 - <<'END'\nimport json, os\n"
        "print('__DSPY_RESULT__:' + json.dumps([os.environ['DSPY_PARAM_TEXT'], os.environ['DSPY_PARAM_COUNT'],"
        " os.environ['SLURM_CPUS_PER_TASK'], json.load(open(os.environ['DSPY_PAYLOAD_PATH']))['deep']]))\nEND\n"
    )
    stopped_server.flags += ("--slurm-templates", str(templates))
    text = "$(touch injected) `id` \"quoted\" 'single' größe 🚀 \\"
    with stopped_server.start().client() as client:
        payload = {"template": "echo", "text": text, "count": 3, "deep": {"a": [1]}}
        client.submit(payload=payload, job_class="gpu_slurm", job_id="templated")
        job = client.wait("templated", timeout=90)
        assert job.result == [text, "3", "2", {"a": [1]}], job
