"""What load balancers and tools ask of the real server: health and reflection."""

from __future__ import annotations

import grpc
from google.protobuf import descriptor_pool
from grpc_health.v1 import health_pb2 as pb
from grpc_health.v1 import health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from refusals import refused
from server import Server

ORCHESTRATOR = "dspy_orchestrator.v1.Orchestrator"


def test_the_server_and_its_service_are_serving(server: Server) -> None:
    stub = health_pb2_grpc.HealthStub(server.channel())
    for service in ("", ORCHESTRATOR):
        assert stub.Check(pb.HealthCheckRequest(service=service), timeout=20).status == pb.HealthCheckResponse.SERVING


def test_those_who_watch_learn_of_the_shutdown_before_the_connection_ends(server: Server) -> None:
    watch = health_pb2_grpc.HealthStub(server.channel()).Watch(pb.HealthCheckRequest(service=ORCHESTRATOR), timeout=30)
    assert next(watch).status == pb.HealthCheckResponse.SERVING
    server.terminate()
    assert next(watch).status == pb.HealthCheckResponse.NOT_SERVING
    assert refused(lambda: next(watch)).code() is grpc.StatusCode.UNAVAILABLE
    assert server.wait() == 0


def test_reflection_describes_the_service(server: Server) -> None:
    pool = descriptor_pool.DescriptorPool(ProtoReflectionDescriptorDatabase(server.channel()))
    service = pool.FindServiceByName(ORCHESTRATOR)
    assert service.FindMethodByName("SubmitJob").input_type.full_name == "dspy_orchestrator.v1.SubmitJobRequest"
