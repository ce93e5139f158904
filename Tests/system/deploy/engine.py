"""A Docker engine of the test's own, with its images and networks apart from the machine's, and what it is fed with."""

from __future__ import annotations

import functools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from eventually import eventually
from programs import RUNNER
from server import EXECUTABLE, ROOT

IMAGE = "dspy-orchestrator:test"
EXTRA_IMAGE = "dspy-orchestrator:test-extra"
"""With further packages. One for all, as each image with some takes a while to make."""

PROMETHEUS_IMAGE = "prometheus:test"
"""Debian's Prometheus, started as the official image starts its own."""

COMPOSE_FILE = ROOT / "docker" / "lightweight" / "docker-compose.yml"
DOCKERFILE = ROOT / "docker" / "lightweight" / "Dockerfile"

PROMETHEUS_DOCKERFILE = f"""
FROM {EXTRA_IMAGE}
USER root
RUN install --directory --owner nobody --group nogroup /prometheus
USER nobody
ENTRYPOINT ["prometheus"]
CMD ["--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/prometheus"]
"""

# Debian's own client, which brings BuildKit along: newer ones want a plugin for it.
DOCKER = "/usr/bin/docker" if Path("/usr/bin/docker").exists() else "docker"


class Engine:
    """dockerd by hand. ``start`` it in the machine's network to build, or in one of its own to run containers."""

    def __init__(self) -> None:
        # Not pytest's directory: the path of a socket has at most 107 bytes.
        self.directory = Path(tempfile.mkdtemp(prefix="dspy-docker-"))
        self.environment = os.environ | {
            "DOCKER_HOST": f"unix://{self.directory}/docker.sock",
            "DOCKER_BUILDKIT": "1",
            "DOCKER_CONFIG": str(self.directory / "config"),
        }
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *, builds: bool) -> None:
        directory = self.directory
        dockerd = ["dockerd", "--host", f"unix://{directory}/docker.sock", "--data-root", f"{directory}/data"]
        dockerd += ["--exec-root", f"{directory}/exec", "--pidfile", f"{directory}/docker.pid"]
        if builds:
            command = [*dockerd, "--bridge", "none", "--iptables=false"]
        else:
            command = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh", *dockerd]
        with (directory / "dockerd.log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)

        def answers() -> bool:
            assert self.process is not None
            assert self.process.poll() is None, f"dockerd ended:\n{self.log()}"
            return self.run("docker", "version", check=False).returncode == 0

        eventually(answers, f"dockerd answers:\n{self.log()}", 60)

    def stop(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(60)
            self.process = None

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def log(self) -> str:
        return (self.directory / "dockerd.log").read_text(errors="replace")[-2000:]

    def run(
        self, program: str, *arguments: str, check: bool = True, timeout: float = 120, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        ended = subprocess.run(
            [DOCKER if program == "docker" else program, *arguments],
            env=self.environment | environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        assert not check or ended.returncode == 0, f"{program} {' '.join(arguments)}:\n{ended.stdout}{ended.stderr}"
        return ended

    def docker(self, *arguments: str, timeout: float = 120) -> str:
        return self.run("docker", *arguments, timeout=timeout).stdout.strip()

    def inspect(self, container: str) -> Any:
        return json.loads(self.docker("inspect", container))[0]

    def build_images(self) -> None:
        """The Dockerfile's own images, from programs that were built already and a base made of Debian's packages."""
        base = self.directory / "base.tar"
        subprocess.run(["mmdebstrap", "--quiet", "--variant=minbase", "bookworm", str(base)], check=True, timeout=600)
        self.docker("import", str(base), "debian:test")
        base.unlink()
        self.docker("import", str(programs_archive(self.directory)), "dspy-programs:test")
        for tag, packages in ((IMAGE, ""), (EXTRA_IMAGE, "munge prometheus")):
            arguments = ["DEBIAN_IMAGE=debian:test", "PROGRAMS=dspy-programs:test", f"EXTRA_PACKAGES={packages}"]
            self.docker(
                *["build", "--network", "host", "--file", str(DOCKERFILE), "--tag", tag],
                *[word for each in arguments for word in ("--build-arg", each)],
                str(ROOT),
                timeout=600,
            )
        prometheus = self.directory / "prometheus"
        prometheus.mkdir()
        (prometheus / "Dockerfile").write_text(PROMETHEUS_DOCKERFILE)
        self.docker("build", "--network", "none", "--tag", PROMETHEUS_IMAGE, str(prometheus))


def programs_archive(directory: Path) -> Path:
    """What a build stage leaves in /out: the programs, and Swift's libraries, which a static build has inside."""
    out = directory / "programs" / "out"
    programs = [Path(EXECUTABLE), Path(EXECUTABLE).with_name("dspy-job-supervisor"), RUNNER]
    (out / "usr" / "bin").mkdir(parents=True)
    for program in programs:
        if program.exists():
            shutil.copy(program, out / "usr" / "bin")
    libraries = subprocess.run(["ldd", *map(str, programs[:2])], capture_output=True, text=True, check=True).stdout
    for path in sorted(set(re.findall(r"=> (/\S*/swift/linux/\S+)", libraries))):
        place = out / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, place)
    archive = directory / "programs.tar"
    subprocess.run(["tar", "--create", "--file", archive, "--directory", out.parent, "out"], check=True)
    shutil.rmtree(out.parent)
    return archive


class Project:
    """The services of docker-compose.yml, brought up under a name of the test's own."""

    def __init__(self, engine: Engine, name: str) -> None:
        self.engine = engine
        self.name = name

    def compose(self, *arguments: str) -> str:
        return self.engine.run(
            *["docker-compose", "--file", str(COMPOSE_FILE), "--project-name", self.name, *arguments],
            DSPY_IMAGE=IMAGE,
            PROMETHEUS_IMAGE=PROMETHEUS_IMAGE,
        ).stdout

    def up(self, *services: str) -> None:
        self.compose("up", "--detach", "--no-build", *services)
        self.until_healthy()

    def until_healthy(self) -> None:
        for container in self.containers():
            eventually(functools.partial(self._is_healthy, container), f"{container} is healthy", 90)

    def _is_healthy(self, container: str) -> bool:
        return bool(self.engine.inspect(container)["State"].get("Health", {}).get("Status") == "healthy")

    def containers(self, service: str | None = None) -> list[str]:
        return self.compose("ps", "--quiet", *([service] if service else [])).split()

    @property
    def orchestrator(self) -> str:
        (container,) = self.containers("orchestrator")
        return container

    @property
    def queue(self) -> Path:
        """The file queue, as this machine sees it."""
        return Path(self.engine.docker("volume", "inspect", "--format", "{{.Mountpoint}}", f"{self.name}_queue"))

    def kill(self, container: str) -> None:
        """SIGKILL to its first process, and so to all of them, behind the engine's back."""
        before = self.engine.inspect(container)
        os.kill(before["State"]["Pid"], signal.SIGKILL)
        eventually(
            lambda: self.engine.inspect(container)["RestartCount"] > before["RestartCount"],
            f"{container} is restarted",
            60,
        )

    def asked_inside(self, url: str) -> Any:
        """JSON, as the server's container gets it from another one."""
        return json.loads(self.engine.docker("exec", self.orchestrator, "curl", "--fail", "--silent", "--globoff", url))

    def states(self) -> dict[str, str]:
        """Of all jobs, by HTTP."""
        answer = self.asked_inside("http://127.0.0.1:9097/v1/jobs?page_size=1000")
        return {job["job_id"]: job["state"] for job in answer["jobs"]}

    def python(self, *arguments: str) -> str:
        """Python, from outside of the containers, where the published ports are."""
        assert self.engine.process is not None
        network = f"--net=/proc/{self.engine.process.pid}/ns/net"
        return self.engine.run("nsenter", network, sys.executable, *arguments).stdout

    def orch(self, *arguments: str) -> str:
        """dspy-orch, by the published port."""
        return self.python("-m", "dspy_orchestrator.cli", "--target", "127.0.0.1:50051", *arguments)

    def down(self) -> None:
        self.compose("down", "--volumes", "--timeout", "1")
