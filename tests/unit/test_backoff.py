"""Pauses begin short, double, stay bounded, and differ between workers."""

from __future__ import annotations

from ffmpeg_worker.backoff import Backoff


def test_pauses_double_up_to_the_last_and_begin_anew() -> None:
    backoff = Backoff(first_seconds=0.5, last_seconds=4.0)
    for most in (0.5, 1.0, 2.0, 4.0, 4.0):
        assert most / 2 <= backoff.pause() <= most
    backoff.reset()
    assert backoff.pause() <= 0.5


def test_no_two_workers_wait_alike() -> None:
    assert len({Backoff().pause() for _ in range(20)}) > 10
