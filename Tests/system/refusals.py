"""Looking at how a call was refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message
from google.rpc import error_details_pb2
from grpc_status import rpc_status


def refused(call: Callable[[], object]) -> Any:
    """The error that the call ends with."""
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return caught.value


def bad_field(error: Any) -> str:
    """The field that google.rpc.BadRequest names, in grpc-status-details-bin."""
    return str(detail(error, error_details_pb2.BadRequest()).field_violations[0].field)


def reason(error: Any) -> tuple[str, dict[str, str]]:
    """What google.rpc.ErrorInfo says."""
    info = detail(error, error_details_pb2.ErrorInfo())
    assert info.domain == "dspy-orchestrator"
    return info.reason, dict(info.metadata)


def detail(error: Any, into: Message) -> Any:
    """The one detail of its kind in grpc-status-details-bin."""
    status = rpc_status.from_call(error)
    assert status is not None, f"no details with: {error.details()}"
    assert status.message == error.details()
    found = [each for each in status.details if each.Unpack(into)]
    assert len(found) == 1, f"{len(found)} of {into.DESCRIPTOR.full_name} in {status}"
    return into
