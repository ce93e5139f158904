"""Messages that lie about themselves, and messages that are lawful and strange."""

from __future__ import annotations

import struct
from typing import Any

import grpc
import pytest
from attacker import DATA, END_STREAM, SERVICE, Attacker, call, frame, headers, message
from healthy import unharmed
from refusals import refused
from server import Server

from dspy_orchestrator.v1 import orchestrator_pb2 as pb

UNIMPLEMENTED, INTERNAL, RESOURCE_EXHAUSTED, INVALID_ARGUMENT = 12, 13, 8, 3
MOST_BYTES = 4 << 20

BAD_MESSAGES = {
    "more than the limit, said": (message(b"x", length=MOST_BYTES + 1), [RESOURCE_EXHAUSTED]),
    "4 GiB, said": (message(b"x", length=0xFFFFFFFF), [RESOURCE_EXHAUSTED]),
    "cut short": (message(b"x", length=100), [INTERNAL]),
    "a prefix cut short": (b"\x00\x00", [INTERNAL]),
    "nothing": (b"", [INTERNAL]),
    "two of them": (message() * 2, [UNIMPLEMENTED]),
    "compressed without an encoding": (message(flag=1), [INTERNAL, UNIMPLEMENTED]),
    "a flag that is neither 0 nor 1": (message(flag=0xFF), [INTERNAL]),
}


@pytest.mark.parametrize("what", BAD_MESSAGES)
def test_a_message_that_lies_is_refused_and_the_connection_goes_on(server: Server, what: str) -> None:
    body, statuses = BAD_MESSAGES[what]
    with unharmed(server), Attacker(server.rpc) as attacker:
        attacker.send(headers(1), frame(DATA, body, 1, END_STREAM), call(3))
        bad, good = attacker.until_over(1, 3)
        assert bad.status in statuses
        assert good.status is not None
        assert good.status not in statuses


def test_requests_that_never_end_hold_bounded_memory(server: Server) -> None:
    """Each stays under the limit of one message; together they are 1,000 times 1 MiB."""
    with unharmed(server, growth=160 << 20), Attacker(server.rpc) as attacker:
        piece = frame(DATA, b"x" * 16_000, 0)
        for stream in range(1, 601, 2):
            attacker.send(headers(stream), frame(DATA, message(b"", length=MOST_BYTES), stream))
            attacker.send((piece[:5] + struct.pack(">I", stream) + piece[9:]) * 60)
        # The windows are the server's to open: what it does not take is not sent, or ends the connection.
        try:
            attacker.send_all(timeout=15)
        except AssertionError:
            assert attacker.output


def raw(server: Server, method: str, body: bytes) -> Any:
    return server.channel().unary_unary(SERVICE + method)(body, timeout=30)


def varint(value: int) -> bytes:
    encoded = b""
    while value >= 0x80:
        encoded += bytes([value & 0x7F | 0x80])
        value >>= 7
    return encoded + bytes([value])


def text(number: int, value: bytes) -> bytes:
    """A field of length and bytes."""
    return varint(number << 3 | 2) + varint(len(value)) + value


PAYLOAD = text(3, b'{"command":["true"]}')

BAD_FIELDS = {
    "an id with NUL": text(1, b"a\0b") + PAYLOAD,
    "an id of broken UTF-8": text(1, b"\xff\xfe") + PAYLOAD,
    "an id of an overlong form": text(1, b"\xc0\x80") + PAYLOAD,
    "an id of half a surrogate pair": text(1, b"\xed\xa0\x80") + PAYLOAD,
    "a label's name with NUL": PAYLOAD + text(5, text(1, b"a\0b") + text(2, b"v")),
    "a label's value of broken UTF-8": PAYLOAD + text(5, text(1, b"a") + text(2, b"\xff")),
    "an unknown class": PAYLOAD + varint(2 << 3) + varint(99),
    "a negative class": PAYLOAD + varint(2 << 3) + b"\xff" * 9 + b"\x01",
    "a payload that is not JSON": text(3, b"\xff"),
    "a timeout before the beginning": PAYLOAD + text(6, varint(1 << 3) + b"\xff" * 9 + b"\x01"),
    "a dependency with NUL": PAYLOAD + text(8, b"\0"),
}


@pytest.mark.parametrize("what", BAD_FIELDS)
def test_a_field_that_cannot_be_is_refused(server: Server, what: str) -> None:
    error = refused(lambda: raw(server, "SubmitJob", BAD_FIELDS[what]))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT, error
    assert error.details()


NO_MESSAGES = {
    "a tag without a value": b"\x0a",
    "a length beyond the end": b"\x0a\x7fx",
    "a length of 2^63": b"\x0a" + b"\xff" * 9 + b"\x7f",
    "a varint of eleven bytes": b"\x10" + b"\xff" * 10 + b"\x01",
    "field number zero": b"\x00\x00",
    "a group that is opened only": b"\x0b",
    "a group that is closed only": b"\x0c",
    "wire type 7": b"\x0f",
    "a hundred thousand groups": b"\x0b" * 100_000,
}


@pytest.mark.parametrize("what", NO_MESSAGES)
def test_bytes_that_are_no_message_are_refused(server: Server, what: str) -> None:
    error = refused(lambda: raw(server, "SubmitJob", NO_MESSAGES[what]))
    assert error.code() in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.INTERNAL), error


def test_of_a_label_named_twice_the_last_holds(server: Server) -> None:
    twice = text(5, text(1, b"a") + text(2, b"first")) + text(5, text(1, b"a") + text(2, b"last"))
    job = pb.SubmitJobResponse.FromString(raw(server, "SubmitJob", PAYLOAD + twice)).job
    assert dict(job.labels) == {"a": "last"}


def test_of_a_field_given_twice_the_last_holds_and_unknown_fields_are_let_pass(server: Server) -> None:
    strange = (
        text(1, b"first")
        + PAYLOAD
        + text(1, b"last")
        + text(1000, b"from a newer client")
        + varint(2000 << 3)
        + b"\x01"
    )
    job = pb.SubmitJobResponse.FromString(raw(server, "SubmitJob", strange)).job
    assert job.job_id == "last"


MANY = {
    "labels": ("SubmitJob", PAYLOAD + text(5, b"") * 500_000),
    "dependencies": ("SubmitJob", PAYLOAD + text(8, b"") * 500_000),
    "jobs": ("SubmitJobs", text(1, b"") * 500_000),
    "states": ("ListJobs", text(1, b"\x01" * 4_000_000)),
    "states one by one": ("ListJobs", b"\x08\x01" * 2_000_000),
    "unknown fields": ("GetStatus", varint(1000 << 3) + b"\x01" + (varint(1000 << 3) + b"\x01") * 1_000_000),
    "the same field": ("GetStatus", text(1, b"x") * 1_000_000),
}


@pytest.mark.parametrize("what", MANY)
def test_a_gigantic_number_of_fields_is_survived_in_bounded_memory(server: Server, what: str) -> None:
    """A field of two bytes may take a hundred when it is unpacked, for as long as the call lasts."""
    method, body = MANY[what]
    with unharmed(server, growth=512 << 20):
        call = server.channel().unary_unary(SERVICE + method).future(body, timeout=60)
        assert call.code() in (
            grpc.StatusCode.OK,
            grpc.StatusCode.INVALID_ARGUMENT,
            grpc.StatusCode.NOT_FOUND,
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            grpc.StatusCode.UNIMPLEMENTED,
        )
