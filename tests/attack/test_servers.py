"""What a server that a job names may try against the worker that fetches or sends."""

from __future__ import annotations

import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ffmpeg_jobs.destination import EVERYWHERE, Policy
from ffmpeg_jobs.model import Reason
from tests.api.conftest import until
from tests.attack.stage import BODY, BOMB, MUCH, Ending, Stage, Talk, get, put
from tests.serving import serving


@pytest.fixture
def stage() -> Iterator[Stage]:
    server = Stage()
    with serving(server):
        yield server


@pytest.fixture
def inner() -> Iterator[Stage]:
    """A service of the machine that jobs have no business with."""
    server = Stage("127.0.0.2")
    server.answer = lambda talk: talk.say(200, BODY)
    with serving(server):
        yield server


def test_a_packed_body_is_not_unpacked(stage: Stage, tmp_path: Path) -> None:
    stage.answer = lambda talk: talk.say(200, BOMB, Content_Encoding="gzip")
    got = get(stage.url, tmp_path / "input")
    assert got.reason is Reason.INPUT_ERROR
    assert "Content-Encoding: gzip" in got.words
    assert (tmp_path / "input").stat().st_size == 0
    assert stage.asked[0].headers.get_all("Accept-Encoding") == ["identity"]


def test_a_transfer_coding_that_packs_is_refused(stage: Stage, tmp_path: Path) -> None:
    stage.answer = lambda talk: talk.head(200, Transfer_Encoding="gzip, chunked")
    got = get(stage.url, tmp_path / "input")
    assert got.reason is Reason.INPUT_ERROR
    assert "Transfer-Encoding" in got.words


@pytest.mark.parametrize("packed", [False, True])
def test_the_body_of_a_redirect_is_not_read(stage: Stage, tmp_path: Path, *, packed: bool) -> None:
    poured: list[int] = []

    def answer(talk: Talk) -> None:
        if talk.path == "/file":
            talk.say(200, BODY)
            return
        coding = {"Content_Encoding": "gzip"} if packed else {}
        talk.head(302, Location="/file", **coding)
        poured.append(talk.pour(BOMB if packed else bytes(1 << 16)))

    stage.answer = answer
    assert get(stage.url, tmp_path / "input") == Ending(None)
    assert (tmp_path / "input").read_bytes() == BODY
    until(lambda: poured)
    assert poured[0] < MUCH


@pytest.mark.parametrize("length", ["announced", "chunked", "unknown"])
def test_no_more_is_written_than_the_job_may(stage: Stage, tmp_path: Path, length: str) -> None:
    def answer(talk: Talk) -> None:
        heads: dict[str, dict[str, str]] = {
            "announced": {"Content_Length": str(MUCH)},
            "unknown": {},
        }
        talk.head(200, **heads.get(length, {"Transfer_Encoding": "chunked"}))
        piece = bytes(1 << 16)
        talk.pour(b"10000\r\n" + piece + b"\r\n" if length == "chunked" else piece)

    stage.answer = answer
    got = get(stage.url, tmp_path / "input", max_bytes=1 << 20)
    assert got.reason is Reason.DISK_FULL
    assert (tmp_path / "input").stat().st_size <= 1 << 20


@pytest.mark.parametrize("line", ["X-Much: {}\r\n", "HTTP/1.1 100 Continue\r\nA: {}\r\n\r\n"])
def test_a_head_without_end_is_not_kept(stage: Stage, tmp_path: Path, line: str) -> None:
    poured: list[int] = []

    def answer(talk: Talk) -> None:
        if line.startswith("X"):
            talk.wfile.write(b"HTTP/1.1 200 OK\r\n")
        poured.append(talk.pour(line.format("x" * 1000).encode()))

    stage.answer = answer
    got = get(stage.url, tmp_path / "input")
    assert got.reason is Reason.NETWORK_ERROR
    until(lambda: poured)
    assert poured[0] < MUCH


SPELLINGS = ("127.0.0.1", "localhost", "2130706433", "0x7f.1", "127.1", "[::ffff:127.0.0.1]", "0")


@pytest.mark.parametrize("host", SPELLINGS)
def test_this_machine_is_not_reached_however_it_is_spelt(
    stage: Stage, tmp_path: Path, host: str
) -> None:
    url = f"http://{host}:{stage.server_port}/"
    got, sent = get(url, tmp_path / "input", Policy()), put(url, tmp_path, Policy())
    assert (got.reason, sent.reason) == (Reason.INPUT_ERROR, Reason.OUTPUT_ERROR)
    for ended in (got, sent):
        assert "[network] allow" in ended.words
        assert host.strip("[]") in ended.words
    assert stage.asked == []


@pytest.mark.parametrize("last", ["http://127.0.0.1:{}\\@93.184.216.34/x", "http://a@127.1@b:{}/"])
def test_a_url_with_two_readings_is_none(stage: Stage, tmp_path: Path, last: str) -> None:
    assert get(last.format(stage.server_port), tmp_path / "input").reason is Reason.INPUT_ERROR
    assert stage.asked == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_leads_nobody_inside(
    stage: Stage, inner: Stage, tmp_path: Path, status: int
) -> None:
    stage.answer = lambda talk: talk.say(status, Location=f"{inner.url}/secret?key=s3cret")
    got, sent = get(stage.url, tmp_path / "input"), put(stage.url, tmp_path)
    assert (got.reason, sent.reason) == (Reason.INPUT_ERROR, Reason.OUTPUT_ERROR)
    for ended in (got, sent):
        assert "s3cret" not in ended.words
    assert "127.0.0.2" in get(stage.url, tmp_path / "input").words
    assert inner.asked == []


def test_a_name_that_moves_after_it_was_checked_leads_nobody_inside(
    stage: Stage, inner: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.answer = lambda talk: talk.say(200, BODY)
    look_up = socket.getaddrinfo
    answers = ["127.0.0.1", "127.0.0.2", "127.0.0.2"]

    def rebind(host: Any, *more: Any, **named: Any) -> Any:
        return look_up(answers.pop(0) if host == "rebind.example" else host, *more, **named)

    monkeypatch.setattr(socket, "getaddrinfo", rebind)
    url = f"http://rebind.example:{stage.server_port}/"
    assert get(url, tmp_path / "input") == Ending(None)
    assert len(answers) == 2  # asked once
    assert stage.asked[0].headers["Host"] == f"rebind.example:{stage.server_port}"
    assert "rebind.example is at 127.0.0.2" in get(url, tmp_path / "input").words
    assert inner.asked == []


def test_no_proxy_is_asked(
    stage: Stage, inner: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.answer = lambda talk: talk.say(200, BODY)
    for name in ("http_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, inner.url)
    assert get(stage.url, tmp_path / "input") == Ending(None)
    assert inner.asked == []


def test_who_is_led_to_is_not_shown_the_password(
    stage: Stage, inner: Stage, tmp_path: Path
) -> None:
    stage.answer = lambda talk: talk.say(
        302, Location=f"{inner.url}/" if talk.path == "/b" else "/b"
    )
    url = stage.url.replace("//", "//ann:s3cret@")
    assert get(url, tmp_path / "input", Policy(EVERYWHERE)) == Ending(None)
    assert [talk.headers["Authorization"] for talk in stage.asked] == ["Basic YW5uOnMzY3JldA=="] * 2
    assert inner.asked[0].headers["Authorization"] is None


@contextmanager
def encrypted(server: Stage, directory: Path) -> Iterator[str]:
    """The server speaks TLS as localhost; its URL."""
    key, certificate = directory / "key.pem", directory / "certificate.pem"
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost"]
    make += ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out"]
    subprocess.run([*make, str(certificate)], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    with serving(server):
        yield f"https://localhost:{server.server_port}"


def test_the_certificate_is_the_hosts_and_nothing_leads_out_of_tls(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.answer = lambda talk: talk.say(200, BODY)
    safe = Stage()
    paths = {"/out": stage.url}
    safe.answer = lambda talk: (
        talk.say(302, Location=paths[talk.path]) if talk.path in paths else talk.say(200, BODY)
    )
    with encrypted(safe, tmp_path) as url:
        unknown = get(url, tmp_path / "input")
        assert unknown.reason is Reason.NETWORK_ERROR
        assert "certificate" in unknown.words.lower()
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "certificate.pem"))
        assert get(url, tmp_path / "input") == Ending(None)
        by_address = get(url.replace("localhost", "127.0.0.1"), tmp_path / "input")
        assert "certificate" in by_address.words.lower()
        out = get(f"{url}/out", tmp_path / "input")
        assert out.reason is Reason.INPUT_ERROR
        assert "from https to http" in out.words
    assert stage.asked == []


@pytest.mark.parametrize(("status", "stored"), [(307, True), (308, True), (302, False)])
def test_an_upload_is_sent_on_whole_or_not_at_all(
    stage: Stage, tmp_path: Path, status: int, *, stored: bool
) -> None:
    stage.answer = lambda talk: (
        talk.say(status, Location="/there") if talk.path == "/" else talk.say(201)
    )
    ended = put(f"{stage.url}/", tmp_path)
    assert [talk.path for talk in stage.asked] == (["/", "/there"] if stored else ["/"])
    assert ended.reason is (None if stored else Reason.OUTPUT_ERROR)
    assert all(talk.body == BODY for talk in stage.asked)


def test_what_a_server_says_of_an_upload_is_not_read(stage: Stage, tmp_path: Path) -> None:
    poured: list[int] = []

    def answer(talk: Talk) -> None:
        talk.head(201)
        poured.append(talk.pour(bytes(1 << 16)))

    stage.answer = answer
    assert put(stage.url, tmp_path) == Ending(None)
    until(lambda: poured)
    assert poured[0] < MUCH
