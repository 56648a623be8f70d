"""Addresses that never answer keep no webhook of others waiting."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.api.conftest import JOB, Launch, command, until
from tests.receiver import SECRET, receiver

#: More than are sent at once, of all and of one key.
SILENT_MOST = 200


@pytest.fixture
def silent() -> Iterator[list[str]]:
    """Servers at addresses of their own, which take a request and never answer."""
    with ExitStack() as opened:
        servers = [
            opened.enter_context(socket.create_server((f"127.0.0.{n % 250 + 2}", 0), backlog=64))
            for n in range(20)
        ]
        yield ["http://{}:{}/".format(*server.getsockname()) for server in servers]


def test_who_never_answers_delays_nobody_else(launch: Launch, silent: list[str]) -> None:
    master = launch("[webhooks]\nallow_private = true")
    master.kill()
    file = Path(master.directory / "webhooks.secret")
    file.write_text(SECRET)
    file.chmod(0o600)
    with receiver() as other:
        master = launch(f'[webhooks]\nallow_private = true\nsecret_file = "{file}"').ready()
        made = command(master.directory, "keys", "create", "--name", "eve", "--role", "submit")
        eve = master.client_with(made.stdout.strip())
        urls = [silent[n % len(silent)] for n in range(SILENT_MOST)]
        eve.submit_batch([JOB | {"group": "eve", "callback_url": url} for url in urls])
        eve.cancel_group("eve")
        master_client = master.client()
        honest = master_client.submit(JOB | {"callback_url": other.url}).id
        master_client.cancel(honest)
        until(lambda: other.of(honest))
        # It stood behind all of them, and waited for few of them to come to their end.
        assert master.log.count("event=webhook_put_off") < SILENT_MOST / 2
