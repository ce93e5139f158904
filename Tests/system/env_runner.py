"""A dspy-env-runner as a user would start it, on a queue directory that others may share."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from processes import end_processes_under
from server import EXECUTABLE, READY_SECONDS, Answer

RUNNER = os.environ.get("DSPY_ENV_RUNNER_EXECUTABLE") or str(Path(EXECUTABLE).with_name("dspy-env-runner"))


class EnvRunner:
    """One data directory and, after ``start``, the runner on it."""

    def __init__(self, directory: Path, queue: Path, *flags: str, **environment: str) -> None:
        directory.mkdir(exist_ok=True)
        self.directory, self.queue = directory, queue
        self.flags = flags
        self.environment = environment
        self.process: subprocess.Popen[str] | None = None
        self.http = ""

    def arguments(self) -> list[str]:
        places = [
            "--data-dir",
            str(self.directory / "data"),
            "--queue-dir",
            str(self.queue),
        ]
        listen = [] if "METRICS_PORT" in self.environment else ["--http-listen", self.http or "127.0.0.1:0"]
        return [RUNNER, *places, *listen, *self.flags]

    def start(self) -> EnvRunner:
        ready = threading.Event()
        with (self.directory / "runner.log").open("ab") as errors:
            self.process = subprocess.Popen(
                self.arguments(),
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                cwd=self.directory,
                env=os.environ | self.environment,
            )
        threading.Thread(target=self._read, args=(self.process, ready), daemon=True).start()
        ready.wait(READY_SECONDS)
        assert self.http, f"no ready line:\n{self.errors()}"
        return self

    def _read(self, process: subprocess.Popen[str], ready: threading.Event) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            match = re.fullmatch(r"ready http=(\S+)\n", line)
            if match:
                self.http = match[1]
                ready.set()
        ready.set()

    def errors(self) -> str:
        return (self.directory / "runner.log").read_text(errors="replace")[-4000:]

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def stop(self, timeout: float = 60) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout)
        self.process = None
        return code

    def kill(self) -> None:
        """kill -9: nothing of the runner's own gets to run."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        self.process = None

    def close(self) -> None:
        if self.process is not None:
            self.kill()
        end_processes_under(self.directory)

    def request(self, path: str) -> Answer:
        try:
            with urllib.request.urlopen(f"http://{self.http}{path}", timeout=30) as response:
                return Answer(response.status, dict(response.headers), response.read())
        except urllib.error.HTTPError as error:
            return Answer(error.code, dict(error.headers), error.read())

    def metrics(self) -> Any:
        return self.request("/metrics").json
