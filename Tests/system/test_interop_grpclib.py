"""gRPC's interop cases with grpclib, whose HTTP/2 (h2, in Python) shares nothing with the C core's."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from grpclib.client import Channel, StreamStreamMethod, StreamUnaryMethod, UnaryStreamMethod, UnaryUnaryMethod
from grpclib.const import Status
from grpclib.exceptions import GRPCError
from interop import METHODS, SERVICE, interop_server, messages

REQUEST_SIZES = [27182, 8, 1828, 45904]
RESPONSE_SIZES = [31415, 9, 2653, 58979]

KINDS = {
    "unary_unary": UnaryUnaryMethod,
    "unary_stream": UnaryStreamMethod,
    "stream_unary": StreamUnaryMethod,
    "stream_stream": StreamStreamMethod,
}


class Stub:
    def __init__(self, channel: Channel) -> None:
        self.channel = channel

    def __getattr__(self, name: str) -> Any:
        kind, request, response = METHODS[name]
        return KINDS[kind](self.channel, SERVICE + name, getattr(messages, request), getattr(messages, response))


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with interop_server() as made:
        yield made


Run = Callable[[Callable[[Stub], Awaitable[None]]], None]


@pytest.fixture
def run(address: str) -> Run:
    """Runs a case on a connection of its own."""

    def run(case: Callable[[Stub], Awaitable[None]]) -> None:
        async def connected() -> None:
            host, port = address.split(":")
            async with Channel(host, int(port)) as channel:
                await asyncio.wait_for(case(Stub(channel)), 120)

        asyncio.run(connected())

    return run


def payload(size: int) -> Any:
    return messages.Payload(body=bytes(size))


def output(*sizes: int, **more: Any) -> Any:
    return messages.StreamingOutputCallRequest(
        response_parameters=[messages.ResponseParameters(size=size) for size in sizes], **more
    )


def test_empty_unary(run: Run) -> None:
    async def case(stub: Stub) -> None:
        assert await stub.EmptyCall(messages.Empty()) == messages.Empty()

    run(case)


def test_large_unary(run: Run) -> None:
    async def case(stub: Stub) -> None:
        request = messages.SimpleRequest(response_size=314159, payload=payload(271828))
        assert (await stub.UnaryCall(request)).payload == payload(314159)

    run(case)


def test_cacheable_unary(run: Run) -> None:
    async def case(stub: Stub) -> None:
        request = messages.SimpleRequest(payload=payload(10), response_size=128)
        headers = {"x-user-ip": "1.2.3.4", "cache-control": "max-age=60"}
        answers = [await stub.CacheableUnaryCall(request, metadata=headers) for _ in range(2)]
        assert answers[0].payload == payload(128)
        assert answers[0] == answers[1]

    run(case)


def test_client_streaming(run: Run) -> None:
    async def case(stub: Stub) -> None:
        requests = [messages.StreamingInputCallRequest(payload=payload(size)) for size in REQUEST_SIZES]
        assert (await stub.StreamingInputCall(requests)).aggregated_payload_size == 74922

    run(case)


def test_server_streaming(run: Run) -> None:
    async def case(stub: Stub) -> None:
        answers = await stub.StreamingOutputCall(output(*RESPONSE_SIZES))
        assert [len(answer.payload.body) for answer in answers] == RESPONSE_SIZES

    run(case)


def test_ping_pong(run: Run) -> None:
    async def case(stub: Stub) -> None:
        async with stub.FullDuplexCall.open() as stream:
            for asked, given in zip(RESPONSE_SIZES, REQUEST_SIZES, strict=True):
                await stream.send_message(output(asked, payload=payload(given)))
                assert (await stream.recv_message()).payload == payload(asked)
            await stream.end()
            assert await stream.recv_message() is None

    run(case)


def test_empty_stream(run: Run) -> None:
    async def case(stub: Stub) -> None:
        assert await stub.FullDuplexCall([]) == []

    run(case)


def test_half_duplex(run: Run) -> None:
    async def case(stub: Stub) -> None:
        answers = await stub.HalfDuplexCall([output(size) for size in RESPONSE_SIZES])
        assert [len(answer.payload.body) for answer in answers] == RESPONSE_SIZES

    run(case)


def test_cancel_after_begin(run: Run) -> None:
    async def case(stub: Stub) -> None:
        async with stub.StreamingInputCall.open() as stream:
            await stream.send_request()
            await stream.cancel()
        assert await stub.EmptyCall(messages.Empty()) == messages.Empty()

    run(case)


def test_cancel_after_first_response(run: Run) -> None:
    async def case(stub: Stub) -> None:
        async with stub.FullDuplexCall.open() as stream:
            await stream.send_message(output(31415))
            assert (await stream.recv_message()).payload == payload(31415)
            await stream.cancel()
        # The connection is as good as before.
        assert await stub.EmptyCall(messages.Empty()) == messages.Empty()

    run(case)


def test_timeout_on_sleeping_server(run: Run) -> None:
    async def case(stub: Stub) -> None:
        slow = messages.StreamingOutputCallRequest(
            response_parameters=[messages.ResponseParameters(size=1, interval_us=10_000_000)]
        )
        with pytest.raises((GRPCError, asyncio.TimeoutError)):
            await stub.StreamingOutputCall(slow, timeout=0.05)

    run(case)


def test_custom_metadata(run: Run) -> None:
    sent = {"x-grpc-test-echo-initial": "a value", "x-grpc-test-echo-trailing-bin": b"\xab\xab\xab"}

    async def case(stub: Stub) -> None:
        async with stub.UnaryCall.open(metadata=sent) as stream:
            await stream.send_message(messages.SimpleRequest(response_size=7), end=True)
            assert (await stream.recv_message()).payload == payload(7)
            await stream.recv_trailing_metadata()
            assert stream.initial_metadata["x-grpc-test-echo-initial"] == "a value"
            assert stream.trailing_metadata["x-grpc-test-echo-trailing-bin"] == b"\xab\xab\xab"

    run(case)


def test_status_code_and_message(run: Run) -> None:
    async def case(stub: Stub) -> None:
        message = "test status message"
        status = messages.EchoStatus(code=2, message=message)
        for call in (
            lambda: stub.UnaryCall(messages.SimpleRequest(response_status=status)),
            lambda: stub.FullDuplexCall([messages.StreamingOutputCallRequest(response_status=status)]),
        ):
            with pytest.raises(GRPCError) as caught:
                await call()  # type: ignore[no-untyped-call]
            assert caught.value.status is Status.UNKNOWN
            assert caught.value.message == message

    run(case)


def test_special_status_message(run: Run) -> None:
    async def case(stub: Stub) -> None:
        message = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n"
        with pytest.raises(GRPCError) as caught:
            await stub.UnaryCall(messages.SimpleRequest(response_status=messages.EchoStatus(code=2, message=message)))
        assert caught.value.status is Status.UNKNOWN
        assert caught.value.message == message

    run(case)


def test_unimplemented_method(run: Run) -> None:
    async def case(stub: Stub) -> None:
        with pytest.raises(GRPCError) as caught:
            await stub.UnimplementedCall(messages.Empty())
        assert caught.value.status is Status.UNIMPLEMENTED

    run(case)


def test_unimplemented_service(run: Run) -> None:
    async def case(stub: Stub) -> None:
        method = UnaryUnaryMethod(
            stub.channel, "/grpc.testing.UnimplementedService/UnimplementedCall", messages.Empty, messages.Empty
        )
        with pytest.raises(GRPCError) as caught:
            await method(messages.Empty())
        assert caught.value.status is Status.UNIMPLEMENTED

    run(case)


def test_slow_consumer(run: Run) -> None:
    async def case(stub: Stub) -> None:
        count = 0
        async with stub.StreamingOutputCall.open() as stream:
            await stream.send_message(output(*[1030] * 2000), end=True)
            async for answer in stream:
                assert answer.payload == payload(1030)
                count += 1
                if count <= 50:
                    await asyncio.sleep(0.005)
        assert count == 2000

    run(case)


async def large_unary(stub: Stub) -> None:
    request = messages.SimpleRequest(response_size=314159, payload=payload(271828))
    assert (await stub.UnaryCall(request)).payload == payload(314159)


def test_concurrent_large_unary(run: Run) -> None:
    async def case(stub: Stub) -> None:
        await asyncio.gather(*(large_unary(stub) for _ in range(50)))

    run(case)


def test_rpc_soak(run: Run) -> None:
    async def case(stub: Stub) -> None:
        for _ in range(50):
            await large_unary(stub)

    run(case)


def test_channel_soak(run: Run) -> None:
    for _ in range(20):
        run(large_unary)
