"""gRPC's interop cases with connectrpc, which speaks gRPC over Rust's hyper, and compresses all that a client sends.

It does not show whether an answer came compressed.
"""

from __future__ import annotations

import base64
import queue
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from connectrpc.client import ConnectClientSync, ResponseMetadata
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


@contextmanager
def connected(address: str, **options: Any) -> Iterator[Stub]:
    with (
        SyncHTTPTransport(http_version=HTTPVersion.HTTP2) as transport,
        ConnectClientSync(
            f"http://{address}",
            codec=google_protobuf_binary_codec(),
            protocol=ProtocolType.GRPC,
            timeout_ms=60_000,
            http_client=SyncClient(transport),
            **options,
        ) as client,
    ):
        yield Stub(client)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with interop_server() as made:
        yield made


@pytest.fixture(scope="module")
def stub(address: str) -> Iterator[Stub]:
    with connected(address) as made:
        yield made


@pytest.fixture(scope="module")
def plain_stub(address: str) -> Iterator[Stub]:
    """Compresses nothing."""
    with connected(address, send_compression=None) as made:
        yield made


def payload(size: int) -> Any:
    return messages.Payload(body=bytes(size))


def output(*sizes: int, **more: Any) -> Any:
    return messages.StreamingOutputCallRequest(
        response_parameters=[messages.ResponseParameters(size=size) for size in sizes], **more
    )


def test_empty_unary(stub: Stub) -> None:
    assert stub.call("EmptyCall", messages.Empty()) == messages.Empty()


def large(**more: Any) -> Any:
    return messages.SimpleRequest(response_size=314159, payload=payload(271828), **more)


def large_unary(stub: Stub) -> None:
    assert stub.call("UnaryCall", large()).payload == payload(314159)


def test_large_unary(stub: Stub) -> None:
    large_unary(stub)


def test_cacheable_unary(stub: Stub) -> None:
    request = messages.SimpleRequest(response_size=128, payload=payload(10))
    headers = {"x-user-ip": "1.2.3.4", "cache-control": "max-age=60"}
    answers = [stub.call("CacheableUnaryCall", request, headers=headers) for _ in range(2)]
    assert answers[0].payload == payload(128)
    assert answers[0] == answers[1]


def test_client_compressed_unary(stub: Stub, plain_stub: Stub) -> None:
    probe = large(expect_compressed=messages.BoolValue(value=True))
    with pytest.raises(ConnectError) as caught:
        plain_stub.call("UnaryCall", probe)
    assert caught.value.code is Code.INVALID_ARGUMENT
    assert stub.call("UnaryCall", probe).payload == payload(314159)
    plain = large(expect_compressed=messages.BoolValue(value=False))
    assert plain_stub.call("UnaryCall", plain).payload == payload(314159)


@pytest.mark.parametrize("compressed", [True, False])
def test_server_compressed_unary(stub: Stub, compressed: bool) -> None:
    request = large(response_compressed=messages.BoolValue(value=compressed))
    assert stub.call("UnaryCall", request).payload == payload(314159)


def test_client_compressed_streaming(stub: Stub, plain_stub: Stub) -> None:
    yes = messages.BoolValue(value=True)
    probe = messages.StreamingInputCallRequest(expect_compressed=yes, payload=payload(27182))
    with pytest.raises(ConnectError) as caught:
        plain_stub.call("StreamingInputCall", iter([probe]))
    assert caught.value.code is Code.INVALID_ARGUMENT
    requests = [probe, messages.StreamingInputCallRequest(payload=payload(45904))]
    assert stub.call("StreamingInputCall", iter(requests)).aggregated_payload_size == 73086


def test_server_compressed_streaming(stub: Stub) -> None:
    request = messages.StreamingOutputCallRequest(
        response_parameters=[
            messages.ResponseParameters(size=31415, compressed=messages.BoolValue(value=True)),
            messages.ResponseParameters(size=92653, compressed=messages.BoolValue(value=False)),
        ]
    )
    answers = stub.call("StreamingOutputCall", request)
    assert [len(answer.payload.body) for answer in answers] == [31415, 92653]


def test_client_streaming(stub: Stub) -> None:
    requests = (messages.StreamingInputCallRequest(payload=payload(size)) for size in REQUEST_SIZES)
    assert stub.call("StreamingInputCall", requests).aggregated_payload_size == 74922


def test_server_streaming(stub: Stub) -> None:
    answers = stub.call("StreamingOutputCall", output(*RESPONSE_SIZES))
    assert [len(answer.payload.body) for answer in answers] == RESPONSE_SIZES


class Conversation:
    """Requests sent one at a time, as answers come."""

    def __init__(self, stub: Stub, **options: Any) -> None:
        self.requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.answers = stub.call("FullDuplexCall", iter(self.requests.get, None), **options)

    def ask(self, request: Any) -> Any:
        self.requests.put(request)
        return next(self.answers)

    def end(self) -> None:
        self.requests.put(None)


def test_ping_pong(stub: Stub) -> None:
    talk = Conversation(stub)
    for asked, given in zip(RESPONSE_SIZES, REQUEST_SIZES, strict=True):
        assert talk.ask(output(asked, payload=payload(given))).payload == payload(asked)
    talk.end()
    assert list(talk.answers) == []


def test_half_duplex(stub: Stub) -> None:
    answers = stub.call("HalfDuplexCall", (output(size) for size in RESPONSE_SIZES))
    assert [len(answer.payload.body) for answer in answers] == RESPONSE_SIZES


def test_custom_metadata(stub: Stub) -> None:
    sent = {
        "x-grpc-test-echo-initial": "test_initial_metadata_value",
        "x-grpc-test-echo-trailing-bin": base64.b64encode(b"\xab\xab\xab").decode(),
    }
    for call in (
        lambda: stub.call("UnaryCall", large(), headers=sent),
        lambda: list(stub.call("FullDuplexCall", iter([output(314159, payload=payload(271828))]), headers=sent)),
    ):
        with ResponseMetadata() as came:
            call()
        assert came.headers["x-grpc-test-echo-initial"] == "test_initial_metadata_value"
        # Four digits of base64 hold three bytes, so there is no padding to differ in.
        assert came.trailers["x-grpc-test-echo-trailing-bin"] == "q6ur"


def test_cancel_after_first_response(stub: Stub) -> None:
    talk = Conversation(stub)
    assert talk.ask(output(31415, payload=payload(27182))).payload == payload(31415)
    talk.answers.close()
    talk.end()
    # The connection is as good as before.
    assert stub.call("EmptyCall", messages.Empty()) == messages.Empty()


def test_slow_consumer(stub: Stub) -> None:
    count = 0
    for answer in stub.call("StreamingOutputCall", output(*[1030] * 2000)):
        assert answer.payload == payload(1030)
        count += 1
        # The case reads one in 20 ms throughout; its first quarter second fills every window.
        if count <= 50:
            time.sleep(0.005)
    assert count == 2000


def test_concurrent_large_unary(stub: Stub) -> None:
    with ThreadPoolExecutor(32) as pool:
        list(pool.map(large_unary, [stub] * 64))


def test_rpc_soak(stub: Stub) -> None:
    for _ in range(50):
        large_unary(stub)


def test_channel_soak(address: str) -> None:
    for _ in range(20):
        with connected(address) as other:
            large_unary(other)


def test_empty_stream(stub: Stub) -> None:
    assert list(stub.call("FullDuplexCall", iter(()))) == []


def check_unknown(stub: Stub, message: str) -> None:
    status = messages.EchoStatus(code=2, message=message)
    for call in (
        lambda: stub.call("UnaryCall", messages.SimpleRequest(response_status=status)),
        lambda: list(stub.call("FullDuplexCall", iter([messages.StreamingOutputCallRequest(response_status=status)]))),
    ):
        with pytest.raises(ConnectError) as caught:
            call()
        assert caught.value.code is Code.UNKNOWN
        assert caught.value.message == message


def test_status_code_and_message(stub: Stub) -> None:
    check_unknown(stub, "test status message")


def test_special_status_message(stub: Stub) -> None:
    check_unknown(stub, "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n")


def test_unimplemented_method(stub: Stub) -> None:
    with pytest.raises(ConnectError) as caught:
        stub.call("UnimplementedCall", messages.Empty())
    assert caught.value.code is Code.UNIMPLEMENTED


def test_unimplemented_service(stub: Stub) -> None:
    with pytest.raises(ConnectError) as caught:
        stub.call("UnimplementedCall", messages.Empty(), "grpc.testing.UnimplementedService")
    assert caught.value.code is Code.UNIMPLEMENTED


def test_timeout_on_sleeping_server(stub: Stub) -> None:
    slow = messages.StreamingOutputCallRequest(
        response_parameters=[messages.ResponseParameters(size=1, interval_us=10_000_000)]
    )
    with pytest.raises(ConnectError) as caught:
        list(stub.call("StreamingOutputCall", slow, timeout_ms=50))
    assert caught.value.code is Code.DEADLINE_EXCEEDED
