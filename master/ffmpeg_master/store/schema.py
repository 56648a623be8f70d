"""Bring a database to the schema of this master (Alembic), or refuse it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from ffmpeg_master.store.engine import Store

_SCRIPTS: Final = Path(__file__).parent / "migrations"


class SchemaTooNew(Exception):
    """The database was written by a newer master; this one would not understand it."""


def migrate(store: Store) -> None:
    """Create or upgrade the tables, all or nothing; other masters wait. Raises SchemaTooNew."""
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    with store.write() as connection:
        store.lock_schema(connection)
        current = MigrationContext.configure(connection).get_current_revision()
        if current is not None and current not in known:
            raise SchemaTooNew(
                f"{store.url.database}: its schema {current} is newer than this master knows "
                f"(up to {max(known)}); install the newer ffmpeg-master, or restore a backup"
            )
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
