"""The programs that are deployed, and what their own --help says they take."""

from __future__ import annotations

import functools
import re
import subprocess
from pathlib import Path

from server import EXECUTABLE, ROOT

RUNNER = Path(EXECUTABLE).with_name("dspy-env-runner")

DEPLOY = ROOT / "deploy"


@functools.cache
def variables(program: str) -> frozenset[str]:
    """The environment variables that ``--help`` shows; of the server's ``serve``."""
    arguments = [program, "--help"] if program == str(RUNNER) else [program, "serve", "--help"]
    text = subprocess.run(arguments, capture_output=True, text=True, timeout=30, check=True).stdout
    return frozenset(re.findall(r"\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b", text))
