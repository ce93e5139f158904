"""gRPC's interop cases, with the official library (C core); test_interop_grpclib.py has them with another."""

from __future__ import annotations

import queue
import time
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from interop import METHODS, SERVICE, interop_server, messages
from refusals import refused

REQUEST_SIZES = [27182, 8, 1828, 45904]
RESPONSE_SIZES = [31415, 9, 2653, 58979]

INITIAL, INITIAL_VALUE = "x-grpc-test-echo-initial", "test_initial_metadata_value"
TRAILING, TRAILING_VALUE = "x-grpc-test-echo-trailing-bin", b"\xab\xab\xab"


class Stub:
    def __init__(self, channel: Any) -> None:
        self.channel = channel

    def __getattr__(self, name: str) -> Any:
        kind, request, response = METHODS[name]
        return getattr(self.channel, kind)(
            SERVICE + name,
            request_serializer=getattr(messages, request).SerializeToString,
            response_deserializer=getattr(messages, response).FromString,
        )


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with interop_server() as made:
        yield made


@pytest.fixture
def channel(address: str) -> Iterator[Any]:
    with grpc.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)]) as made:
        yield made


@pytest.fixture
def stub(channel: Any) -> Stub:
    return Stub(channel)


def payload(size: int) -> Any:
    return messages.Payload(body=bytes(size))


def output(*sizes: int, **more: Any) -> Any:
    return messages.StreamingOutputCallRequest(
        response_parameters=[messages.ResponseParameters(size=size) for size in sizes], **more
    )


class Conversation:
    """Requests sent one at a time, as answers come."""

    def __init__(self, method: Any, **options: Any) -> None:
        self.requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.call = method(iter(self.requests.get, None), **options)

    def ask(self, request: Any) -> Any:
        self.requests.put(request)
        return next(self.call)

    def end(self) -> None:
        self.requests.put(None)


def test_empty_unary(stub: Stub) -> None:
    assert stub.EmptyCall(messages.Empty(), timeout=20) == messages.Empty()


@pytest.mark.parametrize("method", ["UnaryCall", "CacheableUnaryCall"])
def test_large_unary(stub: Stub, method: str) -> None:
    request = messages.SimpleRequest(response_size=314159, payload=payload(271828))
    assert getattr(stub, method)(request, timeout=20).payload == payload(314159)


def test_cacheable_unary(stub: Stub) -> None:
    request = messages.SimpleRequest(payload=payload(0), response_size=100)
    headers = (("x-user-ip", "1.2.3.4"), ("cache-control", "max-age=60"))
    answers = [stub.CacheableUnaryCall(request, metadata=headers, timeout=20) for _ in range(2)]
    assert answers[0] == answers[1]


def test_the_server_names_itself_when_asked(stub: Stub) -> None:
    assert stub.UnaryCall(messages.SimpleRequest(fill_server_id=True), timeout=20).server_id
    assert not stub.UnaryCall(messages.SimpleRequest(), timeout=20).server_id


def test_client_streaming(stub: Stub) -> None:
    requests = (messages.StreamingInputCallRequest(payload=payload(size)) for size in REQUEST_SIZES)
    assert stub.StreamingInputCall(requests, timeout=20).aggregated_payload_size == 74922


def test_server_streaming(stub: Stub) -> None:
    answers = list(stub.StreamingOutputCall(output(*RESPONSE_SIZES), timeout=20))
    assert [len(answer.payload.body) for answer in answers] == RESPONSE_SIZES


def test_ping_pong(stub: Stub) -> None:
    talk = Conversation(stub.FullDuplexCall, timeout=20)
    for asked, given in zip(RESPONSE_SIZES, REQUEST_SIZES, strict=True):
        assert talk.ask(output(asked, payload=payload(given))).payload == payload(asked)
    talk.end()
    assert list(talk.call) == []
    assert talk.call.code() is grpc.StatusCode.OK


def test_half_duplex(stub: Stub) -> None:
    requests = (output(size) for size in RESPONSE_SIZES)
    answers = list(stub.HalfDuplexCall(requests, timeout=20))
    assert [len(answer.payload.body) for answer in answers] == RESPONSE_SIZES


def test_empty_stream(stub: Stub) -> None:
    assert list(stub.FullDuplexCall(iter(()), timeout=20)) == []


def test_cancel_after_begin(stub: Stub) -> None:
    requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
    call = stub.StreamingInputCall.future(iter(requests.get, None), timeout=20)
    call.cancel()
    requests.put(None)
    assert call.cancelled()
    assert call.code() is grpc.StatusCode.CANCELLED


def test_cancel_after_first_response(stub: Stub) -> None:
    talk = Conversation(stub.FullDuplexCall, timeout=20)
    assert talk.ask(output(31415, payload=payload(27182))).payload == payload(31415)
    talk.call.cancel()
    assert refused(lambda: next(talk.call)).code() is grpc.StatusCode.CANCELLED
    talk.end()


def test_timeout_on_sleeping_server(stub: Stub) -> None:
    talk = Conversation(stub.FullDuplexCall, timeout=0.001)
    slow = messages.StreamingOutputCallRequest(
        response_parameters=[messages.ResponseParameters(size=31415, interval_us=10_000_000)], payload=payload(27182)
    )
    assert refused(lambda: talk.ask(slow)).code() is grpc.StatusCode.DEADLINE_EXCEEDED
    talk.end()


def test_custom_metadata(stub: Stub) -> None:
    sent = ((INITIAL, INITIAL_VALUE), (TRAILING, TRAILING_VALUE))
    request = messages.SimpleRequest(response_size=314159, payload=payload(271828))
    _, unary = stub.UnaryCall.with_call(request, metadata=sent, timeout=20)
    talk = Conversation(stub.FullDuplexCall, metadata=sent, timeout=20)
    talk.ask(output(314159, payload=payload(271828)))
    talk.end()
    assert list(talk.call) == []
    for call in (unary, talk.call):
        assert dict(call.initial_metadata())[INITIAL] == INITIAL_VALUE
        assert dict(call.trailing_metadata())[TRAILING] == TRAILING_VALUE


def test_metadata_comes_back_with_an_error_too(stub: Stub) -> None:
    sent = ((INITIAL, INITIAL_VALUE), (TRAILING, TRAILING_VALUE))
    request = messages.SimpleRequest(response_status=messages.EchoStatus(code=2, message="no"))
    error = refused(lambda: stub.UnaryCall(request, metadata=sent, timeout=20))
    assert dict(error.trailing_metadata())[TRAILING] == TRAILING_VALUE


@pytest.mark.parametrize("message", ["test status message", ""])
def test_status_code_and_message(stub: Stub, message: str) -> None:
    status = messages.EchoStatus(code=2, message=message)
    talk = Conversation(stub.FullDuplexCall, timeout=20)
    for call in (
        lambda: stub.UnaryCall(messages.SimpleRequest(response_status=status), timeout=20),
        lambda: talk.ask(messages.StreamingOutputCallRequest(response_status=status)),
    ):
        error = refused(call)
        assert error.code() is grpc.StatusCode.UNKNOWN
        assert error.details() == message
    talk.end()


def test_special_status_message(stub: Stub) -> None:
    message = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n"
    status = messages.EchoStatus(code=2, message=message)
    error = refused(lambda: stub.UnaryCall(messages.SimpleRequest(response_status=status), timeout=20))
    assert error.code() is grpc.StatusCode.UNKNOWN
    assert error.details() == message


@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK])
def test_every_status_code_arrives(stub: Stub, code: Any) -> None:
    status = messages.EchoStatus(code=code.value[0], message="as asked")
    error = refused(lambda: stub.UnaryCall(messages.SimpleRequest(response_status=status), timeout=20))
    assert error.code() is code


def test_unimplemented_method(stub: Stub) -> None:
    error = refused(lambda: stub.UnimplementedCall(messages.Empty(), timeout=20))
    assert error.code() is grpc.StatusCode.UNIMPLEMENTED


def test_unimplemented_service(channel: Any) -> None:
    method = channel.unary_unary("/grpc.testing.UnimplementedService/UnimplementedCall")
    assert refused(lambda: method(b"", timeout=20)).code() is grpc.StatusCode.UNIMPLEMENTED


def test_client_compressed_unary(stub: Stub) -> None:
    yes, no = messages.BoolValue(value=True), messages.BoolValue(value=False)
    fields: dict[str, Any] = {"response_size": 314159, "payload": payload(271828)}
    probe = messages.SimpleRequest(expect_compressed=yes, **fields)
    error = refused(lambda: stub.UnaryCall(probe, timeout=20))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    answer = stub.UnaryCall(probe, timeout=20, compression=grpc.Compression.Gzip)
    assert answer.payload == payload(314159)
    plain = messages.SimpleRequest(expect_compressed=no, **fields)
    assert stub.UnaryCall(plain, timeout=20).payload == payload(314159)


def test_client_compressed_streaming(stub: Stub) -> None:
    yes, no = messages.BoolValue(value=True), messages.BoolValue(value=False)
    probe = messages.StreamingInputCallRequest(expect_compressed=yes, payload=payload(27182))
    requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
    requests.put(probe)
    # The stream stays open: the server must not wait for its end.
    error = refused(lambda: stub.StreamingInputCall(iter(requests.get, None), timeout=20))
    requests.put(None)
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    mixed = [probe, messages.StreamingInputCallRequest(expect_compressed=no, payload=payload(45904))]
    answer = stub.StreamingInputCall(iter(mixed), timeout=20, compression=grpc.Compression.Gzip)
    assert answer.aggregated_payload_size == 73086


@pytest.mark.parametrize("compressed", [True, False])
def test_server_compressed_unary(stub: Stub, compressed: bool) -> None:
    request = messages.SimpleRequest(
        response_compressed=messages.BoolValue(value=compressed), response_size=314159, payload=payload(271828)
    )
    answer, call = stub.UnaryCall.with_call(request, timeout=20)
    assert answer.payload == payload(314159)
    assert call.code() is grpc.StatusCode.OK


def test_server_compressed_streaming(stub: Stub) -> None:
    request = messages.StreamingOutputCallRequest(
        response_parameters=[
            messages.ResponseParameters(size=31415, compressed=messages.BoolValue(value=True)),
            messages.ResponseParameters(size=92653, compressed=messages.BoolValue(value=False)),
        ]
    )
    answers = list(stub.StreamingOutputCall(request, timeout=20))
    assert [len(answer.payload.body) for answer in answers] == [31415, 92653]


def test_slow_consumer(stub: Stub) -> None:
    request = output(*[1030] * 2000)
    count = 0
    for answer in stub.StreamingOutputCall(request, timeout=60):
        assert answer.payload == payload(1030)
        count += 1
        # The case reads one in 20 ms throughout; its first quarter second fills every window.
        if count <= 50:
            time.sleep(0.005)
    assert count == 2000


def test_many_calls_of_all_kinds_share_a_connection(stub: Stub) -> None:
    unary = [
        stub.UnaryCall.future(messages.SimpleRequest(response_size=size, payload=payload(size)), timeout=60)
        for size in range(200)
    ]
    streams = [stub.StreamingOutputCall(output(*RESPONSE_SIZES), timeout=60) for _ in range(50)]
    assert [len(call.result().payload.body) for call in unary] == list(range(200))
    assert all([len(answer.payload.body) for answer in stream] == RESPONSE_SIZES for stream in streams)


def test_concurrent_large_unary(stub: Stub) -> None:
    request = messages.SimpleRequest(response_size=314159, payload=payload(271828))
    calls = [stub.UnaryCall.future(request, timeout=60) for _ in range(200)]
    assert all(call.result().payload == payload(314159) for call in calls)


def test_rpc_soak(stub: Stub) -> None:
    request = messages.SimpleRequest(response_size=314159, payload=payload(271828))
    for _ in range(100):
        assert stub.UnaryCall(request, timeout=20).payload == payload(314159)


def test_channel_soak(address: str) -> None:
    request = messages.SimpleRequest(response_size=314159, payload=payload(271828))
    for _ in range(20):
        with grpc.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
            assert Stub(channel).UnaryCall(request, timeout=20).payload == payload(314159)
