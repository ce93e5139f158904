"""What bench/runner has jobs call: next to nothing, in a module that imports DSPy."""

import dspy


def answer(payload: dict[str, object]) -> object:
    return {"n": payload["n"], "dspy": dspy.__version__}
