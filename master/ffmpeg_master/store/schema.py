"""Bring a database to the schema of this master (Alembic), or refuse it."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text

from ffmpeg_master.store import statistics
from ffmpeg_master.store.engine import Store

_SCRIPTS: Final = Path(__file__).parent / "migrations"
_CURRENT: Final = text("SELECT version_num FROM alembic_version")


class SchemaTooNew(Exception):
    """The database was written by a newer master; this one would not understand it."""


def migrate(store: Store) -> None:
    """Create or upgrade the tables, all or nothing; other masters wait. Raises SchemaTooNew."""
    config = _config()
    with store.write() as connection:
        store.lock_schema(connection)
        current = MigrationContext.configure(connection).get_current_revision()
        _check(store, current)
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        if not store.shared:
            statistics.tell(connection)


def check(store: Store) -> None:
    """Look whether a newer master changed the tables meanwhile. Raises SchemaTooNew."""
    with store.read() as connection:
        _check(store, connection.execute(_CURRENT).scalar())


def _check(store: Store, current: str | None) -> None:
    if current is not None and current not in _known():
        raise SchemaTooNew(
            f"{store.url.database}: its schema {current} is newer than this master knows "
            f"(up to {max(_known())}); install the newer ffmpeg-master, or restore a backup"
        )


@cache
def _known() -> frozenset[str]:
    scripts = ScriptDirectory.from_config(_config()).walk_revisions()
    return frozenset(script.revision for script in scripts)


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    return config
