"""Reflection with the official client, which asks v1alpha, and with v1's messages sent by hand."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from grpc_reflection.v1alpha import reflection_pb2 as pb
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from interop import SERVICE, interop_server


@pytest.fixture(scope="module")
def channel() -> Iterator[Any]:
    with interop_server() as address, grpc.insecure_channel(address) as made:
        yield made


def test_services_are_listed(channel: Any) -> None:
    assert set(ProtoReflectionDescriptorDatabase(channel).get_services()) == {
        "grpc.testing.TestService",
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
    }


def test_a_client_without_protos_can_call(channel: Any) -> None:
    pool = descriptor_pool.DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
    method = pool.FindServiceByName("grpc.testing.TestService").FindMethodByName("UnaryCall")
    request = message_factory.GetMessageClass(method.input_type)
    response = message_factory.GetMessageClass(method.output_type)
    call = channel.unary_unary(
        SERVICE + method.name, request_serializer=request.SerializeToString, response_deserializer=response.FromString
    )
    assert len(call(request(response_size=7), timeout=20).payload.body) == 7


@pytest.mark.parametrize(
    "symbol", ["dspy_orchestrator.v1.Job", "grpc.health.v1.HealthCheckResponse", "google.rpc.Status"]
)
def test_messages_come_with_all_they_import(channel: Any, symbol: str) -> None:
    pool = descriptor_pool.DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
    assert pool.FindMessageTypeByName(symbol).full_name == symbol


def test_what_is_not_there_is_a_key_error(channel: Any) -> None:
    database = ProtoReflectionDescriptorDatabase(channel)
    with pytest.raises(KeyError):
        database.FindFileContainingSymbol("no.Such")
    with pytest.raises(KeyError):
        database.FindFileByName("no/such.proto")


# v1 is v1alpha under another name, and its messages are the same on the wire.
@pytest.mark.parametrize("version", ["v1", "v1alpha"])
def test_one_answer_has_the_whole_closure(channel: Any, version: str) -> None:
    method = channel.stream_stream(
        f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
        request_serializer=pb.ServerReflectionRequest.SerializeToString,
        response_deserializer=pb.ServerReflectionResponse.FromString,
    )
    asked = pb.ServerReflectionRequest(file_containing_symbol="dspy_orchestrator.v1.Orchestrator")
    (answer,) = method(iter([asked]), timeout=20)
    assert answer.original_request == asked
    files = [
        descriptor_pb2.FileDescriptorProto.FromString(packed)
        for packed in answer.file_descriptor_response.file_descriptor_proto
    ]
    assert files[0].name == "dspy_orchestrator/v1/orchestrator.proto"
    names = {file.name for file in files}
    assert {"google/rpc/status.proto", "google/protobuf/any.proto"} <= names
    assert all(names.issuperset(file.dependency) for file in files)
