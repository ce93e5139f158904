"""gRPC's interop cases over TLS; test_interop.py has them in plain text."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from certificates import Authority
from interop import EXECUTABLE, interop_server
from test_interop import (  # noqa: F401
    stub,
    test_cancel_after_first_response,
    test_client_streaming,
    test_custom_metadata,
    test_empty_stream,
    test_empty_unary,
    test_large_unary,
    test_many_calls_of_all_kinds_share_a_connection,
    test_ping_pong,
    test_server_compressed_unary,
    test_server_streaming,
    test_status_code_and_message,
    test_timeout_on_sleeping_server,
    test_unimplemented_service,
)


@pytest.fixture(scope="module")
def channel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    authority = Authority(tmp_path_factory.mktemp("tls"))
    server = authority.server("server")
    flags = ("--use_tls=true", f"--tls_cert_file={server.certificate}", f"--tls_key_file={server.key}")
    credentials = grpc.ssl_channel_credentials(Path(authority.certificate).read_bytes())
    with interop_server(*flags) as address, grpc.secure_channel(address, credentials) as made:
        yield made


def test_tls_without_a_certificate_is_refused_with_the_flags_it_needs() -> None:
    refused = subprocess.run([EXECUTABLE, "--use_tls=true"], capture_output=True, text=True, timeout=30)
    assert refused.returncode != 0
    assert "--tls_cert_file" in refused.stderr
    assert "--tls_key_file" in refused.stderr
