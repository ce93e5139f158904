"""How long to wait before the next try. Pure: randomness comes in as a parameter."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class Backoff:
    """Exponential, with jitter over the upper half, so that many clients don't return in step."""

    initial: float = 0.1
    """Seconds, at most, before the second try."""
    longest: float = 5.0
    """Seconds, at most, before any try."""
    jitter: Callable[[], float] = random.random
    """Gives a number in [0, 1)."""
    _failures: int = field(default=0, init=False)

    def next(self, asked: float | None = None) -> float:
        """Seconds to wait after one more failure, and never less than what the server asked for."""
        # The exponent is bounded so that years of failures can't overflow a float.
        ceiling = min(self.longest, self.initial * 2.0 ** min(self._failures, 30))
        self._failures += 1
        return max(asked or 0.0, ceiling * (0.5 + 0.5 * self.jitter()))

    def reset(self) -> None:
        self._failures = 0
