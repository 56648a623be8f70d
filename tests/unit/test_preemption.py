"""Batch jobs stand still for live ones, the newest first, and for nobody else."""

from __future__ import annotations

import pytest

from ffmpeg_jobs.model import Queue
from ffmpeg_worker.preemption import gives_way, takes_live

KINDS = {"b": Queue.BATCH, "d": Queue.DEFAULT, "l": Queue.LIVE}


def running(words: str) -> dict[str, Queue]:
    """Jobs such as "b1 d2", oldest first."""
    return {word: KINDS[word[0]] for word in words.split()}


@pytest.mark.parametrize(
    ("jobs", "slots", "still"),
    [
        ("", 1, ""),
        ("b1", 1, ""),
        ("b1 l2", 1, "b1"),
        ("b1 l2", 2, ""),
        ("b1 b2 l3", 2, "b2"),
        ("b1 b2 l3 l4", 2, "b1 b2"),
        ("b1 d2 l3", 2, "b1"),
        ("b1 b2 b3", 2, ""),  # more than there are places, but not for a live one
        ("b1 b2 b3 l4", 1, "b3"),
        ("d1 l2", 1, ""),
    ],
)
def test_who_gives_way(jobs: str, slots: int, still: str) -> None:
    assert gives_way(running(jobs), slots) == frozenset(still.split())


@pytest.mark.parametrize(
    ("jobs", "slots", "takes"),
    [
        ("b1", 1, True),
        ("d1", 1, False),
        ("l1", 1, False),
        ("b1 l2", 1, False),  # it gives way already
        ("b1 b2 l3", 2, True),
        ("d1 b2", 2, True),
    ],
)
def test_a_full_machine_takes_a_live_job_where_another_gives_way(
    jobs: str, slots: int, takes: bool
) -> None:
    assert takes_live(running(jobs), slots) is takes
