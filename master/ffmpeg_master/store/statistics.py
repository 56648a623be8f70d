"""What SQLite is told of the tables: it plans by what ANALYZE once found, and nobody runs that.

Told nothing, it takes a state for as rare as an id, and reads all queued jobs to find the first.
These figures are a large farm's, the same in each database ("Manual Control Of Query Plans Using
SQLITE_STAT Tables", sqlite.org/optoverview.html), so that a statement is carried out in a new
database as in one of a million jobs. PostgreSQL gathers its own.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import text

from ffmpeg_master.store.engine import Connection

#: By index: its rows, then how many of them are alike in its first column, in its first two, and
#: so on (sqlite.org/fileformat2.html, "The sqlite_stat1 table").
FARM: Final = {
    "jobs": {
        "jobs_by_change": "300000 1 1",
        "jobs_by_creation": "300000 1",
        "jobs_by_deadline": "95000 20",
        "jobs_by_end": "300000 2",
        "jobs_by_group": "90000 90 1 1 1",
        "jobs_by_output": "90000 1 1",
        "jobs_by_state": "300000 60000 20000 1",
        "jobs_by_tenant": "300000 37500 7500 2500 1",
        "jobs_by_worker": "200000 1000 1",
        "jobs_held": "200 2 1",
        "jobs_over": "2000 1",
        "jobs_to_hand_out": "90000 400 400 1 1",
        "sqlite_autoindex_jobs_1": "300000 1",  # id
        "sqlite_autoindex_jobs_2": "300000 4",  # idempotency_key
    },
    "attempts": {"sqlite_autoindex_attempts_1": "200000 1 1"},
    "dependencies": {
        "dependencies_by_on": "5000 1",
        "sqlite_autoindex_dependencies_1": "5000 1 1",
    },
    "labels": {
        "labels_by_value": "150000 50000 10 1",
        "sqlite_autoindex_labels_1": "150000 1 1",
    },
}

#: Makes the table of statistics, and has this connection read it.
_READ: Final = text("ANALYZE sqlite_schema")
_KNOWN: Final = text("SELECT idx, stat FROM sqlite_stat1 WHERE tbl = :of")
_FORGET: Final = text("DELETE FROM sqlite_stat1 WHERE tbl = :of")
_TELL: Final = text("INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES (:of, :name, :figures)")


def tell(connection: Connection) -> None:
    """Write them down, if it is not done yet."""
    connection.execute(_READ)
    for table, indexes in FARM.items():
        known = connection.execute(_KNOWN, {"of": table}).all()
        if {row.idx: row.stat for row in known} != indexes:
            connection.execute(_FORGET, {"of": table})
            rows = [{"of": table, "name": n, "figures": f} for n, f in indexes.items()]
            connection.execute(_TELL, rows)
    connection.execute(_READ)
