from __future__ import annotations

from pathlib import Path

from eventually import eventually
from google.protobuf import duration_pb2
from jobs import shell
from refusals import bad_field, refused
from server import Server

from dspy_orchestrator import Client, wire
from dspy_orchestrator.v1 import orchestrator_pb2 as pb


def request(job_id: str, command: list[str], *parents: str, deadline: float = 0) -> pb.SubmitJobRequest:
    return pb.SubmitJobRequest(
        job_id=job_id,
        payload=wire.payload(command, None, None, None, None),
        depends_on=parents,
        deadline=duration_pb2.Duration(nanos=int(deadline * 1e9)) if deadline else None,
    )


def test_a_chain_in_one_batch_runs_in_order_whatever_the_order_of_its_jobs(server: Server, client: Client) -> None:
    append = [shell(f"echo {name} >> {server.directory}/order") for name in "abc"]
    batch = [request("c", append[2], "b"), request("b", append[1], "a"), request("a", append[0])]
    results = server.stub().SubmitJobs(pb.SubmitJobsRequest(jobs=batch), timeout=30).results
    assert [result.job.job_id for result in results] == ["c", "b", "a"]
    assert list(results[0].job.depends_on) == ["b"]
    assert client.wait("c", timeout=60).state == "succeeded"
    assert (server.directory / "order").read_text().split() == ["a", "b", "c"]


def test_a_circle_and_an_unknown_parent_are_refused_by_name(server: Server) -> None:
    stub = server.stub()
    unknown = refused(lambda: stub.SubmitJob(request("x", ["true"], "nobody"), timeout=10))
    assert bad_field(unknown) == "depends_on"
    assert "nobody" in unknown.details()
    batch = [request("a", ["true"], "b"), request("b", ["true"], "a"), request("c", ["true"])]
    results = stub.SubmitJobs(pb.SubmitJobsRequest(jobs=batch), timeout=10).results
    assert ["circle" in result.error.message for result in results] == [True, True, False]


def test_what_waits_for_a_job_outlives_a_kill(server: Server, client: Client, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    stub = server.stub()
    stub.SubmitJob(request("first", shell(f"while ! test -e {gate}; do sleep 0.05; done")), timeout=10)
    stub.SubmitJob(request("bad", ["false"]), timeout=10)
    stub.SubmitJob(request("second", ["true"], "first"), timeout=10)
    stub.SubmitJob(request("third", ["true"], "second", "bad"), timeout=10)
    eventually(lambda: client.status("first").state == "running", "the first job running")
    server.kill()
    server.start()
    assert client.status("second").state == "queued"
    gate.touch()
    assert client.wait("second", timeout=60).state == "succeeded"
    third = client.wait("third", timeout=60)
    assert (third.state, third.failure_reason) == ("failed", "dependency_failed")


def test_a_deadline_covers_the_waiting(server: Server, client: Client) -> None:
    stub = server.stub()
    stub.SubmitJob(request("long", ["sleep", "600"]), timeout=10)
    stub.SubmitJob(request("child", ["true"], "long", deadline=0.3), timeout=10)
    child = client.wait("child", timeout=60)
    assert (child.state, child.failure_reason, child.attempt) == ("failed", "timeout", 0)
    assert "0.3 s" in child.error
