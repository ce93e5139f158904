"""dspy.Evaluate spread over the server's runners: python evaluate_in_parallel.py"""

from __future__ import annotations

from pathlib import Path

import capitals
import dspy

from dspy_orchestrator import Client
from dspy_orchestrator.dspy import remote

TRUTH = {"France": "Paris", "Peru": "Lima", "Japan": "Tokyo"}


def main() -> None:
    devset = [dspy.Example(country=country, capital=TRUTH[country]).with_inputs("country") for country in TRUTH]
    with Client() as client:
        # With handler="…" each call goes to a warm worker instead of a process of its own.
        program = remote(capitals.Capital(), client, setup="capitals:configure", cwd=Path(__file__).parent)
        evaluate = dspy.Evaluate(
            devset=devset,
            metric=lambda example, prediction, trace=None: example.capital == prediction.capital,
            num_threads=len(devset),
        )
        print(f"score {evaluate(program).score:.1f}")


if __name__ == "__main__":
    main()
