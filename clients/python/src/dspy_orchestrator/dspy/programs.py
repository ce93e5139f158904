"""The worker's side of RemoteModule: builds the program once and runs its forward for each task."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import dspy

from dspy_orchestrator import functions

_KEPT = 8
"""Programs that a worker keeps, the ones used last: an optimizer makes a new one with each of its steps."""

_programs: OrderedDict[str, Any] = OrderedDict()
_set_up: set[str] = set()


def run(payload: Mapping[str, Any]) -> dict[str, Any]:
    """``{"program", "state", "setup", "lm", "inputs"}`` in, the prediction out."""
    program = _program(payload)
    lm = payload.get("lm")
    context = {"lm": dspy.LM.load_state(lm)} if lm else {}
    with dspy.context(**context):
        outcome = program(**payload["inputs"])
    if not isinstance(outcome, dspy.Prediction):
        return {"value": plain(outcome)}
    return {"prediction": plain(outcome), "lm_usage": plain(outcome.get_lm_usage() or {})}


RUN = f"{__name__}:{run.__name__}"
"""Where a worker finds ``run``."""


def plain(value: Any) -> Any:
    """Examples, predictions and pydantic models as what JSON has; other things as they are."""
    if isinstance(value, dspy.Example):
        return plain(value.toDict())
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if isinstance(value, Mapping):
        return {key: plain(content) for key, content in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(content) for content in value]
    return value


def _program(payload: Mapping[str, Any]) -> Any:
    setup = payload.get("setup")
    if setup and setup not in _set_up:
        functions.find(setup)()
        _set_up.add(setup)
    key = json.dumps([payload["program"], payload.get("state")], sort_keys=True)
    if key not in _programs:
        made = functions.find(payload["program"])
        program = made if isinstance(made, dspy.Module) else made()
        if payload.get("state") is not None:
            program.load_state(payload["state"])
        _programs[key] = program
        while len(_programs) > _KEPT:
            _programs.popitem(last=False)
    _programs.move_to_end(key)
    return _programs[key]
