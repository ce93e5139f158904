"""What the tests have the server's runners call."""

from __future__ import annotations


def square(number: int) -> int:
    print(f"squaring {number}")
    return number * number


def fail(message: str) -> None:
    raise LookupError(message)
