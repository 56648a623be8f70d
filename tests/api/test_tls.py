"""A master with TLS of its own, made by init-tls, and who is refused there and why."""

from __future__ import annotations

import signal
import socket
import ssl
import subprocess
import sys
import threading
from contextlib import closing
from http.client import HTTPException, HTTPSConnection
from pathlib import Path

import pytest

from ffmpeg_jobs.client import MasterClient
from ffmpeg_jobs.line import Endpoint
from ffmpeg_jobs.model import Role
from ffmpeg_jobs.problems import Forbidden, MasterUntrusted
from tests.api.conftest import (
    JOB,
    MACHINE,
    PATIENCE_SECONDS,
    Launch,
    Outside,
    command,
    environment,
    in_thread,
    start,
    until,
)


def init_tls(directory: Path, *more: str) -> subprocess.CompletedProcess[str]:
    """``ffmpeg-master init-tls``, into the directory tls."""
    (directory / "master.toml").touch()
    return command(directory, "init-tls", "--directory", str(directory / "tls"), *more)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("made")
    run = init_tls(directory, "--host", "127.0.0.1")
    assert run.returncode == 0, run.stderr
    assert f'tls_key = "{directory}/tls/server.key"' in run.stdout
    return directory / "tls"


def settings(directory: Path, more: str = "") -> str:
    certificate, key = directory / "server.pem", directory / "server.key"
    return f'[tls]\ntls_certificate = "{certificate}"\ntls_key = "{key}"\n{more}'


def client(
    master: Outside,
    ca: Path,
    *,
    role: Role = Role.ADMIN,
    host: str = "127.0.0.1",
    pair: tuple[str, str] | tuple[()] = (),
) -> MasterClient:
    port = master.listener.getsockname()[1]
    endpoint = Endpoint(f"https://{host}:{port}", master.secrets[role], str(ca), False, *pair)
    opened = MasterClient(endpoint)
    master.sessions.callback(opened.close)
    return opened


def test_who_knows_the_authority_is_served(launch: Launch, made: Path) -> None:
    master = launch(settings(made)).ready()
    job_id = client(master, made / "ca.pem").submit(JOB).id
    where = ["--master", master.url.replace("http", "https"), "--ca", str(made / "ca.pem")]
    run = subprocess.run(
        [sys.executable, "-m", "ffmpeg_jobs.cli.main", "show", job_id, "--json", *where],
        env=environment(HOME="/nonexistent", FFMPEG_JOBS_KEY=master.secrets[Role.READ]),
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert (run.returncode, job_id in run.stdout) == (0, True), run.stderr
    client(master, made / "ca.pem").cancel(job_id)


def test_no_old_tls(launch: Launch, made: Path) -> None:
    master = launch(settings(made)).ready()
    context = ssl.create_default_context(cafile=str(made / "ca.pem"))
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.options &= ~(ssl.OP_NO_TLSv1 | ssl.OP_NO_TLSv1_1)
    with pytest.warns(DeprecationWarning):
        context.minimum_version = ssl.TLSVersion.TLSv1
    with pytest.warns(DeprecationWarning):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    address = master.listener.getsockname()
    with (
        socket.create_connection(address, PATIENCE_SECONDS) as plain,
        pytest.raises((ssl.SSLError, ConnectionError)),
    ):
        context.wrap_socket(plain, server_hostname="127.0.0.1")


def test_who_does_not_trust_it_is_told_what_to_do(
    launch: Launch, made: Path, tmp_path: Path
) -> None:
    master = launch(settings(made)).ready()
    assert init_tls(tmp_path, "--host", "127.0.0.1").returncode == 0
    with pytest.raises(MasterUntrusted, match=r"set ca to the file ca\.pem of the authority"):
        client(master, tmp_path / "tls/ca.pem").health()
    with pytest.raises(MasterUntrusted, match="; use a name that it holds"):
        client(master, made / "ca.pem", host="localhost").health()


def test_an_expired_certificate_is_told_and_renewed(launch: Launch, tmp_path: Path) -> None:
    assert init_tls(tmp_path, "--host", "127.0.0.1").returncode == 0
    tls = tmp_path / "tls"
    expire(tls)
    master = launch(settings(tls)).ready()
    with pytest.raises(MasterUntrusted, match=r"expired.*; renew it at the master: .* --renew"):
        client(master, tls / "ca.pem").health()
    assert init_tls(tmp_path, "--renew", "--host", "127.0.0.1").returncode == 0
    master.process.send_signal(signal.SIGHUP)
    until(lambda: master.log.count("event=ready") == 2)

    def served() -> bool:
        try:
            return bool(client(master, tls / "ca.pem").health())
        except MasterUntrusted:
            return False

    until(served)


def expire(tls: Path) -> None:
    """Have the server's certificate end yesterday."""
    request = ["openssl", "req", "-new", "-key", str(tls / "server.key"), "-subj", "/CN=x"]
    request += ["-addext", "subjectAltName=IP:127.0.0.1", "-out", str(tls / "csr")]
    subprocess.run(request, check=True, capture_output=True)
    sign = ["openssl", "x509", "-req", "-in", str(tls / "csr"), "-days", "-1"]
    sign += ["-CA", str(tls / "ca.pem"), "-CAkey", str(tls / "ca.key"), "-CAcreateserial"]
    subprocess.run([*sign, "-out", str(tls / "server.pem")], check=True, capture_output=True)


class Asking:
    """Asks on connections of its own, and repeats nothing: what is dropped is an error."""

    def __init__(self, master: Outside, ca: Path, *, keeps: bool) -> None:
        self.stopped = threading.Event()
        self.answered = 0
        self.dropped: list[str] = []
        self.connections = 0
        self._context = ssl.create_default_context(cafile=str(ca))
        self._port = master.listener.getsockname()[1]
        self._key = master.secrets[Role.READ]
        self._keeps = keeps

    def run(self) -> None:
        """Until it is stopped."""
        while not self.stopped.is_set():
            try:
                self._ask()
            except (OSError, HTTPException) as error:
                self.dropped.append(f"{type(error).__name__}: {error}")

    def _ask(self) -> None:
        """One request, or on a connection that is kept as many as the master lets it bear."""
        self.connections += 1
        where = ("127.0.0.1", self._port, PATIENCE_SECONDS)
        connection = HTTPSConnection(*where[:2], timeout=where[2], context=self._context)
        with closing(connection):
            closes = False
            while not closes and not self.stopped.is_set():
                connection.request("GET", "/jobs", headers={"Authorization": f"Bearer {self._key}"})
                answer = connection.getresponse()
                answer.read()
                assert answer.status == 200
                self.answered += 1
                # What is not announced is not taken for an end: the next request would be lost.
                closes = not self._keeps or answer.will_close


def reload(master: Outside, asking: list[Asking]) -> None:
    """Until a new process serves, and all were answered since."""
    ready, before = master.log.count("event=ready"), [one.answered for one in asking]
    master.process.send_signal(signal.SIGHUP)
    until(lambda: master.log.count("event=ready") > ready)
    until(lambda: all(one.answered > n for one, n in zip(asking, before, strict=True)))


def test_a_reload_drops_no_request(launch: Launch, made: Path) -> None:
    master = launch(settings(made)).ready()
    asking = [Asking(master, made / "ca.pem", keeps=keeps) for keeps in (True, False, False)]
    threads = [in_thread(one.run)[0] for one in asking]
    for _ in range(4):
        reload(master, asking)
    for one, thread in zip(asking, threads, strict=True):
        one.stopped.set()
        thread.join(PATIENCE_SECONDS)
    assert [one.dropped for one in asking] == [[]] * len(asking)
    assert all(one.connections > 1 for one in asking)


def test_a_reload_refuses_files_that_make_no_tls(launch: Launch, tmp_path: Path) -> None:
    assert init_tls(tmp_path, "--host", "127.0.0.1").returncode == 0
    tls = tmp_path / "tls"
    master = launch(settings(tls)).ready()
    (tls / "server.pem").write_text("nothing")
    master.process.send_signal(signal.SIGHUP)
    until(lambda: "event=reload_refused" in master.log)
    assert "is no PEM certificate with its key" in master.log
    assert client(master, tls / "ca.pem").health()["status"] == "ok"


@pytest.mark.parametrize("activated", [True, False])
def test_a_reload_to_plain_http_is_refused_where_others_would_read_it(
    tmp_path: Path, made: Path, activated: bool
) -> None:
    """Whatever ``bind`` says then: the sockets that are open stay open."""
    listener = socket.create_server(("0.0.0.0", 0))
    port = listener.getsockname()[1]
    if not activated:
        listener.close()
    file = tmp_path / "master.toml"
    database = f'database = "sqlite:///{tmp_path}/master.db"\n'
    here = f'bind = "0.0.0.0:{port}"\n' if not activated else ""
    file.write_text(here + database + settings(made))
    process = start(tmp_path, listener if activated else None)

    def log() -> str:
        return (tmp_path / "log").read_text()

    try:
        until(lambda: "event=ready" in log())
        file.write_text(database)  # and bind is the loopback's by default
        process.send_signal(signal.SIGHUP)
        until(lambda: "event=reload_refused" in log() or log().count("event=ready") == 2)
        assert "a socket that is open: 0.0.0.0 is not of this machine alone" in log()
        context = ssl.create_default_context(cafile=str(made / "ca.pem"))
        with socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS) as plain:
            context.wrap_socket(plain, server_hostname="127.0.0.1").close()
        file.write_text(database + "[tls]\nallow_plain_http = true\n")
        process.send_signal(signal.SIGHUP)
        until(lambda: log().count("event=ready") == 2)
    finally:
        process.terminate()
        process.wait(PATIENCE_SECONDS)
        listener.close()


def test_worker_keys_need_a_certificate_where_an_authority_is_set(
    launch: Launch, made: Path
) -> None:
    run = command(made.parent, "init-tls", "--directory", str(made), "--client", "ada")
    assert run.returncode == 0, run.stderr
    master = launch(settings(made, f'tls_client_ca = "{made}/ca.pem"\n')).ready()
    pair = (str(made / "ada.pem"), str(made / "ada.key"))
    client(master, made / "ca.pem", role=Role.WORKER, pair=pair).register("ada", MACHINE)
    with pytest.raises(Forbidden, match="a worker needs a client certificate here"):
        client(master, made / "ca.pem", role=Role.WORKER).register("ada", MACHINE)
    assert client(master, made / "ca.pem", role=Role.READ).workers()


@pytest.mark.parametrize("activated", [True, False])
def test_plain_http_stays_on_this_machine(tmp_path: Path, activated: bool) -> None:
    listener = socket.create_server(("0.0.0.0", 0))
    port = listener.getsockname()[1]
    database = f'bind = "0.0.0.0:{port}"\ndatabase = "sqlite:///{tmp_path}/master.db"\n'
    (tmp_path / "master.toml").write_text(database)
    if not activated:
        listener.close()
    process = start(tmp_path, listener if activated else None)
    assert process.wait(PATIENCE_SECONDS) == 78
    assert "or [tls] allow_plain_http = true" in (tmp_path / "log").read_text()
    (tmp_path / "master.toml").write_text(database + "[tls]\nallow_plain_http = true\n")
    process = start(tmp_path, listener if activated else None)
    until(lambda: "event=ready" in (tmp_path / "log").read_text())
    process.terminate()
    process.wait(PATIENCE_SECONDS)
    listener.close()
