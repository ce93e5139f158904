"""DSPy programs that the tests have the server's runners run, with language models that need no network."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import dspy
from dspy.utils import DummyLM


class Capital(dspy.Module):  # type: ignore[misc]
    """Answers with what the dummy model knows, and takes note of each time it ran."""

    def __init__(self) -> None:
        super().__init__()
        self.ask = dspy.Predict("country -> capital")

    def forward(self, country: str) -> Any:
        with Path(os.environ["RAN"]).open("a") as ran:
            ran.write(f"{country}\n")
        if country == "Nowhere":
            raise LookupError("no such country")
        answer = self.ask(country=country)
        return dspy.Prediction(capital=answer.capital, instructions=self.ask.signature.instructions)


KNOWN = {"France": {"capital": "Paris"}, "Peru": {"capital": "Lima"}, "Japan": {"capital": "Tokyo"}}


def configure() -> None:
    """The worker's setup."""
    dspy.configure(lm=DummyLM(KNOWN))
