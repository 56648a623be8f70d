"""The tables, as ``migrations/versions`` make them. Times are Unix seconds; nouns are JSON."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    and_,
    false,
    literal_column,
    text,
)

METADATA: Final = MetaData()

# SQLite counts up only in an INTEGER primary key.
_BIG: Any = BigInteger()
_NUMBER: Final = _BIG.with_variant(Integer, "sqlite")

_QUEUED: Final = text("state = 'queued'")
_READY: Final = text("state = 'queued' AND NOT blocked")
_OVER: Final = text("awaited AND finished_at IS NOT NULL")
_WRITES: Final = text("finished_at IS NULL AND output_hash IS NOT NULL")
_GROUPED: Final = text("group_name IS NOT NULL")
_HANDED_OUT: Final = text("worker IS NOT NULL")
_LIVE: Final = text("state IN ('running', 'paused')")

jobs = Table(
    "jobs",
    METADATA,
    # The order of acceptance; the cursor of lists.
    Column("number", _NUMBER, primary_key=True),
    Column("id", String(12), nullable=False, unique=True),
    Column("state", String(16), nullable=False),
    Column("job", Text, nullable=False),
    Column("queue", String(16), nullable=False),
    Column("rank", SmallInteger, nullable=False),  # smaller is handed out sooner
    Column("encoder", String(32)),  # of a device; NULL: software
    Column("cpu_percent", Integer),
    Column("memory_mb", Integer, nullable=False),
    Column("disk_mb", Integer, nullable=False, server_default="0"),
    Column("worker_labels", Text),  # JSON; NULL: any worker
    Column("enforced", Boolean, nullable=False, server_default=false()),  # it must be
    Column("unenforced", Boolean, nullable=False, server_default=false()),  # it need not be
    Column("input_folder", Text),  # on its worker's machine; NULL: on none
    Column("output_folder", Text),
    # Jobs of one rank, submitter and kind of need wait in a line of their own.
    Column("line", String(96), nullable=False, server_default=""),
    Column("deadline", Float),  # queued: not handed out later
    Column("blocked", Boolean, nullable=False, server_default=false()),  # it waits for other jobs
    Column("awaited", Boolean, nullable=False, server_default=false()),  # others wait for it
    Column("group_name", String(63)),
    Column("created_at", Float, nullable=False),
    Column("updated_at", Float, nullable=False),
    Column("started_at", Float),
    Column("finished_at", Float),
    Column("not_before", Float, nullable=False),  # queued: not handed out earlier
    Column("attempt", Integer, nullable=False),
    Column("given_back", Integer, nullable=False, server_default="0"),  # of the attempts
    Column("max_attempts", Integer, nullable=False),
    Column("worker", String(63)),
    Column("avoid_worker", String(63)),
    Column("lease_until", Float),
    Column("cancel_requested", Boolean, nullable=False),
    Column("pause_requested", Boolean, nullable=False),
    Column("in_force", Text),  # the terms, as its worker's kernel has them
    Column("unmet", Text),  # why limits or pause, as they were asked, are not in force
    Column("outcome", Text),  # of the last attempt that ended
    Column("progress", Text),
    Column("usage", Text),
    Column("idempotency_key", String(255), unique=True),
    Column("body_digest", String(64), nullable=False),
    Column("tenant", String(63), nullable=False, server_default="default"),
    Column("submitter", String(63)),  # the name of the key that it came with
    Column("output_hash", String(32)),  # of tenant and output, in its one spelling; NULL: none
    # Empty: it came to be alone there; else its own id: it may be one of several.
    Column("output_share", String(12), nullable=False, server_default=""),
    Index(
        "jobs_to_hand_out",
        "line",
        "state",  # the same in all its rows, but SQLite's planner wants to see it
        "not_before",
        "number",
        sqlite_where=_READY,
        postgresql_where=_READY,
    ),
    Index("jobs_over", "id", sqlite_where=_OVER, postgresql_where=_OVER),
    Index(
        "jobs_by_output",
        "output_hash",
        "output_share",
        unique=True,
        sqlite_where=_WRITES,
        postgresql_where=_WRITES,
    ),
    Index("jobs_by_deadline", "deadline", sqlite_where=_QUEUED, postgresql_where=_QUEUED),
    Index("jobs_held", "worker", "lease_until", sqlite_where=_LIVE, postgresql_where=_LIVE),
    # Lists of a state or a queue are merged of these; a tenant's of the next ones.
    Index("jobs_by_state", "state", "queue", "number"),
    Index("jobs_by_end", "finished_at"),
    Index("jobs_by_creation", "created_at"),
    Index("jobs_by_change", "updated_at", "number"),
    Index("jobs_by_tenant", "tenant", "state", "queue", "number"),
    Index(
        "jobs_by_worker", "worker", "number", sqlite_where=_HANDED_OUT, postgresql_where=_HANDED_OUT
    ),
    Index(
        "jobs_by_group",
        "group_name",
        "number",
        "tenant",
        "state",
        sqlite_where=_GROUPED,
        postgresql_where=_GROUPED,
    ),
    sqlite_autoincrement=True,  # a number is never used twice
)

# Written out, not bound: SQLite uses a partial index only if it sees its condition.
is_queued: Final = jobs.c.state == literal_column("'queued'")
#: Nothing but its time and a worker is missing.
is_ready: Final = and_(is_queued, literal_column("NOT jobs.blocked"))


def ready(alias: Any) -> Any:
    """``is_ready``, of the table under another name."""
    name = alias.name
    return text(f"{name}.state = 'queued' AND NOT {name}.blocked")


#: It ended, and who waits for it has not been told.
is_over: Final = and_(literal_column("jobs.awaited"), jobs.c.finished_at.is_not(None))
#: It has an output, and has not ended.
writes_output: Final = literal_column("jobs.finished_at IS NULL AND jobs.output_hash IS NOT NULL")
is_live: Final = jobs.c.state.in_([literal_column("'running'"), literal_column("'paused'")])

#: What blocks a job: a row for each job that it waits for, until that one ended.
dependencies = Table(
    "dependencies",
    METADATA,
    Column("job_id", ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("on_id", String(12), primary_key=True),
    Index("dependencies_by_on", "on_id"),
)

# How many jobs there are is the sum. Triggers of jobs add the rows (migration 0019): one that makes
# that table anew makes them anew too.
tallies = Table(
    "tallies",
    METADATA,
    Column("id", _NUMBER, primary_key=True),
    Column("tenant", String(63), nullable=False),
    Column("state", String(16), nullable=False),
    Column("queue", String(16), nullable=False),
    Column("more", BigInteger, nullable=False),  # jobs; negative: fewer
)

labels = Table(
    "labels",
    METADATA,
    Column(
        "job_number",
        ForeignKey("jobs.number", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("name", String(63), primary_key=True),
    Column("value", String(255), nullable=False),
    Index("labels_by_value", "name", "value", "job_number"),
)

attempts = Table(
    "attempts",
    METADATA,
    Column("job_id", ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("worker", String(63), nullable=False),
    Column("token_hash", String(64), nullable=False),
    Column("started_at", Float, nullable=False),
    Column("ended_at", Float),
    Column("reported", Boolean, nullable=False),  # its worker told how it ended
    Column("claim_serial", BigInteger),  # the worker's own number of the claim
    Column("reason", String(32)),
    Column("outcome", Text),
)

logs = Table(
    "logs",
    METADATA,
    Column("job_id", ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("attempt", Integer, primary_key=True, autoincrement=False),
    Column("content", LargeBinary, nullable=False),
)

workers = Table(
    "workers",
    METADATA,
    Column("name", String(63), primary_key=True),
    Column("machine", Text, nullable=False),
    Column("draining", Boolean, nullable=False),
    Column("registered_at", Float, nullable=False),
    Column("last_heartbeat_at", Float, nullable=False),
    Column("free", Text),
    Column("word_serial", BigInteger),  # of the word that told draining and held_back
    Column("held_back", Text),
    Column("cordoned", Boolean, nullable=False, server_default=false()),
    Column("drain", Boolean, nullable=False, server_default=false()),  # somebody asked here
    Column("drain_until", Float),  # Unix seconds; what runs then is given back
    Column("key", String(63)),  # the name of the key that speaks for it; NULL: nobody yet
)

keys = Table(
    "keys",
    METADATA,
    Column("name", String(63), primary_key=True),
    Column("role", String(16), nullable=False),
    Column("hash", String(64), nullable=False, unique=True),
    Column("created_at", Float, nullable=False),
    Column("revoked_at", Float),
    Column("tenant", String(63), nullable=False, server_default="default"),
    Column("worker", String(63)),  # it acts as this one alone; NULL: as any
    Column("expires_at", Float),
    Column("last_used_at", Float),  # to the minute
    Column("replaces", String(63)),  # the key whose workers it may take over
    Column("serves", String(63)),  # a worker's: whose jobs it gets; NULL: everybody's
)

# The limits of those who have any; what is NULL has none.
tenants = Table(
    "tenants",
    METADATA,
    Column("name", String(63), primary_key=True),
    Column("max_queued", Integer),
    Column("max_running", Integer),
    Column("max_cpu_percent", Integer),
    Column("max_timeout_sec", Integer),
    Column("queues", Text),  # JSON
    Column("rate", Integer),  # jobs a minute
    Column("paid_until", Float, nullable=False, server_default="0"),  # until then, it is used up
)

# What people did; it outlasts the jobs, workers and keys that it speaks of.
audit = Table(
    "audit",
    METADATA,
    Column("id", _NUMBER, primary_key=True),
    Column("at", Float, nullable=False),
    Column("who", String(63), nullable=False),
    Column("role", String(16)),  # NULL: an account at the machine
    Column("tenant", String(63)),
    Column("address", String(64)),
    Column("action", String(32), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("subject", String(63), nullable=False),
    Column("detail", Text),  # JSON; NULL: there is nothing more to say
    Index("audit_by_subject", "kind", "subject", "id"),
    Index("audit_by_time", "at"),
    sqlite_autoincrement=True,
)

_PENDING: Final = text("state = 'pending'")

# Webhooks, sent or to be sent.
outbox = Table(
    "outbox",
    METADATA,
    Column("id", String(32), primary_key=True),
    Column("job_id", ForeignKey("jobs.id", ondelete="CASCADE"), nullable=False),
    Column("type", String(32), nullable=False),
    Column("state", String(16), nullable=False),
    Column("status", Text, nullable=False),  # the job, as it stood then
    Column("made_at", Float, nullable=False),
    Column("due_at", Float, nullable=False),  # pending: not sent earlier
    Column("tries", Integer, nullable=False),
    Column("last_error", Text),
    Index("outbox_due", "due_at", sqlite_where=_PENDING, postgresql_where=_PENDING),
    Index("outbox_by_job", "job_id", "made_at"),
)
is_pending: Final = outbox.c.state == literal_column("'pending'")

# One row: when a master of this database was there last.
attendance = Table(
    "attendance",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("noted_at", Float, nullable=False),
)
