"""What a DSPy program does, in the server's log beside its jobs."""

from __future__ import annotations

import time
from typing import Any

import dspy
from dspy.utils.callback import ACTIVE_CALL_ID, BaseCallback

from dspy_orchestrator.client import Client
from dspy_orchestrator.publisher import Publisher

_CONTENT_LIMIT = 1000
"""Characters of an input or output, when they are to be published."""


class OrchestratorCallback(BaseCallback):
    """``dspy.configure(callbacks=[OrchestratorCallback(client)])`` publishes each call of a module, LM, tool or
    evaluation, when it starts and when it ends: ``agent.module.start``, ``agent.lm.end`` …

    An event has the call's id and its parent's, the component's name and, at the end, the seconds it took and the error
    if there was one. What went in and came out stays here, unless ``content`` is set: prompts are nobody else's
    business by default. Nothing waits for the server; ``dropped`` counts what was lost. ``close`` sends what is left.
    """

    def __init__(self, client: Client, *, content: bool = False, job_id: str | None = None) -> None:
        self._publisher = Publisher(client, job_id=job_id)
        self._content = content
        self._started: dict[str, tuple[float, str]] = {}

    @property
    def dropped(self) -> int:
        """Events that were lost: the server was away for too long, or too many came at once."""
        return self._publisher.dropped

    def flush(self, timeout: float = 10.0) -> bool:
        """Waits until all is sent. False when ``timeout`` seconds were too few."""
        return self._publisher.flush(timeout)

    def close(self, timeout: float = 10.0) -> None:
        """Sends what there is, for at most ``timeout`` seconds, and ends."""
        self._publisher.close(timeout)

    def __deepcopy__(self, memo: Any) -> OrchestratorCallback:
        return self

    def on_module_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None:
        self._start("module", call_id, type(instance).__name__, inputs)

    def on_module_end(self, call_id: str, outputs: Any, exception: Exception | None = None) -> None:
        self._end("module", call_id, outputs, exception)

    def on_lm_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None:
        self._start("lm", call_id, str(getattr(instance, "model", type(instance).__name__)), inputs)

    def on_lm_end(self, call_id: str, outputs: Any, exception: Exception | None = None) -> None:
        self._end("lm", call_id, outputs, exception)

    def on_tool_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None:
        self._start("tool", call_id, str(getattr(instance, "name", type(instance).__name__)), inputs)

    def on_tool_end(self, call_id: str, outputs: Any, exception: Exception | None = None) -> None:
        self._end("tool", call_id, outputs, exception)

    def on_evaluate_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None:
        self._start("evaluate", call_id, type(instance).__name__, inputs)

    def on_evaluate_end(self, call_id: str, outputs: Any, exception: Exception | None = None) -> None:
        score = getattr(outputs, "score", None)
        more = {"score": score} if isinstance(score, (int, float)) else {}
        self._end("evaluate", call_id, outputs, exception, **more)

    def _start(self, kind: str, call_id: str, name: str, inputs: Any) -> None:
        self._started[call_id] = time.monotonic(), name
        data = {"call_id": call_id, "parent_id": ACTIVE_CALL_ID.get(), "name": name}
        if self._content:
            data["inputs"] = _text(inputs)
        self._publisher.add(f"agent.{kind}.start", data)

    def _end(self, kind: str, call_id: str, outputs: Any, exception: Exception | None, **more: Any) -> None:
        begin, name = self._started.pop(call_id, (time.monotonic(), ""))
        data: dict[str, Any] = {"call_id": call_id, "name": name, "seconds": round(time.monotonic() - begin, 6), **more}
        if exception is not None:
            data["error"] = f"{type(exception).__name__}: {exception}"[:_CONTENT_LIMIT]
        elif self._content:
            data["outputs"] = _text(outputs)
        self._publisher.add(f"agent.{kind}.end", data)


def _text(value: Any) -> str:
    text = repr(value.toDict() if isinstance(value, dspy.Example) else value)
    return text if len(text) <= _CONTENT_LIMIT else f"{text[:_CONTENT_LIMIT]}…"
