"""grpc.health.v1 with the official client."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2 as pb
from grpc_health.v1 import health_pb2_grpc
from interop import interop_server
from refusals import refused

SERVING = pb.HealthCheckResponse.SERVING


@pytest.fixture(scope="module")
def stub() -> Iterator[Any]:
    with interop_server() as address, grpc.insecure_channel(address) as channel:
        yield health_pb2_grpc.HealthStub(channel)


@pytest.mark.parametrize("service", ["", "grpc.testing.TestService", "grpc.health.v1.Health"])
def test_what_is_served_is_serving(stub: Any, service: str) -> None:
    assert stub.Check(pb.HealthCheckRequest(service=service), timeout=20).status == SERVING


def test_a_service_that_is_not_there_is_not_found(stub: Any) -> None:
    error = refused(lambda: stub.Check(pb.HealthCheckRequest(service="no.Such"), timeout=20))
    assert error.code() is grpc.StatusCode.NOT_FOUND
    assert "no.Such" in error.details()


def test_watch_tells_the_status_and_goes_on(stub: Any) -> None:
    known = stub.Watch(pb.HealthCheckRequest(service=""), timeout=20)
    unknown = stub.Watch(pb.HealthCheckRequest(service="no.Such"), timeout=20)
    assert next(known).status == SERVING
    assert next(unknown).status == pb.HealthCheckResponse.SERVICE_UNKNOWN
    for call in (known, unknown):
        assert call.is_active()
        call.cancel()


def test_list_has_every_service(stub: Any) -> None:
    listed = stub.List(pb.HealthListRequest(), timeout=20).statuses
    assert {name: answer.status for name, answer in listed.items()} == {
        "": SERVING,
        "grpc.testing.TestService": SERVING,
        "grpc.health.v1.Health": SERVING,
    }
