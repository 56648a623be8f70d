"""A real master process, or its client, that goes while a claim is held."""

from __future__ import annotations

import socket
from pathlib import Path

from ffmpeg_jobs.model import Outcome, Role, State
from ffmpeg_jobs.problems import Unavailable
from tests.api.conftest import JOB, MACHINE, PATIENCE_SECONDS, Launch, in_thread, until


def test_a_stop_ends_held_claims_and_idle_connections(launch: Launch) -> None:
    master = launch().ready()
    client = master.client()
    client.register("ada", MACHINE)  # this connection stays open, idle

    def hold() -> object:
        try:
            return master.client().claim("ada", 50)
        except Unavailable:  # the stop was a moment quicker
            return None

    thread, found = in_thread(hold)
    until(lambda: _established(master.listener.getsockname()[1]) >= 2)
    master.process.terminate()
    assert master.process.wait(PATIENCE_SECONDS - 10) == 0  # gunicorn would wait for both
    thread.join(PATIENCE_SECONDS)
    assert found == [None]


def _established(port: int) -> int:
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(row[1].endswith(f":{port:04X}") and row[3] == "01" for row in rows)


def test_a_client_that_hung_up_gets_no_job(launch: Launch) -> None:
    master = launch().ready()
    client = master.client()
    client.register("ada", MACHINE)
    body = b'{"worker": "ada", "wait_seconds": 50}'
    with socket.create_connection(master.listener.getsockname()) as gone:
        gone.sendall(
            b"POST /claims HTTP/1.1\r\nHost: m\r\nContent-Type: application/json\r\n"
            + f"Authorization: Bearer {master.secrets[Role.WORKER]}\r\n".encode()
            + f"Content-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        until(lambda: _established(master.listener.getsockname()[1]) >= 2)
        client.health()  # by now the claim is held: it was sent before
    status = client.submit(JOB)
    assert client.job(status.id).state is State.QUEUED
    held = client.claim("ada", 0)
    assert held is not None
    assert held.attempt == 1
    client.finish(held.job_id, 1, held.token, Outcome(State.COMPLETED))
