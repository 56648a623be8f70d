"""Alembic's entry: runs the versions inside the transaction that it is given."""

from __future__ import annotations

from alembic import context

from ffmpeg_master.store.tables import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    transactional_ddl=True,
)
context.run_migrations()
