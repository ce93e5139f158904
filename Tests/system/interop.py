"""The server of gRPC's interop tests, and the messages they speak."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from server import ROOT

EXECUTABLE = os.environ.get("INTEROP_SERVER_EXECUTABLE") or str(ROOT / ".build/debug/InteropServer")

SERVICE = "/grpc.testing.TestService/"


@contextmanager
def interop_server(*tls: str) -> Iterator[str]:
    """Runs the server, in plain text or with these flags; gives its address."""
    assert Path(EXECUTABLE).is_file(), f"no {EXECUTABLE}: run `swift build`, or set INTEROP_SERVER_EXECUTABLE"
    with subprocess.Popen(
        [EXECUTABLE, "--port=0", *(tls or ["--use_tls=false"])], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            ready = process.stdout.readline().strip()
            assert ready.startswith("ready rpc="), f"no ready line but {ready!r}"
            yield ready.removeprefix("ready rpc=")
            assert process.poll() is None, f"the server ended with {process.returncode}"
        finally:
            process.kill()


@cache
def _types() -> dict[str, Any]:
    with tempfile.NamedTemporaryFile() as file:
        protoc = ["protoc", "-I", str(ROOT / "proto"), "--include_imports", f"--descriptor_set_out={file.name}"]
        subprocess.run([*protoc, "grpc/testing/test.proto"], check=True, timeout=30)
        described = descriptor_pb2.FileDescriptorSet.FromString(Path(file.name).read_bytes())
    # A pool of its own, for the default one may have these names from a client library.
    return dict(message_factory.GetMessages(list(described.file), descriptor_pool.DescriptorPool()))


class Messages:
    """``messages.SimpleRequest`` is the class of grpc.testing.SimpleRequest."""

    def __getattr__(self, name: str) -> Any:
        return _types()[f"grpc.testing.{name}"]


messages = Messages()

# Method → kind as grpcio calls it, request and response.
METHODS = {
    "EmptyCall": ("unary_unary", "Empty", "Empty"),
    "UnaryCall": ("unary_unary", "SimpleRequest", "SimpleResponse"),
    "CacheableUnaryCall": ("unary_unary", "SimpleRequest", "SimpleResponse"),
    "StreamingOutputCall": ("unary_stream", "StreamingOutputCallRequest", "StreamingOutputCallResponse"),
    "StreamingInputCall": ("stream_unary", "StreamingInputCallRequest", "StreamingInputCallResponse"),
    "FullDuplexCall": ("stream_stream", "StreamingOutputCallRequest", "StreamingOutputCallResponse"),
    "HalfDuplexCall": ("stream_stream", "StreamingOutputCallRequest", "StreamingOutputCallResponse"),
    "UnimplementedCall": ("unary_unary", "Empty", "Empty"),
}
