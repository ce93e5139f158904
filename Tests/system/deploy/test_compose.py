"""The image, built and started by a real Docker engine, the services of docker-compose.yml, and the chart's munged."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from chart import one, values
from engine import COMPOSE_FILE, DOCKERFILE, EXTRA_IMAGE, IMAGE, Engine, Project
from eventually import eventually
from programs import RUNNER, variables
from server import EXECUTABLE, ROOT

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="dockerd needs root")

SUBMISSION = """
import sys
from dspy_orchestrator import Client, JobSpec, RetryPolicy

with Client("127.0.0.1:50051") as client:
    client.submit_many(JobSpec(command=["sleep", "1"], job_id=name, retry=RetryPolicy(3)) for name in sys.argv[1:])
"""


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    made = Engine()
    try:
        made.start(builds=True)
        made.build_images()
        made.stop()
        made.start(builds=False)
        yield made
    finally:
        made.remove()


@pytest.fixture
def project(engine: Engine) -> Iterator[Project]:
    made = Project(engine, "test")
    try:
        yield made
    finally:
        made.down()


def drop(queue: Path, name: str, *command: str) -> None:
    """As any program would: written elsewhere, renamed into pending/."""
    task = {"id": name, "class": "cpu_short", "payload": {"command": list(command)}}
    (queue / f"{name}.tmp").write_text(json.dumps(task))
    (queue / f"{name}.tmp").rename(queue / "pending" / f"{name}.json")


def done(queue: Path, name: str) -> Any:
    file = queue / "done" / f"{name}.json"
    eventually(file.exists, f"done/{name}.json", 120)
    return json.loads(file.read_text())


@needs_root
@pytest.mark.timeout(900)
def test_the_image_runs_as_nobody_in_particular_and_reaps(engine: Engine) -> None:
    configuration = json.loads(engine.docker("image", "inspect", IMAGE))[0]["Config"]
    assert configuration["User"] == "10001:10001"
    assert configuration["Entrypoint"] == ["/usr/bin/tini", "--"]
    assert configuration["Healthcheck"]["Test"][:2] == ["CMD", "sh"]
    run = ["run", "--rm", "--read-only", "--cap-drop", "ALL", "--network", "none", IMAGE]
    assert (
        engine.docker(*run, "dspy-orchestrator", "--version")
        == subprocess.run([EXECUTABLE, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    )
    writable = engine.docker(*run, "sh", "-c", "touch /usr/x /etc/x /var/lib/x 2>&1 || id --user").splitlines()
    assert writable[-1] == "10001"
    # Not every base throws away what it has unpacked.
    assert ".deb" not in engine.docker(*run, "ls", "/var/cache/apt/archives")


@needs_root
@pytest.mark.timeout(900)
def test_a_job_goes_through_by_rpc_and_by_file(project: Project) -> None:
    project.up("orchestrator")
    assert project.orch("submit", "--wait", "--", "sh", "-c", 'echo "__DSPY_RESULT__:[42]"').split() == ["[42]"]
    drop(project.queue, "by-file", "id", "--user")
    answer = done(project.queue, "by-file")
    assert (answer["status"], answer["exit_code"]) == ("completed", 0)


@needs_root
@pytest.mark.timeout(900)
def test_sigterm_gives_jobs_their_grace_and_exits_0(project: Project) -> None:
    project.up("orchestrator")
    project.orch("submit", "--id", "runs", "--", "sleep", "15")
    eventually(lambda: project.states()["runs"] == "running", "the job runs")
    container = project.orchestrator
    before = time.monotonic()
    project.compose("stop")
    state = project.engine.inspect(container)["State"]
    assert (state["ExitCode"], state["OOMKilled"]) == (0, False)
    assert time.monotonic() - before < 45
    project.up("orchestrator")
    assert project.states()["runs"] == "succeeded"


@needs_root
@pytest.mark.timeout(900)
def test_a_killed_server_comes_back_with_every_job(project: Project) -> None:
    project.up("orchestrator")
    names = [f"job-{number}" for number in range(30)]
    project.python("-c", SUBMISSION, *names)
    project.kill(project.orchestrator)
    project.until_healthy()
    eventually(lambda: set(project.states().values()) == {"succeeded"}, "all jobs succeed", 120)
    assert set(project.states()) == set(names)


@needs_root
@pytest.mark.timeout(900)
def test_nothing_is_lost_when_a_runner_is_killed_and_the_server_restarted(project: Project) -> None:
    project.up()
    runners = project.containers("env-runner")
    assert len(runners) == 2
    queue = project.queue
    names = [f"task-{number}" for number in range(60)]
    for name in names:
        drop(queue, name, "sleep", "1")

    def busy() -> str:
        """A runner that has claimed something; its lease names its host, which is its container."""
        for lease in (queue / "claimed").glob("*/.lease"):
            host = json.loads(lease.read_text() or "{}").get("host", "none")
            for runner in runners:
                if runner.startswith(host) and list(lease.parent.glob("task-*.json")):
                    return runner
        return ""

    project.kill(eventually(busy, "a runner has a task"))
    project.orch("submit", "--id", "by-rpc", "--attempts", "3", "--", "sleep", "2")
    project.compose("restart", "--timeout", "45", "orchestrator")
    project.until_healthy()
    for name in names:
        assert done(queue, name)["status"] == "completed", name
    eventually(lambda: project.states()["by-rpc"] == "succeeded", "the job by RPC succeeds")
    assert not list((queue / "failed").iterdir())
    assert not list((queue / "pending").iterdir())


@needs_root
@pytest.mark.timeout(900)
def test_prometheus_finds_the_server_and_both_runners_and_has_the_rules(project: Project) -> None:
    project.compose("up", "--detach", "--no-build", "orchestrator", "env-runner", "prometheus")
    (prometheus,) = project.containers("prometheus")
    api = "http://prometheus:9090/api/v1"

    def up() -> dict[str, int]:
        assert project.engine.inspect(prometheus)["State"]["Running"], project.compose("logs", "prometheus")
        try:
            found = project.asked_inside(f"{api}/query?query=count+by(job)(up==1)")["data"]["result"]
        except AssertionError:  # not yet listening
            return {}
        return {each["metric"]["job"]: int(each["value"][1]) for each in found}

    eventually(lambda: up() == {"dspy-orchestrator": 1, "dspy-env-runner": 2}, "all are scraped", 90)
    groups = project.asked_inside(f"{api}/rules")["data"]["groups"]
    loaded = {rule["name"] for group in groups for rule in group["rules"]}
    rules = yaml.safe_load((ROOT / "deploy" / "monitoring" / "rules.yml").read_text())["groups"]
    assert loaded == {rule.get("alert") or rule["record"] for group in rules for rule in group["rules"]}


@needs_root
@pytest.mark.timeout(900)
def test_the_charts_munged_signs_for_the_server_beside_it(engine: Engine, tmp_path: Path) -> None:
    """Its containers as the pod has them: user, read-only root, no capabilities, and volumes of the pod's group."""
    pod = one(values("slurm"), "StatefulSet")["spec"]["template"]["spec"]
    user, group = (pod["securityContext"][name] for name in ("runAsUser", "fsGroup"))
    for volume in ("munge", "munge-key", "munge-secret"):
        (tmp_path / volume).mkdir()
        shutil.chown(tmp_path / volume, 0, group)
        (tmp_path / volume).chmod(0o2777)
    key = tmp_path / "munge-secret" / "munge.key"
    key.write_bytes(os.urandom(1024))
    shutil.chown(key, 0, group)
    key.chmod(0o440)
    tmp_path.chmod(0o755)

    def run(container: dict[str, Any], command: list[str], *options: str) -> str:
        mounts = [
            f"--volume={tmp_path / each['name']}:{each['mountPath']}{':ro' if each.get('readOnly') else ''}"
            for each in container["volumeMounts"]
            if (tmp_path / each["name"]).exists()
        ]
        confined = ["--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--network=none"]
        return engine.docker(
            *["run", *options, *confined, f"--user={user}:{group}", *mounts],
            *[f"--entrypoint={command[0]}", EXTRA_IMAGE, *command[1:]],
        )

    (first,) = pod["initContainers"]
    run(first, first["command"], "--rm")
    server, munged = pod["containers"]
    name = run(munged, munged["command"], "--detach")
    try:
        probe = ["docker", "exec", name, *munged["readinessProbe"]["exec"]["command"]]
        eventually(lambda: engine.run(*probe, check=False).returncode == 0, "munged is ready")
        said = run(server, ["sh", "-c", "munge --no-input | unmunge"], "--rm")
        assert re.search(r"STATUS: +Success", said)
        assert re.search(rf"UID: .*\({user}\)", said)
    finally:
        engine.docker("rm", "--force", name)


def test_docker_and_compose_find_no_fault() -> None:
    subprocess.run([ROOT / ".venv/bin/hadolint", str(DOCKERFILE)], check=True, timeout=60)
    subprocess.run(
        [ROOT / ".venv/bin/check-jsonschema", "--builtin-schema", "vendor.compose-spec", str(COMPOSE_FILE)],
        check=True,
        timeout=60,
    )


def test_what_the_profiles_mount_is_there_and_prometheus_takes_it(tmp_path: Path) -> None:
    mounted = {}
    for service in yaml.safe_load(COMPOSE_FILE.read_text())["services"].values():
        for volume in service.get("volumes", []):
            source, _, rest = volume.partition(":")
            if source.startswith("."):
                assert (COMPOSE_FILE.parent / source).is_file(), source
                mounted[rest.removesuffix(":ro")] = COMPOSE_FILE.parent / source
    for name in ("prometheus.yml", "rules.yml"):
        (tmp_path / name).write_text(mounted[f"/etc/prometheus/{name}"].read_text())
    subprocess.run(["promtool", "check", "config", str(tmp_path / "prometheus.yml")], check=True, timeout=60)


@pytest.mark.parametrize(
    ("service", "program", "rest"), [("orchestrator", "ORCHESTRATOR", 25), ("env-runner", "ENV_RUNNER", 15)]
)
def test_there_is_time_to_end_before_the_kill(service: str, program: str, rest: int) -> None:
    content = yaml.safe_load(COMPOSE_FILE.read_text())["services"][service]
    waits = [
        float(content["environment"].get(f"{program}_{name}_SECONDS", 0)) for name in ("DRAIN_DELAY", "SHUTDOWN_GRACE")
    ]
    assert waits[1] > 0
    assert float(content["stop_grace_period"].removesuffix("s")) >= sum(waits) + rest


def test_the_programs_know_every_variable() -> None:
    services = yaml.safe_load(COMPOSE_FILE.read_text())["services"]
    assert set(services["orchestrator"]["environment"]) <= variables(EXECUTABLE)
    assert set(services["env-runner"]["environment"]) - {"HEALTHCHECK_URL"} <= variables(str(RUNNER))
