from __future__ import annotations

import pytest

from dspy_orchestrator import EventGap
from dspy_orchestrator.cursor import Cursor


def test_consecutive_events_are_accepted_and_move_the_cursor() -> None:
    cursor = Cursor(5)
    assert cursor.accept(6)
    assert cursor.accept(7)
    assert cursor.after == 7


def test_an_event_seen_before_is_dropped() -> None:
    cursor = Cursor(5)
    assert not cursor.accept(5)
    assert cursor.after == 5


def test_a_gap_is_an_error_that_names_both_ends() -> None:
    with pytest.raises(EventGap, match="skipped from sequence 5 to 8") as caught:
        Cursor(5).accept(8)
    assert (caught.value.expected, caught.value.got) == (6, 8)


def test_from_the_oldest_kept_any_sequence_comes_first() -> None:
    cursor = Cursor(0)
    assert cursor.accept(100)
    with pytest.raises(EventGap):
        cursor.accept(102)


def test_a_filtered_stream_may_skip_but_not_repeat() -> None:
    cursor = Cursor(5, filtered=True)
    assert cursor.accept(9)
    assert not cursor.accept(9)
