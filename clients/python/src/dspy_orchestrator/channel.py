"""How both clients reach the server: where it is, and gRPC's settings."""

from __future__ import annotations

import os
from typing import Any

DEFAULT_TARGET = "127.0.0.1:50051"

TARGET_VARIABLE = "DSPY_ORCHESTRATOR_TARGET"

OPTIONS: list[tuple[str, Any]] = [
    # The server allows a ping every 10 s; quiet event streams notice a dead peer within 30 s.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.max_pings_without_data", 0),
    # A server that restarts is found again within a second, rather than gRPC's own 1 s growing to 2 min.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    # The server takes payloads of up to 1 MiB, and results may be larger than gRPC's 4 MiB.
    ("grpc.max_receive_message_length", 64 << 20),
]


def target(given: str | None) -> str:
    """What is given, else what the environment says, else this machine."""
    return given or os.environ.get(TARGET_VARIABLE) or DEFAULT_TARGET
