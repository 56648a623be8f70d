"""A PostgreSQL of the tests' own, from Debian's package; it really writes to the disk."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

#: Debian keeps each release's programs here; what else is on PATH is not meant.
_RELEASES = Path("/usr/lib/postgresql")
#: PostgreSQL refuses to run as root.
_USER = "postgres" if os.geteuid() == 0 else None
_PATIENCE_SECONDS = 60


class Postgres:
    """A server in ``directory``; databases are made in it by ``create``."""

    def __init__(self, directory: Path) -> None:
        releases = sorted(_RELEASES.glob("*/bin"), key=lambda path: float(path.parent.name))
        self._programs = releases[-1]
        self._data = directory / "data"
        self._directory = directory
        self._made = 0
        if _USER:
            shutil.chown(directory, _USER)
        self._run("initdb", "--auth=trust", "--username=postgres", "--encoding=UTF8", "--no-sync")
        settings = f"""
            listen_addresses = ''
            unix_socket_directories = '{directory}'
            max_connections = 100
        """
        with (self._data / "postgresql.conf").open("a") as file:
            file.write(settings)

    @staticmethod
    def installed() -> bool:
        """Whether this machine has the package."""
        return any(_RELEASES.glob("*/bin/initdb"))

    def start(self) -> None:
        """Serve; returns when it answers."""
        log = self._directory / "log"
        self._run("pg_ctl", "--wait", f"--log={log}", "start")

    def stop(self, mode: str = "immediate") -> None:
        """End it; ``immediate`` is as good as a power cut (pg_ctl(1))."""
        self._run("pg_ctl", "--wait", f"--mode={mode}", "stop")

    def create(self, template: str = "template1") -> str:
        """A new database; its name."""
        self._made += 1
        name = f"test{self._made}"
        self.sql(f"CREATE DATABASE {name} TEMPLATE {template}", "postgres")
        return name

    def drop(self, name: str) -> None:
        """End its connections, then it."""
        self.sql(f"DROP DATABASE {name} WITH (FORCE)", "postgres")

    def url(self, name: str) -> str:
        """As ``database`` in master.toml."""
        return f"postgresql://postgres@/{name}?host={self._directory}"

    def sql(self, statement: str, name: str) -> str:
        """What psql prints of it."""
        return self.client("psql", "-qAtX", "-v", "ON_ERROR_STOP=1", "-c", statement, name)

    def client(self, program: str, *arguments: str) -> str:
        """Run one of PostgreSQL's own clients; what it prints."""
        return self._call(program, f"--host={self._directory}", "--username=postgres", *arguments)

    def _run(self, program: str, *arguments: str) -> None:
        # Its children keep what they inherit: no pipes.
        subprocess.run(
            [self._programs / program, f"--pgdata={self._data}", *arguments],
            stdout=subprocess.DEVNULL,
            check=True,
            user=_USER,
            cwd=self._directory,
            timeout=_PATIENCE_SECONDS,
        )

    def _call(self, program: str, *arguments: str) -> str:
        return subprocess.run(
            [self._programs / program, *arguments],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            timeout=_PATIENCE_SECONDS,
        ).stdout
