"""The moves of jobs from state to state, and nothing else sets a state once a job is there.

Each compares state and attempt before it sets them. Who moves a job holds its row until the
transaction ends, so the comparison only fails by a mistake of ours: then nothing is changed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import and_, bindparam, literal_column, update

from ffmpeg_jobs.model import State
from ffmpeg_master.store.engine import Connection
from ffmpeg_master.store.plans import padded, planned_once
from ffmpeg_master.store.psycopg import NOT_READ
from ffmpeg_master.store.tables import is_live, is_queued, jobs
from ffmpeg_master.store.troubles import Collision

_THE_ONE: Final = and_(jobs.c.id == bindparam("of_job"), jobs.c.attempt == bindparam("at"))
# What runs often is built once: building a statement takes longer than running it.
_FROM_QUEUED: Final = planned_once(update(jobs).where(_THE_ONE, is_queued))
#: The state is no column to an index: of a young table PostgreSQL thinks that few are queued, and
#: would look through all that are for these ids.
_HAND_OUT: Final = planned_once(
    update(jobs)
    .where(jobs.c.id.in_(bindparam("ids", expanding=True)), jobs.c.attempt == bindparam("at"))
    .where(jobs.c.state.concat("") == State.QUEUED.value)
    .values(
        {"state": State.RUNNING.value, "attempt": jobs.c.attempt + 1, "pause_requested": False}
        | dict.fromkeys(("outcome", "progress", "usage", "in_force", "unmet"))
        | {name: bindparam(name) for name in ("worker", "lease_until", "started_at", "updated_at")}
    )
)
_FROM_LIVE: Final = planned_once(update(jobs).where(_THE_ONE, is_live))
#: An attempt was given up, and there was no other since.
_FROM_GIVEN_UP: Final = update(jobs).where(
    _THE_ONE,
    jobs.c.state.in_([literal_column(f"'{state}'") for state in ("queued", "failed", "canceled")]),
)
_ENDED_BADLY: Final = jobs.c.state.in_(
    [literal_column("'failed'"), literal_column("'canceled'")]  # what can be tried again
)
_FROM_ENDED: Final = update(jobs).where(_THE_ONE, _ENDED_BADLY)

#: A job and its new values: ``of_job`` its id, ``at`` the attempt that it is at, and columns.
Move = Mapping[str, Any]


def hand_out(
    connection: Connection, at: Mapping[str, int], worker: str, now: float, lease_until: float
) -> None:
    """Queued jobs become a worker's, each with the next attempt after the one that it is ``at``.

    Raises Collision.
    """
    alike: dict[int, list[str]] = {}
    for job_id, attempt in at.items():
        alike.setdefault(attempt, []).append(job_id)
    begun = {"worker": worker, "lease_until": lease_until, "started_at": now, "updated_at": now}
    for attempt, ids in alike.items():
        asked = {"ids": padded(sorted(ids)), "at": attempt, **begun}
        if connection.execute(_HAND_OUT, asked).rowcount != len(ids):
            raise _elsewhere(*ids)


def end_queued(connection: Connection, moves: Sequence[Move]) -> None:
    """Queued jobs end without an attempt: canceled, too late, or in vain."""
    _move(connection, _FROM_QUEUED, moves)


def hear(connection: Connection, moves: Sequence[Move]) -> None:
    """Live jobs are as their worker says: they run, or stand still."""
    alike: dict[frozenset[str], list[Move]] = {}
    for move in moves:
        alike.setdefault(frozenset(move), []).append(move)
    for some in alike.values():
        _move(connection, _FROM_LIVE, some)


def end_attempts(connection: Connection, moves: Sequence[Move]) -> None:
    """Live jobs end, or are queued again."""
    _move(connection, _FROM_LIVE, moves)


def end_late(connection: Connection, moves: Sequence[Move]) -> None:
    """Jobs whose attempt was given up end, or are queued, as its worker tells after all."""
    _move(connection, _FROM_GIVEN_UP, moves)


def queue_again(connection: Connection, move: Move) -> None:
    """A job that failed or was canceled is queued as it was submitted; its attempts count on."""
    values: dict[str, Any] = {"state": State.QUEUED.value, "cancel_requested": False}
    values |= dict.fromkeys(("finished_at", "worker", "outcome", "progress", "usage"))
    _move(connection, _FROM_ENDED, [{**values, **move}])


def _move(connection: Connection, statement: Any, moves: Sequence[Move]) -> None:
    """Raises Collision. Of several, drivers do not tell how many were changed."""
    if len(moves) > 1:
        connection.execute(statement, list(moves), execution_options=NOT_READ)
    elif moves and connection.execute(statement, moves[0]).rowcount == 0:
        raise _elsewhere(moves[0]["of_job"])


def _elsewhere(*ids: str) -> Collision:
    return Collision(f"job {', '.join(ids)} is not where it was a moment ago")
