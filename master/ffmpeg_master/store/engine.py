"""The database: the only file that knows SQLite from PostgreSQL, beside what makes the tables.

SQLite lets one writer in at a time. On PostgreSQL many write at once, in this master and in
others, so whoever changes a row locks it when it reads it (``FOR UPDATE``, which SQLAlchemy
leaves out for SQLite); in a transaction that writes, ``jobs.get`` does.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sqlalchemy import create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import QueuePool

from ffmpeg_jobs.problems import Unavailable
from ffmpeg_master.store import sqlite
from ffmpeg_master.store.plans import OUTDATED, keep_plans
from ffmpeg_master.store.psycopg import spare_round_trips, wait_as_python_waits
from ffmpeg_master.store.troubles import Collision, Locked, Troubles, Unreachable

#: SQLAlchemy's connection; 1.4 and 2.0 type its rows differently.
Connection = Any

#: Connections that a master opens to PostgreSQL, which allows 100 to all unless it is told more.
_POOL_SIZE: Final = 10
#: How long a request waits for one of them, in seconds.
_POOL_TIMEOUT_SECONDS: Final = 10
#: A machine that is gone is found out in about 20 s (tcp(7)); without, it takes hours.
_KEEPALIVES: Final = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 2}
_TCP_TIMEOUT: Final = {"tcp_user_timeout": 20_000}  # ms
_STATEMENT_SECONDS: Final = 30
#: What a transaction wrote may be seen so long after the time that it asked for, before it waited
#: for others: twice as long as a statement may take.
TRANSACTION_SECONDS: Final = 2.0 * _STATEMENT_SECONDS
#: What PostgreSQL does for each of our connections; times in ms.
_SETTINGS: Final = {
    "default_transaction_isolation": "'read committed'",
    "synchronous_commit": "on",  # an accepted job survives a power cut, whatever its default is
    "statement_timeout": _STATEMENT_SECONDS * 1000,  # of a wait for a lock, too
    # A master that stands still, or is gone, holds no lock for longer. Ours never pause so long.
    "idle_in_transaction_session_timeout": 10_000,
    "client_connection_check_interval": 5_000,  # while a statement runs, or waits
    # All that runs often finds its rows by an index. A table that grew in its first minute, before
    # autovacuum looked at it, would be read whole; what is planned once is planned for good.
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "plan_cache_mode": "force_generic_plan",
    "jit": "off",  # what has to read a table whole looks expensive now
    **{f"tcp_{name}": value for name, value in _KEEPALIVES.items()},
    **_TCP_TIMEOUT,
}
#: Of our advisory lock: the first bytes of sha256("ffmpeg-master schema").
_SCHEMA_LOCK: Final = 0x56497F92
#: The other: of the names that are held.
_HOLD_LOCK: Final = _SCHEMA_LOCK + 1
#: serialization_failure, deadlock_detected, and a plan from before a change of the tables
#: (PostgreSQL, appendix A).
_COLLISIONS: Final = ("40001", "40P01", OUTDATED)


@dataclass(frozen=True)
class _Kind:
    """What one database wants otherwise than the other."""

    options: Mapping[str, Any]  #: of its engine
    set_up: Callable[[Any, object], None]  #: a new connection, in which nothing begins by itself
    tune: Callable[[Any], None]
    begin_read: str  #: what begins a transaction
    begin_write: str
    begin_hasty: str  #: one that waits for no disk when it ends
    prepare: Callable[[], None] = lambda: None  #: its driver
    lock_schema: tuple[str, ...] = ()  #: until the transaction ends
    hold: str | None = None  #: one name, likewise; None: who writes is alone
    shared: bool = False  #: several masters may write at once
    compares_rows: bool = False  #: a comparison of rows leads it to all their columns in an index
    ask_time: str | None = None  #: None: this machine's clock is its clock


class Store:
    """An open database and its clock."""

    def __init__(self, url: str, clock: Callable[[], float] | None = None) -> None:
        """``clock`` is Unix time in seconds; leases, retries and retention go by it.

        None: the database's own. Raises Unavailable if its driver is not installed.
        """
        self.url = make_url(url)
        self._kind = _KINDS[self.url.get_backend_name()]
        self._clock = clock
        try:
            self._kind.prepare()
        except ModuleNotFoundError as error:
            raise Unavailable(
                f"database: {url.partition(':')[0]} needs the Python module {error.name} "
                "(Debian's python3-psycopg2), which is not installed"
            ) from None
        options: Any = {"poolclass": QueuePool, **self._kind.options}
        self._engine: Any = create_engine(self.url, future=True, **options)
        # SQLite's own waiting is unfair, and would stop every greenlet of this process.
        self._writing: Any = nullcontext() if self._kind.shared else threading.Lock()
        self.troubles = Troubles()
        self._open = threading.local()  #: the transaction that runs here: .connection, .now
        event.listen(self._engine, "connect", self._kind.set_up)
        self._kind.tune(self._engine)
        # Options of an engine cost nothing; of a connection, each transaction would make another.
        how = self._engine.execution_options
        self._reads = how(begin=self._kind.begin_read)
        self._writes = how(begin=self._kind.begin_write, writes=True)
        self._hasty_writes = how(begin=self._kind.begin_hasty, writes=True)

    @property
    def directory(self) -> Path | None:
        """Where its files are; None: a server keeps them."""
        return None if self.shared else Path(str(self.url.database)).parent

    @property
    def shared(self) -> bool:
        """Whether others may work on it at the same time."""
        return self._kind.shared

    @property
    def compares_rows(self) -> bool:
        """Whether ``(a, b) < (1, 2)`` finds its place in an index; or ``a = 1 AND b < 2`` alone."""
        return self._kind.compares_rows

    def now(self) -> float:
        """Unix time in seconds by the database's clock, one per transaction. Raises Unavailable."""
        if self._clock is not None:
            return self._clock()
        if self._kind.ask_time is None:
            return time.time()
        connection = getattr(self._open, "connection", None)
        if connection is not None:
            if self._open.now is None:
                self._open.now = connection.exec_driver_sql(self._kind.ask_time).scalar()
            return float(self._open.now)
        with self.read():
            return self.now()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that sees one moment, or the one that is open. Raises Unavailable."""
        opened = getattr(self._open, "connection", None)
        if opened is not None:
            yield opened
            return
        with self._transaction(self._reads) as connection:
            yield connection

    @contextmanager
    def write(self, *, durable: bool = True) -> Iterator[Connection]:
        """A transaction that is durable when it ends, or never was; or a part of the one that is
        open and writes. Not ``durable``: a power cut may undo it yet. Raises Unavailable."""
        opened = getattr(self._open, "connection", None)
        if opened is not None and writes(opened):
            yield opened
            return
        engine = self._writes if durable else self._hasty_writes
        with self._writing, self._transaction(engine) as connection:
            yield connection

    @contextmanager
    def _transaction(self, engine: Any) -> Iterator[Connection]:
        with self._translated(engine), engine.connect() as connection, connection.begin():
            outer = getattr(self._open, "connection", None)
            self._open.connection, self._open.now = connection, None
            try:
                yield connection
            finally:
                self._open.connection, self._open.now = outer, None

    @contextmanager
    def _translated(self, engine: Any) -> Iterator[None]:
        try:
            yield
        except (PoolTimeout, DBAPIError) as error:
            problem = _problem(error)
            self.troubles.begin(problem, writes=writes(engine))
            raise problem from error
        self.troubles.end(writes=writes(engine))

    def lock_schema(self, connection: Connection) -> None:
        """Let no other master change the tables before this transaction ends."""
        for statement in self._kind.lock_schema:
            connection.exec_driver_sql(statement)

    def hold(self, connection: Connection, name: str) -> None:
        """Let nobody else hold that name before this transaction ends; no row is touched.

        Whoever had to wait is to know the time afterwards: it is asked along.
        """
        if self._kind.hold is not None:
            found = connection.exec_driver_sql(self._kind.hold, (_HOLD_LOCK, name)).one()
            self._open.now = found.now

    def copy_to(self, file: Path) -> None:
        """Copy a database that is a file, as it is at one moment. Raises Unavailable."""
        with self.read() as connection, closing(sqlite3.connect(file)) as copy:
            connection.connection.dbapi_connection.backup(copy)

    def connect_alone(self) -> Any:
        """The driver's own connection, for who keeps it. Raises Unavailable."""
        with self._translated(self._engine):
            connection = self._engine.connect()
            connection.detach()
            return connection.connection.dbapi_connection

    def close(self) -> None:
        """Give the connections back."""
        self._engine.dispose()


def writes(connection: Connection) -> bool:
    """Whether what is read here, or through this engine, is read to be changed."""
    return bool(connection.get_execution_options().get("writes"))


def _problem(error: PoolTimeout | DBAPIError) -> Unavailable:
    """What the database says, in our words."""
    if isinstance(error, PoolTimeout):
        return Unreachable("the database has no connection free; all are at work")
    words = str(error.orig).strip().partition("\n")[0]
    if isinstance(error, IntegrityError) or _sqlstate(error) in _COLLISIONS:
        return Collision(f"the database refused: {words}")
    if sqlite.is_busy(error):
        return Locked("the database is locked by another process")
    # psycopg2's class of what is the server's or the network's fault.
    if isinstance(error, OperationalError) and hasattr(error.orig, "pgcode"):
        return Unreachable(f"the database does not answer: {words}")
    return Unavailable(f"the database does not answer: {words}")


def _sqlstate(error: DBAPIError) -> str | None:
    return getattr(error.orig, "pgcode", None)


def _set_up_postgresql(connection: Any, _record: object) -> None:
    with connection.cursor() as cursor:
        cursor.execute("; ".join(f"SET {name} = {value}" for name, value in _SETTINGS.items()))


def _tune_postgresql(engine: Any) -> None:
    keep_plans(engine)
    spare_round_trips(engine)


#: PostgreSQL's clock, as it is when it is asked.
_NOW: Final = "extract(epoch FROM clock_timestamp())"

_KINDS: Final = {
    "sqlite": _Kind(
        # A connection is used by one thread at a time, but not always by the same one.
        {"connect_args": {"check_same_thread": False}},
        sqlite.set_up,
        tune=sqlite.begin_at_once,
        begin_read="BEGIN",
        # A writer takes its lock at once: one that read first could not be let in later.
        begin_write="PRAGMA synchronous=FULL; BEGIN IMMEDIATE",
        # It leaves out the wait for the disk; a later FULL waits for all (pragma synchronous).
        begin_hasty="PRAGMA synchronous=NORMAL; BEGIN IMMEDIATE",
    ),
    "postgresql": _Kind(
        {
            "pool_size": _POOL_SIZE,
            "max_overflow": 0,
            "isolation_level": "AUTOCOMMIT",  # of the driver: transactions are ours
            "executemany_mode": "values_plus_batch",  # one round trip for many rows
            "pool_timeout": _POOL_TIMEOUT_SECONDS,
            "connect_args": {"application_name": "ffmpeg-master", **_KEEPALIVES, **_TCP_TIMEOUT},
        },
        _set_up_postgresql,
        prepare=wait_as_python_waits,
        tune=_tune_postgresql,
        begin_read="BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        begin_write="BEGIN",
        begin_hasty="BEGIN; SET LOCAL synchronous_commit = off",
        lock_schema=(
            "SET LOCAL statement_timeout = 0",  # another master may be at it for minutes
            "SET LOCAL idle_in_transaction_session_timeout = 0",  # and this one in Python
            f"SELECT pg_advisory_xact_lock({_SCHEMA_LOCK})",
        ),
        # Unlike a row's lock, it is written nowhere: a claim that finds no job costs no write.
        hold=f"SELECT pg_advisory_xact_lock(%s, hashtext(%s)), {_NOW} AS now",
        shared=True,
        compares_rows=True,
        ask_time=f"SELECT {_NOW}",
    ),
}
