"""Jobs tell their callback_url where they stand."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import structlog

from ffmpeg_jobs.model import CallbackState, JobStatus, Outcome, Role, State
from ffmpeg_jobs.problems import InvalidField
from ffmpeg_master.webhooks import GIVE_UP_SECONDS, RETRY_SECONDS, Webhooks
from tests.api.conftest import JOB, MACHINE, PATIENCE_SECONDS, Inside, Launch, Outside, until
from tests.receiver import SECRET, Receiver, receiver


@pytest.fixture
def listening() -> Iterator[Receiver]:
    with receiver() as listening:
        yield listening


@pytest.fixture
def secret_file(tmp_path: Path) -> Path:
    file = tmp_path / "webhook-secret"
    file.touch(0o600)
    file.write_text(SECRET)
    return file


@dataclass(frozen=True)
class Sender:
    """The application in this process, and what sends its webhooks, round by round."""

    inside: Inside
    webhooks: Webhooks

    def submit(self, url: str) -> str:
        return self.inside.client().submit(JOB | {"callback_url": url}).id

    def canceled(self, url: str) -> str:
        """A job that has something to tell."""
        return self.inside.client().cancel(self.submit(url)).id

    def round(self) -> None:
        self.webhooks.round()
        self.webhooks.wait()

    def show(self, job_id: str) -> JobStatus:
        return self.inside.client().job(job_id)


Settings = Callable[..., Sender]


@pytest.fixture
def sender(inside: Inside, secret_file: Path) -> Settings:
    def make(**more: bool) -> Sender:
        config = replace(inside.master.config, secret_file=secret_file, **more)
        master = replace(inside.master, config=config)
        return Sender(replace(inside, master=master), Webhooks(master))

    return make


@pytest.fixture
def near(sender: Settings) -> Sender:
    """One that may send to this machine."""
    return sender(allow_private=True)


def test_start_and_end_are_told_and_signed(near: Sender, listening: Receiver) -> None:
    client = near.inside.client()
    client.register("ada", MACHINE)
    job_id = near.submit(listening.url)
    claim = client.claim("ada", 0)
    assert claim is not None
    near.round()
    near.inside.clock.forward(1)
    client.finish(job_id, 1, claim.token, Outcome(State.COMPLETED))
    near.round()
    started, completed = listening.received
    assert (started.genuine, completed.genuine) == (True, True)
    assert started.path == "/hooks?for=me"
    assert started.headers["content-type"] == "application/json"
    assert started.headers["host"] == f"127.0.0.1:{listening.port}"
    assert completed.headers["webhook-timestamp"] == str(int(near.inside.clock.seconds))
    assert (started.told["type"], started.told["data"]["state"]) == ("job.started", "running")
    assert (completed.told["type"], completed.told["data"]["id"]) == ("job.completed", job_id)
    assert completed.told["timestamp"] == "2023-11-14T22:13:21.000Z"
    assert started.id != completed.id
    told = near.show(job_id).callback
    assert told is not None
    assert (told.type, told.state, told.tries) == ("job.completed", CallbackState.DELIVERED, 1)


def test_what_is_refused_is_sent_again_under_its_id(near: Sender, listening: Receiver) -> None:
    listening.answers.extend([500, 503])
    job_id = near.canceled(listening.url)
    near.round()
    told = near.show(job_id).callback
    assert told is not None
    assert (told.state, told.last_error) == (CallbackState.PENDING, "the receiver answers 500")
    near.round()
    assert len(listening.received) == 1  # not at once
    near.inside.clock.forward(RETRY_SECONDS * 1.25)
    near.round()
    near.inside.clock.forward(RETRY_SECONDS * 2 * 1.25)
    near.round()
    first, second, third = listening.received
    assert first.id == second.id == third.id
    assert first.body == third.body
    assert first.headers["webhook-timestamp"] != third.headers["webhook-timestamp"]
    assert third.genuine
    told = near.show(job_id).callback
    assert told is not None
    assert (told.state, told.tries, told.last_error) == (CallbackState.DELIVERED, 3, None)


def test_after_a_day_it_is_given_up(near: Sender) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    job_id = near.canceled(f"http://127.0.0.1:{port}/")
    waited = 0
    while True:
        near.round()
        told = near.show(job_id).callback
        assert told is not None
        assert told.last_error == "Connection refused"
        if told.state is CallbackState.GIVEN_UP:
            break
        near.inside.clock.forward(9000)
        waited += 9000
    assert abs(waited - GIVE_UP_SECONDS) <= 9000
    with structlog.testing.capture_logs() as log:
        near.inside.clock.forward(9000)
        near.round()
    assert log == []


@pytest.mark.parametrize(
    ("status", "state"), [(410, CallbackState.GIVEN_UP), (302, CallbackState.PENDING)]
)
def test_who_is_gone_hears_no_more_and_nobody_is_sent_elsewhere(
    near: Sender, listening: Receiver, status: int, state: CallbackState
) -> None:
    listening.answers.append(status)
    job_id = near.canceled(listening.url)
    near.round()
    assert [received.path for received in listening.received] == ["/hooks?for=me"]
    told = near.show(job_id).callback
    assert told is not None
    assert told.state is state
    assert str(status) in (told.last_error or "")


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "0x7f.1", "2130706433", "[::1]", "0.0.0.0", "[::ffff:127.0.0.1]"],
)
def test_by_default_nothing_is_sent_inside(
    sender: Settings, listening: Receiver, host: str
) -> None:
    careful = sender()
    job_id = careful.canceled(f"http://{host}:{listening.port}/")
    careful.round()
    assert listening.received == []
    told = careful.show(job_id).callback
    assert told is not None
    assert told.state is CallbackState.PENDING
    assert "allow_private" in (told.last_error or "")


def test_a_name_that_moves_after_it_was_checked_leads_nobody_inside(
    sender: Settings, listening: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    public = "93.184.216.34"
    look_up, connect = socket.getaddrinfo, socket.create_connection
    answers = [public, "127.0.0.1"]
    connected: list[Any] = []

    def rebind(host: Any, port: Any, *more: Any, **named: Any) -> Any:
        if host == "rebind.example":
            host = answers.pop(0)
        return look_up(host, port, *more, **named)

    def note(address: Any, *more: Any) -> socket.socket:
        connected.append(address)
        # What is at the public address, as far as this test has an internet.
        here = ("127.0.0.1", listening.port) if address[0] == public else address
        return connect(here, *more)

    monkeypatch.setattr(socket, "getaddrinfo", rebind)
    monkeypatch.setattr(socket, "create_connection", note)
    careful = sender()
    job_id = careful.canceled("http://rebind.example:8000/")
    careful.round()
    assert answers == ["127.0.0.1"]  # asked once
    assert connected == [(public, 8000)]
    assert listening.of(job_id) == ["job.canceled"]
    assert listening.received[0].headers["host"] == "rebind.example:8000"


def test_a_receiver_that_speaks_no_http_is_an_error_like_others(near: Sender) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        jobs = [
            near.canceled(f"https://127.0.0.1:{port}/"),
            near.canceled(f"http://127.0.0.1:{port}/"),
        ]
        near.webhooks.round()
        for _ in jobs:
            peer, _address = listener.accept()
            peer.sendall(b"220 mail.example ESMTP\r\n")
            peer.close()
        near.webhooks.wait()
    for job_id in jobs:
        told = near.show(job_id).callback
        assert told is not None
        assert told.last_error


def test_the_certificate_has_to_be_the_hosts(
    near: Sender, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(key)]
    command += ["-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with receiver(context) as listening:
        by_name = near.canceled(f"https://localhost:{listening.port}/")
        near.round()
        assert "certificate verify failed" in str(near.show(by_name).callback)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        by_address = near.canceled(f"https://127.0.0.1:{listening.port}/")
        near.inside.clock.forward(RETRY_SECONDS * 2)
        near.round()
        assert "certificate verify failed" in str(near.show(by_address).callback)
        assert listening.of(by_name) == ["job.canceled"]
        assert listening.of(by_address) == []


def test_secrets_of_the_url_are_not_shown(near: Sender, listening: Receiver) -> None:
    url = listening.url.replace("for=me", "token=verysecret")
    job_id = near.canceled(url)
    near.round()
    (received,) = listening.received
    assert received.path == "/hooks?token=verysecret"
    assert b"verysecret" not in received.body
    assert "verysecret" not in str(near.show(job_id))
    assert "verysecret" not in str(near.inside.log)


@pytest.mark.parametrize(
    "place",
    [
        *("ftp://h/x", "h/x", "/x", "http://", "http:///x", "http://h:0/", "http://h:99999/"),
        *("http://ann:pw@h/", "http://[::1/", "http://h/ x", "http://h/\u00e9", "http://a..b/"),
        "http://h/" + "x" * 2048,
    ],
)
def test_what_is_no_place_to_tell_is_refused(near: Sender, place: str) -> None:
    with pytest.raises(InvalidField, match=r"callback_url: .* is not allowed; allowed is an http"):
        near.submit(place)


def test_without_a_secret_there_are_no_webhooks(inside: Inside) -> None:
    client, job = inside.client(Role.SUBMIT), JOB | {"callback_url": "https://app.example/"}
    with pytest.raises(InvalidField, match=r"^callback_url: .*\[webhooks\] secret_file"):
        client.submit(job)
    with pytest.raises(InvalidField, match=r"^jobs\[1\].callback_url: .*secret_file"):
        client.submit_batch([JOB, job])


def settings(secret_file: Path) -> str:
    return f'[webhooks]\nsecret_file = "{secret_file}"\nallow_private = true\n'


def kill(master: Outside) -> None:
    """With what it started, as a power cut does."""
    listing = Path(f"/proc/{master.process.pid}/task/{master.process.pid}/children")
    for pid in (master.process.pid, *map(int, listing.read_text().split())):
        os.kill(pid, signal.SIGKILL)
    master.process.wait(PATIENCE_SECONDS)


def test_what_was_to_be_told_outlives_the_master(
    launch: Launch, listening: Receiver, secret_file: Path
) -> None:
    master = launch(settings(secret_file)).ready()
    listening.answers.append(500)
    client = master.client()
    job_id = client.cancel(client.submit(JOB | {"callback_url": listening.url}).id).id
    until(lambda: "event=webhook_put_off" in master.log)
    kill(master)
    client = launch(settings(secret_file)).ready().client()
    until(lambda: len(listening.received) == 2)
    until(lambda: "delivered" in str(client.job(job_id).callback))
    assert {received.id for received in listening.received} == {listening.received[0].id}
    assert all(received.genuine for received in listening.received)


def test_a_secret_that_everybody_may_read_stops_the_master(
    launch: Launch, secret_file: Path
) -> None:
    secret_file.chmod(0o644)
    master = launch(settings(secret_file))
    assert master.process.wait(PATIENCE_SECONDS) == 78
    assert "everybody on this machine may use it" in master.log
