"""Looking at how a call was refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status


def refused(call: Callable[[], object]) -> Any:
    """The error that the call ends with."""
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return caught.value


def bad_field(error: Any) -> str:
    """The field that google.rpc.BadRequest names, in grpc-status-details-bin."""
    status = rpc_status.from_call(error)
    assert status is not None, f"no details with: {error.details()}"
    assert status.message == error.details()
    bad = error_details_pb2.BadRequest()
    assert any(detail.Unpack(bad) for detail in status.details)
    return str(bad.field_violations[0].field)
