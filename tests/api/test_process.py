"""A real master process: ready when it is, durable, and gone when it is told to."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import requests

from ffmpeg_jobs.model import Outcome, Result, Role, State
from ffmpeg_jobs.wire import to_json
from ffmpeg_master.store.engine import Store
from tests.api.conftest import (
    JOB,
    MACHINE,
    PATIENCE_SECONDS,
    Launch,
    start,
    until,
)


class Systemd:
    """The other end of NOTIFY_SOCKET (sd_notify(3))."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.settimeout(PATIENCE_SECONDS)

    def next(self) -> dict[str, str]:
        text = self._socket.recv(4096).decode()
        return dict(line.split("=", 1) for line in text.splitlines())

    def silent(self) -> bool:
        self._socket.setblocking(False)
        try:
            return not self._socket.recv(4096, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        finally:
            self._socket.settimeout(PATIENCE_SECONDS)

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def systemd(tmp_path: Path) -> Any:
    end = Systemd(tmp_path / "notify")
    yield end
    end.close()


def test_ready_is_said_when_the_api_answers(launch: Launch, systemd: Systemd) -> None:
    master = launch(NOTIFY_SOCKET=str(systemd.path))
    assert systemd.next()["READY"] == "1"
    assert requests.get(f"{master.url}/health", timeout=1).json()["status"] == "ok"
    master.process.terminate()
    assert systemd.next() == {"STOPPING": "1"}
    assert master.process.wait(PATIENCE_SECONDS) == 0


def test_a_master_that_cannot_serve_never_says_ready(
    launch: Launch, systemd: Systemd, home: tuple[Path, dict[Role, str]]
) -> None:
    database = sqlite3.connect(home[0] / "master.db", isolation_level=None)
    (known,) = database.execute("SELECT version_num FROM alembic_version").fetchone()
    database.execute("UPDATE alembic_version SET version_num = '9999'")
    try:
        master = launch(NOTIFY_SOCKET=str(systemd.path))
        assert master.process.wait(PATIENCE_SECONDS) == 78
        assert "9999 is newer than this master knows" in master.log
        assert systemd.next() == {"STOPPING": "1"}
        assert systemd.silent()
    finally:
        database.execute("UPDATE alembic_version SET version_num = ?", (known,))
        database.close()


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_a_master_leaves_tables_that_a_newer_one_changed(launch: Launch, url: str) -> None:
    master = launch(FFMPEG_MASTER_DATABASE=url).ready()
    store = Store(url)
    with store.write() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    store.close()
    assert master.process.wait(PATIENCE_SECONDS) == 78
    assert "9999 is newer than this master knows" in master.log.splitlines()[-1]
    assert "Traceback" not in master.log


def test_the_watchdog_hears_of_a_master_that_answers(launch: Launch, systemd: Systemd) -> None:
    master = launch(NOTIFY_SOCKET=str(systemd.path), WATCHDOG_USEC="200000")
    assert systemd.next()["READY"] == "1"
    assert systemd.next() == {"WATCHDOG": "1"}
    (child,) = _children(master.process.pid)
    os.kill(child, signal.SIGSTOP)  # it stands still: what systemd must find out
    while not systemd.silent():
        systemd.next()
    systemd._socket.settimeout(1.5)
    with pytest.raises(TimeoutError):
        while True:
            systemd.next()
    os.kill(child, signal.SIGCONT)


def _children(pid: int) -> list[int]:
    return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_a_killed_serving_process_is_replaced(launch: Launch) -> None:
    master = launch().ready()
    (child,) = _children(master.process.pid)
    os.kill(child, signal.SIGKILL)
    until(lambda: _children(master.process.pid) not in ([], [child]))
    assert master.client().health()["status"] == "ok"


def test_it_listens_where_it_is_told_without_systemd(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    (tmp_path / "master.toml").write_text(
        f'bind = "127.0.0.1:{port}"\ndatabase = "sqlite:///{tmp_path}/master.db"\n'
    )
    process = start(tmp_path, None)
    try:
        until(lambda: "event=ready" in (tmp_path / "log").read_text())
        answer = requests.get(f"http://127.0.0.1:{port}/health", timeout=PATIENCE_SECONDS)
        assert answer.json()["status"] == "ok"
    finally:
        process.terminate()
        process.wait(PATIENCE_SECONDS)


def test_an_accepted_job_survives_kill_9(launch: Launch) -> None:
    master = launch().ready()
    status = master.client().job(master.client().submit(JOB).id)
    for pid in [*_children(master.process.pid), master.process.pid]:
        os.kill(pid, signal.SIGKILL)
    master.process.wait(PATIENCE_SECONDS)
    again = launch().ready()
    assert again.client().job(status.id) == status
    again.client().cancel(status.id)


def test_a_lease_survives_a_restart(launch: Launch) -> None:
    short = "[leases]\nlease_seconds = 4\nheartbeat_seconds = 1\nidle_heartbeat_seconds = 2\n"
    master = launch(short).ready()
    client = master.client()
    client.register("ada", MACHINE)
    client.submit(JOB)
    held = client.claim("ada", 0)
    assert held is not None
    master.process.terminate()
    master.process.wait(PATIENCE_SECONDS)
    client = launch(short).ready().client()
    client.finish(held.job_id, held.attempt, held.token, Outcome(State.COMPLETED))
    assert client.job(held.job_id).state is State.COMPLETED


def test_a_lease_that_runs_out_gives_the_job_to_another(launch: Launch) -> None:
    text = "[leases]\nlease_seconds = 2\nheartbeat_seconds = 1\nidle_heartbeat_seconds = 1\n"
    master = launch(text + "[retries]\nretry_seconds = 0\n").ready()
    client = master.client()
    for name in ("ada", "bob"):
        client.register(name, MACHINE)
    job_id = client.submit(JOB).id
    first = client.claim("ada", 0)
    second = client.claim("bob", PATIENCE_SECONDS)  # held until the lease ran out
    assert first is not None
    assert second is not None
    assert (second.job_id, second.attempt) == (job_id, 2)
    client.finish(job_id, 2, second.token, Outcome(State.COMPLETED))


def test_it_waits_for_a_database_that_another_process_writes(launch: Launch) -> None:
    first = launch().ready()
    first.process.terminate()
    first.process.wait(PATIENCE_SECONDS)
    path = first.directory / "master.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("BEGIN EXCLUSIVE")
        master = launch()
        until(lambda: "database is locked" in master.log)
    master.ready()


def test_results_that_were_not_heard_are_not_taken_for_told(launch: Launch) -> None:
    master = launch().ready()
    client = master.client()
    client.register("ada", MACHINE)
    job_id = client.submit(JOB).id
    held = client.claim("ada", 5)
    assert held is not None
    result = Result(job_id, 1, held.token, Outcome(State.COMPLETED))
    body = json.dumps({"worker": "ada", "results": [to_json(result)]}).encode()
    head = f"POST /claims HTTP/1.1\r\nHost: h\r\nContent-Length: {len(body)}\r\n"
    head += "Content-Type: application/json\r\nConnection: close\r\n"
    head += f"Authorization: Bearer {master.secrets[Role.WORKER]}\r\n\r\n"
    with socket.create_connection(master.listener.getsockname()) as line:
        line.sendall(head.encode() + body)
        line.shutdown(socket.SHUT_WR)  # as if it were gone
        answer = line.makefile("rb").read()
    heard = client.job(job_id).state is State.COMPLETED
    assert (heard, answer.split()[1]) == (False, b"503")


def test_a_reload_takes_new_settings_and_refuses_bad_ones(launch: Launch, systemd: Systemd) -> None:
    master = launch(NOTIFY_SOCKET=str(systemd.path))
    assert systemd.next()["READY"] == "1"
    client = master.client()
    file = master.directory / "master.toml"
    good = file.read_text()
    file.write_text(good + "[leases]\nlease_seconds = 77\n")
    master.process.send_signal(signal.SIGHUP)
    assert systemd.next() == {"RELOADING": "1"}
    assert systemd.next()["READY"] == "1"
    until(lambda: client.register("ada", MACHINE).lease_seconds == 77)
    file.write_text(good + "[leases]\nlease_seconds = 0\n")
    master.process.send_signal(signal.SIGHUP)
    until(lambda: "event=reload_refused" in master.log)
    assert client.register("ada", MACHINE).lease_seconds == 77


def test_nothing_secret_is_logged(launch: Launch) -> None:
    master = launch('log_level = "debug"').ready()
    client = master.client()
    client.register("ada", MACHINE)
    status = client.submit(JOB | {"input": "https://ann:passw0rd@h/i?sig=abcdef0123"})
    held = client.claim("ada", 0)
    assert held is not None
    client.put_log(status.id, 1, held.token, b"https://ann:passw0rd@h/i?sig=abcdef0123")
    client.finish(status.id, 1, held.token, Outcome(State.COMPLETED))
    until(lambda: "event=attempt_ended" in master.log)
    for secret in ("passw0rd", "abcdef0123", held.token, *master.secrets.values()):
        assert secret not in master.log


def test_https(launch: Launch) -> None:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs openssl, to make a certificate")
    master = launch()
    files = {name: master.directory / f"{name}.pem" for name in ("cert", "key")}
    make = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost"]
    make += ["-addext", "subjectAltName=IP:127.0.0.1"]
    make += ["-keyout", str(files["key"]), "-out", str(files["cert"])]
    subprocess.run(make, check=True, capture_output=True)
    master.kill()
    text = f'[tls]\ntls_certificate = "{files["cert"]}"\ntls_key = "{files["key"]}"\n'
    master = launch(text).ready()
    url = master.url.replace("http:", "https:") + "/health"
    answer = requests.get(url, verify=str(files["cert"]), timeout=PATIENCE_SECONDS)
    assert answer.json()["status"] == "ok"
