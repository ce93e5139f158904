from __future__ import annotations

from collections.abc import Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
import pytest

from dspy_orchestrator import Client, InvalidArgument
from dspy_orchestrator.security import Security, is_local
from dspy_orchestrator.v1 import orchestrator_pb2 as pb
from dspy_orchestrator.v1 import orchestrator_pb2_grpc as pb_grpc


class Listener(pb_grpc.OrchestratorServicer):
    """Writes down the authorization of each call."""

    def __init__(self) -> None:
        self.heard: list[Any] = []
        self.server = grpc.server(futures.ThreadPoolExecutor(2))
        pb_grpc.add_OrchestratorServicer_to_server(self, self.server)  # type: ignore[no-untyped-call]
        self.port = self.server.add_insecure_port("127.0.0.1:0")
        self.server.start()

    def GetStatus(self, request: pb.GetStatusRequest, context: Any) -> pb.GetStatusResponse:  # noqa: N802
        self.heard.append(dict(context.invocation_metadata()).get("authorization"))
        return pb.GetStatusResponse(
            job=pb.Job(
                job_id=request.job_id,
                state=pb.JOB_STATE_QUEUED,
                job_class=pb.JOB_CLASS_CPU_SHORT,
            )
        )


@pytest.fixture
def listener() -> Iterator[Listener]:
    made = Listener()
    yield made
    made.server.stop(None).wait()


def test_a_token_is_sent_with_each_call(listener: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    with Client(f"127.0.0.1:{listener.port}", token="given") as client:
        client.status("a")
    monkeypatch.setenv("DSPY_ORCHESTRATOR_TOKEN", "from-environment")
    with Client(f"127.0.0.1:{listener.port}") as client:
        client.status("a")
    assert listener.heard == ["Bearer given", "Bearer from-environment"]


@pytest.mark.parametrize(
    ("target", "local"),
    [
        ("127.0.0.1:50051", True),
        ("localhost:1", True),
        ("[::1]:50051", True),
        ("unix:/run/orchestrator", True),
        ("dns:///localhost:1", True),
        ("127.0.0.1.example.org:1", False),
        ("localhost.example.org:1", False),
        ("10.0.0.1:50051", False),
        ("dns:///gpu-box:50051", False),
    ],
)
def test_a_token_leaves_this_machine_encrypted_only(target: str, local: bool) -> None:
    assert is_local(target) is local
    if not local:
        with pytest.raises(InvalidArgument, match="tls_ca"):
            Client(target, token="secret")


def test_what_is_given_beats_the_environment() -> None:
    environment = {"DSPY_ORCHESTRATOR_TOKEN": "environment", "DSPY_ORCHESTRATOR_TLS_CA": "/ca.pem"}
    assert Security.found(environment=environment) == Security(token="environment", ca="/ca.pem")
    assert Security.found(token="given", ca=Path("/b.pem"), environment=environment) == Security("given", "/b.pem")
    assert Security.found(token="", ca="", environment=environment) == Security()


def test_the_token_is_not_shown() -> None:
    assert "secret" not in repr(Security(token="secret"))


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"certificate": "/c.pem", "ca": "system"}, "tls_key"),
        ({"key": "/k.pem", "ca": "system"}, "tls_certificate"),
        ({"certificate": "/c.pem", "key": "/k.pem"}, "tls_ca"),
        ({"token": "two words"}, "token"),
        ({"token": "line\n"}, "token"),
        ({"token": "é"}, "token"),
    ],
)
def test_what_can_not_be_right_is_refused(settings: dict[str, str], field: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        Security.found(**settings, environment={})
    assert refused.value.field == field


def test_a_file_that_is_no_pem_is_named(tmp_path: Path) -> None:
    wrong = tmp_path / "ca.pem"
    wrong.write_text("not PEM")
    with pytest.raises(InvalidArgument, match=r"ca\.pem is no PEM"):
        Client(tls_ca=wrong)
    with pytest.raises(InvalidArgument, match=r"there\.pem can't be read"):
        Client(tls_ca=tmp_path / "not-there.pem")
