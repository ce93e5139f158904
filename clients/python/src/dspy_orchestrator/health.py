"""gRPC's health service (grpc.health.v1), without a package for its two messages of one field each."""

from __future__ import annotations

from enum import Enum
from typing import Any

METHOD = "/grpc.health.v1.Health/Check"


class Health(str, Enum):
    """What the server says of itself."""

    SERVING = "serving"
    NOT_SERVING = "not_serving"
    """It drains, or can't keep jobs safe just now."""
    UNKNOWN = "unknown"


def method(channel: Any) -> Any:
    """Health.Check on a channel of either kind: a service's name in, a Health out."""
    return channel.unary_unary(METHOD, request_serializer=_request, response_deserializer=_response)


def _request(service: str) -> bytes:
    # HealthCheckRequest { string service = 1; }, and names of services are short: one byte of length.
    name = service.encode()
    return b"\x0a" + bytes([len(name)]) + name if name else b""


def _response(message: bytes) -> Health:
    # HealthCheckResponse { ServingStatus status = 1; }: SERVING 1, NOT_SERVING 2.
    return {b"\x08\x01": Health.SERVING, b"\x08\x02": Health.NOT_SERVING}.get(message[:2], Health.UNKNOWN)
