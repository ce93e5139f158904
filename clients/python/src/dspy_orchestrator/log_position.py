"""Where a reader stands in a job's output. Pure, for both clients."""

from __future__ import annotations

import dataclasses

import grpc

from dspy_orchestrator import wire
from dspy_orchestrator.errors import from_rpc_error
from dspy_orchestrator.model import LogChunk
from dspy_orchestrator.reconnecting import Reconnecting
from dspy_orchestrator.retrying import may_resume
from dspy_orchestrator.v1 import orchestrator_pb2 as pb


class LogPosition:
    """What is wanted of a job's output, and how much of it has come."""

    def __init__(
        self,
        *,
        target: str,
        job_id: str,
        stream: str | None,
        offset: int,
        follow: bool,
        attempt: int,
        reconnect_for: float,
    ) -> None:
        self._target = target
        self._job_id = job_id
        self._stream = wire.log_stream_number(stream)
        self._start = offset
        self._next: dict[str, int] = {}
        self._follow = follow
        self._reconnecting = Reconnecting("StreamLogs", target, reconnect_for)
        self.attempt = attempt
        """0 is the newest; once something came it must be a certain one, or a resumed stream could be another's."""

    def opened(self, now: float) -> pb.StreamLogsRequest:
        self._reconnecting.opened(now)
        # With both streams the server starts at 0, and what came already is dropped below.
        resumed = next(iter(self._next.values()), self._start)
        return pb.StreamLogsRequest(
            job_id=self._job_id,
            stream=self._stream,  # type: ignore[arg-type]
            offset=resumed if self._stream != pb.LOG_STREAM_UNSPECIFIED else 0,
            follow=self._follow,
            attempt=self.attempt,
        )

    def received(self, message: pb.LogChunk) -> LogChunk | None:
        """The part of the chunk that is new, or None."""
        self._reconnecting.received()
        chunk = wire.log_chunk(message)
        known = self._next.get(chunk.stream, self._start)
        if chunk.offset < known:
            chunk = dataclasses.replace(chunk, offset=known, data=chunk.data[known - chunk.offset :])
        if not chunk.data and not chunk.truncated:
            return None
        self._next[chunk.stream] = chunk.offset + len(chunk.data)
        return chunk

    def lost(self, error: grpc.RpcError, now: float) -> float:
        """Seconds to wait before going on. Raises when there is no going on."""
        if not may_resume(error):
            raise from_rpc_error(error, target=self._target, method="StreamLogs") from None
        return self._reconnecting.lost(error, now)
