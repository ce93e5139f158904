"""The real executable, started as a user would start it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import threading
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import grpc
from eventually import eventually
from processes import end_processes_under

from dspy_orchestrator import Client
from dspy_orchestrator.v1 import orchestrator_pb2_grpc as pb_grpc

ROOT = Path(__file__).resolve().parents[2]

EXECUTABLE = os.environ.get("DSPY_ORCHESTRATOR_EXECUTABLE") or str(ROOT / ".build/debug/dspy-orchestrator")

READY_SECONDS = 30.0
"""Debug builds on a busy machine; a release is ready in a fraction of a second."""


class Server:
    """One directory and, after ``start``, the server on it; it may be stopped, killed and started again."""

    def __init__(self, directory: Path, *flags: str, **environment: str) -> None:
        self.directory = directory
        self.data, self.queue, self.logs = (directory / name for name in ("data", "queue", "logs"))
        self.flags = flags
        self.environment = environment
        self.prefix: list[str] = []
        """A command that runs the server's, such as a tracer; then ``process`` is that one."""
        self.process: subprocess.Popen[str] | None = None
        self.output: list[str] = []
        self.is_ready = False
        self.rpc = ""
        self.http = ""
        self._channels: list[grpc.Channel] = []

    def arguments(self) -> list[str]:
        places = ["--data-dir", str(self.data), "--queue-dir", str(self.queue), "--log-dir", str(self.logs)]
        return [
            EXECUTABLE,
            "serve",
            *["--rpc-listen", self.rpc or "127.0.0.1:0", "--http-listen", self.http or "127.0.0.1:0"],
            *places,
            *self.flags,
        ]

    def start(self) -> Server:
        """Starts it and returns once it is ready: on free ports the first time, on the same ones after that."""
        ready = self.begin()
        if not ready.wait(READY_SECONDS) or not self.is_ready:
            self.kill()
            raise AssertionError(f"no ready line; output {self.output}, errors:\n{self.errors()}")
        return self

    def begin(self) -> threading.Event:
        """Starts it without waiting. The event is set once it is ready, or has ended before that."""
        ready = threading.Event()
        self.is_ready = False
        with self.stderr.open("ab") as errors:
            self.process = subprocess.Popen(
                self.prefix + self.arguments(),
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                cwd=self.directory,
                env=os.environ | self.environment,
            )
        reader = threading.Thread(target=self._read, args=(self.process, ready), daemon=True)
        reader.start()
        return ready

    def _read(self, process: subprocess.Popen[str], ready: threading.Event) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self.output.append(line.rstrip("\n"))
            match = re.fullmatch(r"ready rpc=(\S+) http=(\S+)\n", line)
            if match:
                self.rpc, self.http = match.groups()
                self.is_ready = True
                ready.set()
        ready.set()

    @property
    def stderr(self) -> Path:
        return self.directory / "server.log"

    def errors(self) -> str:
        return self.stderr.read_text(errors="replace")[-4000:]

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def terminate(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)

    def wait(self, timeout: float = 60) -> int:
        assert self.process is not None
        code = self.process.wait(timeout)
        self.process = None
        return code

    def stop(self) -> int:
        self.terminate()
        return self.wait()

    def kill(self) -> None:
        """kill -9: nothing of the server's own gets to run."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        self.process = None

    def close(self) -> None:
        """Ends the server and every process of its jobs."""
        for channel in self._channels:
            channel.close()
        if self.process is not None:
            self.kill()
        end_processes_under(self.directory)

    def client(self, timeout: float = 30) -> Client:
        return Client(self.rpc, timeout=timeout)

    def channel(self) -> Any:
        """A connection of its own, closed with the server."""
        channel = grpc.insecure_channel(self.rpc, options=[("grpc.use_local_subchannel_pool", 1)])
        self._channels.append(channel)
        return channel

    def stub(self) -> Any:
        return pb_grpc.OrchestratorStub(self.channel())  # type: ignore[no-untyped-call]

    def request(self, path: str, body: bytes | None = None, **headers: str) -> Answer:
        """GET, or POST when there is a body."""
        request = urllib.request.Request(f"http://{self.http}{path}", data=body, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                return Answer(response.status, dict(response.headers), response.read())
        except urllib.error.HTTPError as error:
            return Answer(error.code, dict(error.headers), error.read())

    def rss_bytes(self) -> int:
        match = re.search(r"^VmRSS:\s+(\d+) kB", Path(f"/proc/{self.pid}/status").read_text(), re.MULTILINE)
        assert match is not None
        return int(match[1]) * 1024

    def logged_events(self) -> list[dict[str, Any]]:
        """What is in agent_action.jsonl, but for a line that is being written."""
        file = self.logs / "agent_action.jsonl"
        text = file.read_text() if file.exists() else ""
        return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]

    def done_file(self, name: str, timeout: float = 30) -> dict[str, Any]:
        file = self.queue / "done" / f"{name}.json"
        eventually(file.exists, f"{file.name} in done/; the server says:\n{self.errors()}", timeout)
        content = json.loads(file.read_text())
        assert isinstance(content, dict)
        return content


class Answer:
    """What the gateway said."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status, self.body = status, body
        self.headers = {name.lower(): value for name, value in headers.items()}

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def text(self) -> str:
        return self.body.decode()
