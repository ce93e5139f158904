"""What a subscriber of events knows and decides, for both clients. Pure: time comes in as a parameter."""

from __future__ import annotations

from collections.abc import Sequence

import grpc

from dspy_orchestrator import wire
from dspy_orchestrator.cursor import Cursor
from dspy_orchestrator.errors import DeadlineExceeded, InvalidArgument, from_rpc_error
from dspy_orchestrator.model import Event
from dspy_orchestrator.reconnecting import Reconnecting
from dspy_orchestrator.retrying import may_resume
from dspy_orchestrator.v1 import orchestrator_pb2 as pb


class Subscription:
    """A place in the event log, what is wanted from there on, and what to do when the connection goes."""

    def __init__(
        self,
        *,
        target: str,
        after: int,
        from_now: bool,
        job_ids: Sequence[str],
        types: Sequence[str],
        end_when_done: bool,
        deadline: float | None,
        reconnect_for: float,
    ) -> None:
        self._target = target
        self._cursor = Cursor(after, filtered=bool(job_ids or types))
        self._from_now = from_now
        self._job_ids = tuple(job_ids)
        self._types = tuple(types)
        self._end_when_done = end_when_done
        self._deadline = deadline
        self._reconnecting = Reconnecting("StreamEvents", target, reconnect_for)
        self._pending = set(job_ids)

    @property
    def after(self) -> int:
        """Sequence of the last event handed out, or where the stream began."""
        return self._cursor.after

    @property
    def pending(self) -> list[str]:
        """The named jobs whose end has not come by."""
        return sorted(self._pending)

    @property
    def may_end(self) -> bool:
        """Whether an OK end can be the true one."""
        return self._end_when_done

    def start_after(self, sequence: int) -> None:
        """Turns "from now" into a sequence, so that a lost connection can be taken up from the beginning."""
        self._from_now = False
        self._cursor.after = sequence

    def opened(self, now: float) -> tuple[pb.StreamEventsRequest, float | None]:
        """The request that goes on from here, and the seconds it may take."""
        self._reconnecting.opened(now)
        request = pb.StreamEventsRequest(
            after_sequence=self._cursor.after,
            job_ids=self._job_ids,
            types=self._types,
            from_now=self._from_now,
            end_when_done=self._end_when_done,
        )
        return request, None if self._deadline is None else max(0.001, self._deadline - now)

    def received(self, message: pb.Event) -> Event | None:
        """The event, or None when it was seen before. Raises EventGap."""
        self._from_now = False
        if not self._cursor.accept(message.sequence):
            return None
        self._reconnecting.received()
        event = wire.event(message)
        if event.is_terminal:
            self._pending.discard(event.job_id)
        return event

    def lost(self, error: grpc.RpcError | None, now: float) -> float:
        """Seconds to wait before going on; None is an OK end that came too early. Raises when there is no going on."""
        if error is not None:
            if self._deadline is not None and now >= self._deadline:
                raise DeadlineExceeded(
                    f"the events did not end in time; the last one seen was {self._cursor.after}: "
                    f"go on with events(after={self._cursor.after})"
                ) from None
            if not may_resume(error) or self._from_now:
                # Without a sequence there is no place to resume from, and "now" would skip what came in between.
                raise from_rpc_error(error, target=self._target, method="StreamEvents") from None
        delay = self._reconnecting.lost(error, now)
        return delay if self._deadline is None else min(delay, max(0.0, self._deadline - now))


def check(after: int, job_ids: Sequence[str] | None, types: Sequence[str] | None, from_now: bool, end: bool) -> None:
    """Refuses arguments of ``events`` that contradict each other."""
    if isinstance(job_ids, str) or isinstance(types, str):
        raise InvalidArgument("job_ids and types are lists: write ['…'] around a single one", "job_ids")
    if end and not job_ids:
        raise InvalidArgument("end_when_done needs job_ids: name the jobs whose end is awaited", "end_when_done")
    if from_now and after:
        raise InvalidArgument(f"from_now and after={after} exclude each other: give one of them", "from_now")
