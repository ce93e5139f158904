"""gRPC's main interop cases with connectrpc, which speaks gRPC over Rust's hyper, and compresses all it sends."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from connectrpc.client import ConnectClientSync
from connectrpc.code import Code
from connectrpc.compat import google_protobuf_binary_codec
from connectrpc.errors import ConnectError
from connectrpc.method import IdempotencyLevel, MethodInfo, StreamType
from connectrpc.protocol import ProtocolType
from interop import METHODS, interop_server, messages
from pyqwest import HTTPVersion, SyncClient, SyncHTTPTransport

REQUEST_SIZES = [27182, 8, 1828, 45904]
RESPONSE_SIZES = [31415, 9, 2653, 58979]

KINDS = {
    "unary_unary": ("execute_unary", StreamType.UNARY),
    "unary_stream": ("execute_server_stream", StreamType.SERVER_STREAM),
    "stream_unary": ("execute_client_stream", StreamType.CLIENT_STREAM),
    "stream_stream": ("execute_bidi_stream", StreamType.BIDI_STREAM),
}


class Stub:
    def __init__(self, client: ConnectClientSync) -> None:
        self.client = client

    def call(self, name: str, request: Any, service: str = "grpc.testing.TestService", **options: Any) -> Any:
        kind, input_name, output_name = METHODS[name]
        execute, stream_type = KINDS[kind]
        method = MethodInfo(
            name=name,
            service_name=service,
            input=getattr(messages, input_name),
            output=getattr(messages, output_name),
            idempotency_level=IdempotencyLevel.UNKNOWN,
            stream_type=stream_type,
        )
        return getattr(self.client, execute)(request=request, method=method, **options)


@pytest.fixture(scope="module")
def stub() -> Iterator[Stub]:
    with (
        interop_server() as address,
        SyncHTTPTransport(http_version=HTTPVersion.HTTP2) as transport,
        ConnectClientSync(
            f"http://{address}",
            codec=google_protobuf_binary_codec(),
            protocol=ProtocolType.GRPC,
            timeout_ms=20_000,
            http_client=SyncClient(transport),
        ) as client,
    ):
        yield Stub(client)


def payload(size: int) -> Any:
    return messages.Payload(body=bytes(size))


def output(*sizes: int, **more: Any) -> Any:
    return messages.StreamingOutputCallRequest(
        response_parameters=[messages.ResponseParameters(size=size) for size in sizes], **more
    )


def test_empty_unary(stub: Stub) -> None:
    assert stub.call("EmptyCall", messages.Empty()) == messages.Empty()


@pytest.mark.parametrize("compressed", [True, False])
def test_large_unary(stub: Stub, compressed: bool) -> None:
    request = messages.SimpleRequest(
        response_size=314159,
        payload=payload(271828),
        response_compressed=messages.BoolValue(value=compressed),
        expect_compressed=messages.BoolValue(value=True),
    )
    assert stub.call("UnaryCall", request).payload == payload(314159)


def test_client_streaming(stub: Stub) -> None:
    requests = (messages.StreamingInputCallRequest(payload=payload(size)) for size in REQUEST_SIZES)
    assert stub.call("StreamingInputCall", requests).aggregated_payload_size == 74922


def test_server_streaming(stub: Stub) -> None:
    answers = stub.call("StreamingOutputCall", output(*RESPONSE_SIZES))
    assert [len(answer.payload.body) for answer in answers] == RESPONSE_SIZES


def test_full_duplex(stub: Stub) -> None:
    requests = (
        output(asked, payload=payload(given)) for asked, given in zip(RESPONSE_SIZES, REQUEST_SIZES, strict=True)
    )
    answers = stub.call("FullDuplexCall", requests)
    assert [len(answer.payload.body) for answer in answers] == RESPONSE_SIZES


def test_empty_stream(stub: Stub) -> None:
    assert list(stub.call("FullDuplexCall", iter(()))) == []


def test_status_code_and_message(stub: Stub) -> None:
    message = "\t\ntest with whitespace\r\nand ☺ and 😈\t\n"
    request = messages.SimpleRequest(response_status=messages.EchoStatus(code=2, message=message))
    with pytest.raises(ConnectError) as caught:
        stub.call("UnaryCall", request)
    assert caught.value.code is Code.UNKNOWN
    assert caught.value.message == message


@pytest.mark.parametrize("service", ["grpc.testing.TestService", "grpc.testing.UnimplementedService"])
def test_unimplemented(stub: Stub, service: str) -> None:
    with pytest.raises(ConnectError) as caught:
        stub.call("UnimplementedCall", messages.Empty(), service)
    assert caught.value.code is Code.UNIMPLEMENTED


def test_timeout_on_sleeping_server(stub: Stub) -> None:
    slow = messages.StreamingOutputCallRequest(
        response_parameters=[messages.ResponseParameters(size=1, interval_us=10_000_000)]
    )
    with pytest.raises(ConnectError) as caught:
        list(stub.call("StreamingOutputCall", slow, timeout_ms=50))
    assert caught.value.code is Code.DEADLINE_EXCEEDED
