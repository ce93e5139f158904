"""Where a subscriber stands in the event log. Pure: sequences in, verdicts out."""

from __future__ import annotations

from dataclasses import dataclass

from dspy_orchestrator.errors import EventGap


@dataclass
class Cursor:
    """The last sequence seen, and what the next one may be."""

    after: int
    """0 stands for "from the oldest kept", so the first event may then have any sequence."""
    filtered: bool = False
    """A stream of some events only has gaps by nature."""

    def accept(self, sequence: int) -> bool:
        """Moves on and returns True, or returns False for an event that was seen before.

        Raises EventGap when an unfiltered stream skipped events.
        """
        if sequence <= self.after:
            return False
        if not self.filtered and self.after > 0 and sequence != self.after + 1:
            raise EventGap(self.after + 1, sequence)
        self.after = sequence
        return True
