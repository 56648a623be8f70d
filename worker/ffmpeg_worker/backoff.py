"""Pauses between tries that nobody answered: short at first, longer later, never in step."""

from __future__ import annotations

import random

#: A pause is up to this part shorter, so that workers that lost a master together part ways.
_JITTER = 0.5


class Backoff:
    """Pauses that double from the first to the last."""

    def __init__(self, first_seconds: float = 0.5, last_seconds: float = 10.0) -> None:
        self.first_seconds = first_seconds
        self.last_seconds = last_seconds
        self.tries = 0

    def pause(self) -> float:
        """How long to wait before the next try."""
        seconds = min(self.first_seconds * 2.0 ** min(self.tries, 30), self.last_seconds)
        self.tries += 1
        return seconds * (1 - _JITTER * random.random())  # noqa: S311 - nothing is secret

    def reset(self) -> None:
        """It was answered: begin with the first pause again."""
        self.tries = 0
