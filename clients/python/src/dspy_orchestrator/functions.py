"""Functions by name, so that another process can find and call them: ``module:function``."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any

from dspy_orchestrator.errors import InvalidArgument


def name(function: Callable[..., Any]) -> str:
    """The name under which another process finds the function. Raises InvalidArgument when there is none."""
    module, path = getattr(function, "__module__", None), getattr(function, "__qualname__", None)
    if not module or not path:
        raise InvalidArgument(f"{function!r} has no name: define it with def in a module", "fn")
    if module == "__main__":
        raise InvalidArgument(
            f"{path} is defined in __main__, which a worker can't import: move it to a module of its own", "fn"
        )
    if "<" in path:
        raise InvalidArgument(f"{module}:{path} is a lambda or an inner function: define it at module level", "fn")
    found = f"{module}:{path}"
    if find(found) is not function:
        raise InvalidArgument(f"{found} names something else than the function given: give the one of that name", "fn")
    return found


def find(name: str) -> Any:
    """What ``module:path.to.it`` names. Raises InvalidArgument, or what importing the module raises."""
    module, _, path = name.partition(":")
    if not module or not path:
        raise InvalidArgument(f"{name!r} names no function: write module:function", "function")
    found: Any = importlib.import_module(module)
    for part in path.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise InvalidArgument(f"{name!r}: {module} has no {path}", "function") from None
    return found


def call(payload: Mapping[str, Any]) -> Any:
    """The worker's function for any function: ``{"function": "module:name", "args": [], "kwargs": {}}``."""
    function = payload.get("function")
    if not isinstance(function, str):
        raise InvalidArgument(f'the payload has no "function" but {sorted(payload)}: name one', "function")
    return find(function)(*payload.get("args", ()), **payload.get("kwargs", {}))


CALL = f"{__name__}:{call.__name__}"
"""Where a worker finds ``call``."""
