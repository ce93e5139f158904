"""The client for asyncio: the same names, to be awaited."""

from dspy_orchestrator.aio.client import AsyncClient
from dspy_orchestrator.aio.handle import AsyncJobHandle, as_completed
from dspy_orchestrator.aio.logs import AsyncLogStream
from dspy_orchestrator.aio.stream import AsyncEventStream

__all__ = ["AsyncClient", "AsyncEventStream", "AsyncJobHandle", "AsyncLogStream", "as_completed"]
