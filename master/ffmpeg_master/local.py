"""What commands at the master's machine have in common: who runs them, and the store."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager

from ffmpeg_jobs.model import Action
from ffmpeg_master.config import Config
from ffmpeg_master.model import Act
from ffmpeg_master.owner import as_owner_of
from ffmpeg_master.store import schema
from ffmpeg_master.store.engine import Store


def act(action: Action) -> Act:
    """What the audit log says of whoever runs this command."""
    uid = os.getuid()  # the real one: root acts as the owner of the files
    try:
        return Act(pwd.getpwuid(uid).pw_name[:63], action)
    except KeyError:
        return Act(f"uid {uid}", action)


@contextmanager
def store_of(config: Config) -> Iterator[Store]:
    """The store, opened as the user that it belongs to: root must not own the master's files.

    Raises SchemaTooNew or Unavailable.
    """
    store = Store(config.database)
    with as_owner_of(store.directory):
        try:
            schema.migrate(store)
            yield store
        finally:
            store.close()
