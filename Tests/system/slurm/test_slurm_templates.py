"""The templates of deploy/slurm, with the programs that they start replaced by ones that tell what they were given."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster import Cluster
from server import ROOT, Server

from dspy_orchestrator import Client, OrchestratorError

HOSTILE = [
    "$(touch injected)`touch injected`",
    "'; touch injected; '",
    '" && touch injected && "',
    "--model=other",
    "größe 模型 🚀 \\ ${HOME} *",
    "x" * 100_000,
]


@pytest.fixture
def stopped_server(stopped_server: Server) -> Server:
    stopped_server.flags += ("--slurm-templates", str(ROOT / "deploy/slurm"))
    return stopped_server


@pytest.fixture
def venv(tmp_path: Path) -> Iterator[Path]:
    """What a payload's `venv` names: a trainer and a torchrun that put their arguments into the result."""
    (tmp_path / "venv/bin").mkdir(parents=True)
    (tmp_path / "venv/bin/activate").write_text(
        f"export PATH={tmp_path}/venv/bin:$PATH PYTHONPATH={tmp_path}/modules\n"
    )
    tell = (
        "import json, os, sys\n"
        "payload = json.load(open(os.environ['DSPY_PAYLOAD_PATH']))\n"
        "told = {'arguments': sys.argv[1:], 'payload': payload, 'node': os.environ['SLURMD_NODENAME']}\n"
    )
    package = tmp_path / "modules/dspy_train"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "grpo.py").write_text(tell + "json.dump(told, open(os.environ['DSPY_RESULT_PATH'], 'w'))\n")
    torchrun = tmp_path / "venv/bin/torchrun"
    torchrun.write_text(
        f"#!/usr/bin/env python3\n{tell}print('node', told['node'])\n"
        "if os.environ['SLURM_PROCID'] == '0': json.dump(told, open(os.environ['DSPY_RESULT_PATH'], 'w'))\n"
    )
    torchrun.chmod(0o755)
    yield tmp_path / "venv"
    assert not list(tmp_path.rglob("injected"))


@pytest.mark.parametrize("hostile", HOSTILE, ids=lambda text: text[:20])
def test_grpo_gets_hostile_parameters_as_they_are(client: Client, venv: Path, hostile: str) -> None:
    payload = {"method": "grpo", "module": hostile, "dataset": hostile, "model": "m", "steps": 7, "venv": str(venv)}
    client.submit(payload=payload, job_class="gpu_slurm", job_id="train")
    job = client.wait("train", timeout=90)
    assert job.state == "succeeded", job
    assert isinstance(job.result, dict)
    arguments = job.result["arguments"]
    given = dict(zip(arguments[::2], arguments[1::2], strict=True))
    assert {name: given[name] for name in ("--module", "--dataset", "--model", "--steps")} == {
        "--module": hostile,
        "--dataset": hostile,
        "--model": "m",
        "--steps": "7",
    }
    assert job.result["payload"] == payload


def test_torchrun_runs_on_every_node(client: Client, venv: Path) -> None:
    payload = {
        "template": "torchrun",
        "script": "/somewhere/it's here/train.py",
        "venv": str(venv),
        "slurm": {"nodes": 2, "gpus_per_node": 2, "time_limit": 5},
    }
    client.submit(payload=payload, job_class="gpu_slurm", job_id="distributed")
    job = client.wait("distributed", timeout=90)
    assert job.state == "succeeded", job
    assert isinstance(job.result, dict)
    arguments = job.result["arguments"]
    assert arguments[:4] == ["--nnodes", "2", "--nproc-per-node", "2"]
    assert arguments[-1] == payload["script"]
    assert arguments[arguments.index("--rdzv-id") + 1] == job.slurm_job_id
    with client.logs("distributed", stream="stdout") as chunks:
        lines = b"".join(chunk.data for chunk in chunks).split(b"\n")
    assert sorted(lines) == [b"", b"node n1", b"node n2"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"module": "two\nlines"}, "payload.module has a control character"),
        ({"module": "x" * 200_000}, "payload.module has 200000 bytes"),
        ({"module": None}, "payload.module is missing"),
        ({"method": "nonsense"}, "there are grpo, torchrun"),
        ({"template": "../grpo"}, "names no batch template"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_parameters_that_are_none_are_refused_by_name(client: Client, change: dict[str, object], words: str) -> None:
    payload = {"method": "grpo", "module": "m", "dataset": "d", "model": "m"} | change
    with pytest.raises(OrchestratorError) as refusal:
        client.submit(payload=payload, job_class="gpu_slurm")
    assert words in str(refusal.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("#!/bin/bash\n#SBATCH --nodes=${NODES:-1}\n", "line 2: sbatch reads directives literally"),
        ("#!/bin/bash\n\n#SBATCH --job-name=mine\n", "line 3: --job-name is set by this server"),
        ("echo no interpreter\n", "does not start with #!"),
    ],
)
def test_a_template_that_is_not_in_order_stops_the_start(
    stopped_server: Server, cluster: Cluster, tmp_path: Path, text: str, words: str
) -> None:
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates/bad.sbatch").write_text(text)
    stopped_server.flags += ("--slurm-templates", str(tmp_path / "templates"))
    assert stopped_server.begin().wait(30)
    assert stopped_server.wait(30) != 0
    assert "bad.sbatch" in stopped_server.errors()
    assert words in stopped_server.errors()
