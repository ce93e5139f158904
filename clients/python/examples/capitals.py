"""The program of evaluate_in_parallel.py, in a module of its own, for workers import it."""

from __future__ import annotations

from typing import Any

import dspy
from dspy.utils import DummyLM

KNOWN = {"France": {"capital": "Paris"}, "Peru": {"capital": "Lima"}, "Japan": {"capital": "Kyoto"}}


class Capital(dspy.Module):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self.ask = dspy.Predict("country -> capital")

    def forward(self, country: str) -> Any:
        return self.ask(country=country)


def configure() -> None:
    """Called once in each worker. A real dspy.LM needs no such thing: it goes along with each call."""
    dspy.configure(lm=DummyLM(KNOWN))
