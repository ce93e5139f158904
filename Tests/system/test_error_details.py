"""What a refusal says to programs: google.rpc's details, as grpcio-status reads them."""

from __future__ import annotations

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from refusals import bad_field, detail, reason, refused
from server import ROOT, Server

from dspy_orchestrator.v1 import orchestrator_pb2 as pb

PAYLOAD = b'{"command":["true"]}'


def job(**fields: object) -> pb.SubmitJobRequest:
    return pb.SubmitJobRequest(**({"payload": PAYLOAD} | fields))  # type: ignore[arg-type]


def resource(error: object) -> tuple[str, str]:
    info = detail(error, error_details_pb2.ResourceInfo())
    return info.resource_type, info.resource_name


@pytest.mark.parametrize(
    ("method", "request_"),
    [
        ("GetStatus", pb.GetStatusRequest(job_id="none")),
        ("CancelJob", pb.CancelJobRequest(job_id="none")),
        ("RequeueJob", pb.RequeueJobRequest(job_id="none")),
    ],
)
def test_a_job_that_is_not_there_is_named(server: Server, method: str, request_: object) -> None:
    error = refused(lambda: getattr(server.stub(), method)(request_, timeout=10))
    assert error.code() is grpc.StatusCode.NOT_FOUND
    assert reason(error) == ("JOB_NOT_FOUND", {"job_id": "none"})
    assert resource(error) == ("dspy_orchestrator.v1.Job", "none")


def test_a_requeue_without_slurm_says_what_is_wrong_with_the_job(server: Server) -> None:
    server.stub().SubmitJob(job(job_id="local"), timeout=10)
    error = refused(lambda: server.stub().RequeueJob(pb.RequeueJobRequest(job_id="local"), timeout=10))
    assert error.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert reason(error) == ("JOB_NOT_IN_SLURM", {"job_id": "local"})
    assert resource(error) == ("dspy_orchestrator.v1.Job", "local")
    assert "is of class cpu_short" in error.details()


def test_a_job_that_is_there_with_other_content_is_named_with_the_difference(server: Server) -> None:
    stub = server.stub()
    stub.SubmitJob(job(job_id="one"), timeout=10)
    error = refused(lambda: stub.SubmitJob(job(job_id="one", priority=3, labels={"a": "b"}), timeout=10))
    assert error.code() is grpc.StatusCode.ALREADY_EXISTS
    assert reason(error) == ("JOB_EXISTS_WITH_OTHER_CONTENT", {"job_id": "one", "different": "priority,labels"})
    assert resource(error) == ("dspy_orchestrator.v1.Job", "one")


def test_a_wrong_field_is_named_in_both_details(server: Server) -> None:
    error = refused(lambda: server.stub().SubmitJob(job(job_id="a b"), timeout=10))
    assert bad_field(error) == "job_id"
    assert reason(error) == ("INVALID_FIELD", {"field": "job_id"})


def test_a_cursor_from_another_ledger_is_told_the_newest_event(server: Server) -> None:
    error = refused(lambda: next(server.stub().StreamEvents(pb.StreamEventsRequest(after_sequence=1000), timeout=10)))
    assert error.code() is grpc.StatusCode.OUT_OF_RANGE
    assert reason(error) == ("CURSOR_AHEAD_OF_EVENTS", {"newest_sequence": "0"})


def test_each_verdict_of_a_batch_has_its_details(server: Server) -> None:
    stub = server.stub()
    stub.SubmitJob(job(job_id="one"), timeout=10)
    request = pb.SubmitJobsRequest(jobs=[job(job_id="one", priority=1), job(job_id="two"), job(timeout={"nanos": -1})])
    first, second, third = stub.SubmitJobs(request, timeout=10).results
    kinds = [
        [each.TypeName().removeprefix("google.rpc.") for each in result.error.details] for result in (first, third)
    ]
    assert kinds == [["ErrorInfo", "ResourceInfo"], ["BadRequest", "ErrorInfo"]]
    assert second.job.job_id == "two"


def test_what_the_engine_refuses_has_a_reason_too(server: Server) -> None:
    channel = server.channel()

    def call(path: str, body: bytes = b"", **options: object) -> object:
        return channel.unary_unary(path)(body, timeout=10, **options)

    status = "/dspy_orchestrator.v1.Orchestrator/GetStatus"
    assert reason(refused(lambda: call("/no.Such/Method"))) == ("METHOD_UNKNOWN", {})
    assert reason(refused(lambda: call(status, b"\xff"))) == ("MESSAGE_MALFORMED", {})
    assert reason(refused(lambda: call(status, metadata=[("k", "v" * 20_000)]))) == (
        "HEADERS_TOO_LARGE",
        {"limit_bytes": "16384"},
    )
    name, values = reason(refused(lambda: call(status, b"x" * (5 << 20))))
    assert (name, values["limit_bytes"]) == ("MESSAGE_TOO_LARGE", str(4 << 20))
    health = refused(lambda: call("/grpc.health.v1.Health/Check", b"\n\x01x"))
    assert reason(health) == ("SERVICE_UNKNOWN", {})
    assert resource(health) == ("service", "x")


def test_a_long_id_does_not_push_the_details_out(server: Server) -> None:
    error = refused(lambda: server.stub().GetStatus(pb.GetStatusRequest(job_id="x" * 100_000), timeout=10))
    assert rpc_status.from_call(error) is not None
    assert reason(error)[0] == "JOB_NOT_FOUND"


def test_every_reason_is_documented() -> None:
    documented = (ROOT / "Documentation/errors.md").read_text()
    domain = (ROOT / "Sources/Orchestrator/Model/OrchestratorError.swift").read_text()
    words = [line.split('"')[1] for line in domain.splitlines() if line.strip().startswith("case ") and '= "' in line]
    assert len(words) > 10
    assert [word for word in words if f"`{word}`" not in documented] == []
