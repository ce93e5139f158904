from __future__ import annotations

from dspy_orchestrator.backoff import Backoff


def test_each_failure_doubles_the_wait_up_to_the_longest() -> None:
    backoff = Backoff(initial=1, longest=5, jitter=lambda: 1)
    assert [backoff.next() for _ in range(5)] == [1, 2, 4, 5, 5]


def test_jitter_takes_away_up_to_half() -> None:
    assert Backoff(initial=1, jitter=lambda: 0).next() == 0.5


def test_the_servers_wish_is_a_lower_bound() -> None:
    assert Backoff(initial=1, jitter=lambda: 1).next(asked=7) == 7
    assert Backoff(initial=1, jitter=lambda: 1).next(asked=0.2) == 1


def test_reset_starts_over() -> None:
    backoff = Backoff(initial=1, jitter=lambda: 1)
    backoff.next()
    backoff.reset()
    assert backoff.next() == 1


def test_many_failures_do_not_overflow() -> None:
    backoff = Backoff(jitter=lambda: 1)
    assert {backoff.next() for _ in range(5000)} <= {0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0}
