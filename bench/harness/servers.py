"""The servers under load, each started on one core: ours, nghttpd and the peers of bench/peers."""

import contextlib
import pathlib
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

from harness.machine import ROOT, SERVER_CORE, cpu_seconds, free_port, need, wait_until_listening
from harness.wire import GRPC_HEADERS, SERVICE, field, framed

PEERS = {
    "cpp": "gRPC C++",
    "cpp-hint": "gRPC C++ with buffer hints",
    "go": "grpc-go",
    "swift": "grpc-swift-2",
    "asyncio": "grpcio asyncio",
}
# The calls of CHECK have 30 s together. A client that is stuck says where before this is over.
CHECK_SECONDS = 60
CHECK = """
import faulthandler
import sys
faulthandler.dump_traceback_later(50, exit=True)
import grpc
from dspy_orchestrator.v1 import orchestrator_pb2 as wire, orchestrator_pb2_grpc as rpc
with grpc.insecure_channel("127.0.0.1:" + sys.argv[1]) as channel:
    stub = rpc.OrchestratorStub(channel)
    job = stub.GetStatus(wire.GetStatusRequest(job_id=sys.argv[3]), timeout=10, wait_for_ready=True)
    assert job.job.job_id == sys.argv[3], job
    sizes = []
    call = stub.StreamEvents(wire.StreamEventsRequest(), timeout=20)
    for expected in range(1, int(sys.argv[2]) + 1):
        event = next(call)
        assert event.sequence == expected, (event, expected)
        sizes.append(event.ByteSize())
    call.cancel()
    print(job.ByteSize(), round(sum(sizes) / len(sizes)) if sizes else 0)
"""


class Server:
    """A process that serves on a port. `path` and `arguments` are of the unary request."""

    def __init__(
        self, key: str, name: str, process: subprocess.Popen[str], port: int, path: str, arguments: list[str]
    ) -> None:
        self.key, self.name, self.process, self.port = key, name, process, port
        self.url, self.arguments = f"http://127.0.0.1:{port}{path}", arguments
        self.http = ""
        """Our gateway."""

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def cpu_seconds(self) -> float:
        return cpu_seconds(self.pid)

    def check(self, events: int, job_id: str = "bench-1") -> str:
        """One real gRPC client's word that the answers are right: the load tools only see HTTP's 200. Says the sizes of
        GetStatus's answer and, on average, of an event."""
        python = ROOT / "bench/peers/.build-asyncio/venv/bin/python"
        if not python.exists():
            return "not checked: grpcio is not there (bench/peers/build asyncio)"
        try:
            done = subprocess.run(
                [str(python), "-c", CHECK, str(self.port), str(events), job_id],
                env={"PYTHONPATH": str(ROOT / "clients/python/src")},
                capture_output=True,
                text=True,
                timeout=CHECK_SECONDS,
            )
        except subprocess.TimeoutExpired:
            sys.exit(
                f"bench: the grpcio client that checks {self.name} (pid {self.pid}, port {self.port}) did not end in "
                f"{CHECK_SECONDS} s; run again, or leave a peer out with --peers"
            )
        if done.returncode != 0:
            sys.exit(f"bench: {self.name} does not answer as it should:\n{done.stderr}")
        job, event = done.stdout.split()
        return f"{job} B a job" + (f", {event} B an event" if events else "")

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


def build_ours() -> None:
    for product in ("dspy-orchestrator", "dspy-job-supervisor"):
        subprocess.run(
            ["swift", "build", "-c", "release", "--product", product], cwd=ROOT, check=True, stdout=subprocess.DEVNULL
        )


def post(url: str, body: pathlib.Path) -> None:
    h2load = need("h2load", "nghttp2-client")
    printed = subprocess.run(
        [h2load, "-n", "1", "-d", str(body), *GRPC_HEADERS, url], check=True, capture_output=True, text=True
    ).stdout
    if "1 succeeded" not in printed:
        sys.exit(f"bench: {url} was not answered:\n{printed}")


def status_request(work: pathlib.Path) -> list[str]:
    (work / "status").write_bytes(framed(field(1, b"bench-1")))
    return ["-d", str(work / "status"), *GRPC_HEADERS]


def ours(work: pathlib.Path, *flags: str, pinned: bool = True, build: str = "release") -> Server:
    """Our build on a fresh data directory, with nothing in it."""
    process = subprocess.Popen(
        [
            *(SERVER_CORE if pinned else []),
            str(ROOT / f".build/{build}/dspy-orchestrator"),
            "serve",
            *("--rpc-listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0"),
            *("--data-dir", str(work / "data"), "--log-dir", str(work / "logs"), "--queue-dir", str(work / "queue")),
            # One long job at a time: a job that does not end keeps those behind it queued.
            *("--cpu-long-limit", "1", "--rpc-threads", "1", "--log-level", "warning", "--shutdown-grace-seconds", "1"),
            *flags,
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    ready = re.search(r"rpc=127\.0\.0\.1:(\d+) http=127\.0\.0\.1:(\d+)", process.stdout.readline())
    if ready is None:
        sys.exit("bench: dspy-orchestrator did not become ready; its own words are above")
    server = Server("ours", "dspy-orchestrator", process, int(ready[1]), f"/{SERVICE}/GetStatus", status_request(work))
    server.http = f"http://127.0.0.1:{ready[2]}"
    return server


def ours_over_tls(work: pathlib.Path) -> Server:
    """Our build with a certificate of its own, and the job that GetStatus is asked for. h2load trusts anybody."""
    work.mkdir()
    certificate, key = work / "certificate.pem", work / "key.pem"
    made = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1", "-subj", "/CN=localhost"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run([need("openssl", "openssl"), "req", "-x509", *made, *files], check=True, capture_output=True)
    server = ours(work, "--tls-certificate", str(certificate), "--tls-key", str(key))
    server.key, server.name = "tls", "dspy-orchestrator over TLS"
    server.url = server.url.replace("http:", "https:")
    submit_one(server, work)
    return server


def submit_one(server: Server, work: pathlib.Path) -> None:
    """The job that GetStatus is asked for; it has ended when this returns, and the server is quiet again."""
    (work / "submit").write_bytes(framed(field(1, b"bench-1") + field(3, b'{"command":["true"]}')))
    post(server.url.replace("GetStatus", "SubmitJob"), work / "submit")
    time.sleep(1)


def submit_blocker(server: Server, work: pathlib.Path) -> int:
    """A job that does not end, so that the others of its class stay queued. Says the newest sequence: the blocker is
    submitted, then started."""
    body = field(1, b"blocker") + field(2, 2) + field(3, b'{"command":["sleep","600"]}')
    (work / "blocker").write_bytes(framed(body))
    post(f"http://127.0.0.1:{server.port}/{SERVICE}/SubmitJob", work / "blocker")
    time.sleep(1)
    return 2


def submit_queued(server: Server, work: pathlib.Path, count: int) -> None:
    """Jobs that wait behind the blocker: one event each."""
    for first in range(0, count, 500):
        jobs = b"".join(
            field(
                1,
                field(1, f"queued-{index:011d}".encode()) + field(2, 2) + field(3, b'{"command":["true"]}'),
            )
            for index in range(first, min(first + 500, count))
        )
        (work / "many").write_bytes(framed(jobs))
        post(f"http://127.0.0.1:{server.port}/{SERVICE}/SubmitJobs", work / "many")


def nghttpd(work: pathlib.Path) -> Server:
    """nghttpd with a tiny file, asked for by GET."""
    return _nghttpd(work, "nghttpd", "nghttpd, a file of 100 B", 100, [])


def nghttpd_like_grpc(work: pathlib.Path) -> Server:
    """nghttpd with the frames of a GetStatus: a POST with the same headers and body, a file as long as the answer,
    trailers behind it. What the same library costs for the same work on the wire, on both sides."""
    name = "nghttpd, the frames of our call"
    # gRPC's prefix is part of the answer.
    return _nghttpd(work, "nghttpd-grpc", name, 84 + 5, status_request(work), "--trailer=grpc-status: 0")


def _nghttpd(work: pathlib.Path, key: str, name: str, size: int, request: list[str], *flags: str) -> Server:
    www = work / f"www-{key}"
    www.mkdir(exist_ok=True)
    (www / "tiny").write_bytes(b"x" * size)
    port = free_port()
    program = need("nghttpd", "nghttp2-server")
    process = subprocess.Popen(
        [*SERVER_CORE, program, "--no-tls", "-n", "1", "-a", "127.0.0.1", "-d", str(www), *flags, str(port)],
        stdout=subprocess.DEVNULL,
        text=True,
    )
    wait_until_listening(process, port)
    return Server(key, name, process, port, "/tiny", request)


def program(key: str) -> str:
    """Whose program a peer runs."""
    return key.removesuffix("-hint")


def why_not_built(key: str) -> str | None:
    """Why this peer cannot run; None when it can."""
    key = program(key)
    build = ROOT / f"bench/peers/.build-{key}"
    if (build / "peer").exists():
        return None
    if (build / "not-built").exists():
        return (build / "not-built").read_text().strip()
    return f"never built here; run bench/peers/build {key}"


def peer(key: str, work: pathlib.Path, *arguments: str) -> Server:
    port = free_port()
    process = subprocess.Popen(
        [*SERVER_CORE, str(ROOT / f"bench/peers/.build-{program(key)}/peer"), str(port), *arguments],
        stdout=subprocess.DEVNULL,
        text=True,
    )
    wait_until_listening(process, port)
    return Server(key, PEERS[key], process, port, f"/{SERVICE}/GetStatus", status_request(work))


@contextlib.contextmanager
def stopping(servers: list[Server]) -> Iterator[None]:
    try:
        yield
    finally:
        for server in servers:
            server.stop()
