"""One task and one stream of events that tell all handles of a client when their jobs end."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from dspy_orchestrator.errors import Cancelled, CursorTooOld, DeadlineExceeded, OrchestratorError, Unavailable
from dspy_orchestrator.model import TERMINAL_TYPES, Job

if TYPE_CHECKING:
    from dspy_orchestrator.aio.client import AsyncClient
    from dspy_orchestrator.aio.handle import AsyncJobHandle

_RECONNECT_SECONDS = 300.0

_ASK_AGAIN_SECONDS = 0.05

_CLOSE_SECONDS = 5.0


class AsyncWatcher:
    """Settles handles when their jobs end. Its stream is opened with the first one, and stays."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client
        self._watched: dict[str, list[AsyncJobHandle]] = {}
        self._position = 0
        """Sequence of the last event dealt with, or where the stream began."""
        self._following: asyncio.Task[None] | None = None
        self._asking: set[asyncio.Task[None]] = set()

    def watch(self, handle: AsyncJobHandle) -> None:
        """Has the handle settled when its job ends."""
        self._watched.setdefault(handle.job_id, []).append(handle)
        if self._following is None or self._following.done():
            self._position = handle.last_sequence
            self._following = asyncio.create_task(self._follow())
        elif handle.last_sequence < self._position:
            # An end with a sequence beyond the position is still to come by; an earlier one must be asked for.
            task = asyncio.create_task(self._ask(handle.job_id))
            self._asking.add(task)
            task.add_done_callback(self._asking.discard)

    async def close(self) -> None:
        tasks = [task for task in (self._following, *self._asking) if task is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=_CLOSE_SECONDS)
        error = Cancelled("this AsyncClient is closed: make a new one, and wait for the job with it")
        await self._settle_all(error)

    async def _follow(self) -> None:
        while self._watched:
            try:
                async with self._client.events(
                    self._position, types=TERMINAL_TYPES, reconnect_for=_RECONNECT_SECONDS
                ) as events:
                    async for event in events:
                        self._position = event.sequence
                        if event.job_id in self._watched:
                            await self._settle(event.job_id, await self._outcome(event.job_id))
            except CursorTooOld as error:
                self._position = error.oldest - 1 if error.oldest else 0
                for job_id in list(self._watched):
                    await self._ask(job_id)
            except OrchestratorError as error:
                await self._settle_all(error)

    async def _ask(self, job_id: str) -> None:
        try:
            outcome: Job | OrchestratorError = await self._client.get(job_id)
        except OrchestratorError as error:
            outcome = error
        if isinstance(outcome, OrchestratorError) or outcome.is_done:
            await self._settle(job_id, outcome)

    async def _outcome(self, job_id: str) -> Job | OrchestratorError:
        """The job, which has ended; a server that restarts just now is waited for."""
        deadline = time.monotonic() + _RECONNECT_SECONDS
        while True:
            try:
                job = await self._client.get(job_id)
                if job.is_done:
                    return job
                await asyncio.sleep(_ASK_AGAIN_SECONDS)
            except (Unavailable, DeadlineExceeded) as error:
                if time.monotonic() > deadline:
                    return error
            except OrchestratorError as error:
                return error

    async def _settle(self, job_id: str, outcome: Job | OrchestratorError) -> None:
        for handle in self._watched.pop(job_id, []):
            await handle.settle(outcome)

    async def _settle_all(self, error: OrchestratorError) -> None:
        for job_id in list(self._watched):
            await self._settle(job_id, error)
