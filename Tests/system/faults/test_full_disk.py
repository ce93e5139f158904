"""The disk of the data directory is full for a while."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import grpc
from disk import small_disk
from eventually import eventually
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from jobs import shell
from load import Load, assert_nothing_lost
from processes import is_alive
from server import Server

from dspy_orchestrator import JobState
from dspy_orchestrator.v1 import orchestrator_pb2 as pb

DISK_MEBIBYTES = 32

# One of these is larger than what a full disk has left in half-used pages.
LARGE = b'{"command":["true"],"pad":"' + b"x" * 100_000 + b'"}'


def submission(server: Server) -> grpc.RpcError | None:
    """What a submission is refused with."""
    try:
        server.stub().SubmitJob(pb.SubmitJobRequest(payload=LARGE), timeout=20)
    except grpc.RpcError as error:
        return error
    return None


def ledger_check(server: Server) -> Any:
    return server.request("/health").json["checks"]["ledger"]


def test_a_full_disk_refuses_submissions_and_loses_nothing(stopped_server: Server, tmp_path: Path) -> None:
    server = stopped_server
    up, go = tmp_path / "up", tmp_path / "go"
    with small_disk(server.data, DISK_MEBIBYTES) as disk:
        server.start()
        pid = server.pid
        load = Load(server, tmp_path / "marks")
        with server.client(timeout=60) as client:
            client.submit(
                shell(f"echo $$ > {up}; until test -e {go}; do sleep 0.05; done; echo __DSPY_RESULT__:42"),
                job_id="goes-on",
                job_class="cpu_long",
            )
            command = int(eventually(lambda: up.read_text() if up.exists() else "", "the job under way"))
            with load.running(most=40, files=10):
                eventually(lambda: len(load.acknowledged) >= 20, "a burst under way")
                disk.fill()
                error: Any = eventually(lambda: submission(server), "a refusal")

            assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED, error
            assert "full" in error.details()
            assert str(server.data / "ledger.sqlite") in error.details()
            status = rpc_status.from_call(error)
            assert status is not None
            assert any(detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR) for detail in status.details)
            answer = server.request("/queue/submit", json.dumps({"payload": json.loads(LARGE)}).encode())
            assert answer.status >= 400, answer.text
            assert not answer.json["ok"]

            # What runs goes on, and ends, while nothing can be written about it.
            assert is_alive(command)
            go.touch()
            eventually(lambda: not is_alive(command), "the job's process at its end")
            assert client.status("goes-on").state is JobState.RUNNING
            # What was dropped as a file waits.
            outside = server.queue / ".late"
            outside.write_text(json.dumps({"id": "file-late", "payload": load.payload("file-late")}))
            outside.rename(server.queue / "pending" / "file-late.json")
            load.acknowledged.append("file-late")

            disk.make_room()
            eventually(lambda: submission(server) is None, "a submission accepted again")
            job = client.wait("goes-on", timeout=60)
            assert (job.state, job.result, job.attempt) == (JobState.SUCCEEDED, 42, 1)
            assert server.pid == pid
            assert_nothing_lost_among(server, load)
            eventually(lambda: server.request("/health").json["status"] == "healthy", "a healthy server")
        assert server.stop() == 0
        # The same again from the disk.
        server.start()
        assert_nothing_lost_among(server, load)
        # Before its disk goes.
        assert server.stop() == 0


def assert_nothing_lost_among(server: Server, load: Load) -> None:
    with server.client(timeout=60) as client:
        assert_nothing_lost(server, client, load)


def test_a_full_queue_directory_delays_done_files_and_loses_none(stopped_server: Server, tmp_path: Path) -> None:
    server = stopped_server
    with small_disk(server.queue, 4) as disk:
        server.start()
        up, go = tmp_path / "up", tmp_path / "go"
        command = shell(f"touch {up}; until test -e {go}; do sleep 0.05; done")
        task = {"id": "waits", "class": "cpu_long", "payload": {"command": command, "pad": "x" * 5_000}}
        (server.queue / "pending" / "waits.json").write_text(json.dumps(task))
        eventually(up.exists, "the job under way")
        disk.fill()
        go.touch()
        with server.client() as client:
            assert client.wait("waits", timeout=60).state is JobState.SUCCEEDED
        eventually(lambda: "done files can't be written" in server.errors(), "the server's complaint")
        assert not (server.queue / "done" / "waits.json").exists()
        disk.make_room()
        assert server.done_file("waits")["status"] == "completed"
        assert server.stop() == 0
