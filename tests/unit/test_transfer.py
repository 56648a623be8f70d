"""Fetch and upload against a real server, which misbehaves on request."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from ffmpeg_jobs.destination import Policy
from ffmpeg_jobs.model import Reason
from ffmpeg_worker.outcome import AttemptError
from ffmpeg_worker.transfer import fetch, plain_url, upload
from tests.api.conftest import until
from tests.serving import here, serving

BODY = os.urandom(3_000_000)
#: Of the servers here.
HERE = Policy(("127.0.0.0/8",))


@dataclass(frozen=True)
class Site:
    """A server, what it was sent, and how often it still refuses."""

    url: str
    stored: dict[str, bytes] = field(default_factory=dict)
    refusals: list[int] = field(default_factory=list)


class Handler(BaseHTTPRequestHandler):
    site: Site

    def log_message(self, format: str, *args: object) -> None:
        pass

    def _answer(self, status: int, length: int | None, *headers: tuple[str, str]) -> None:
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        if length is not None:
            self.send_header("Content-Length", str(length))
        self.end_headers()

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/whole":
            self._answer(200, len(BODY))
            self.wfile.write(BODY)
        elif path == "/unannounced":
            self._answer(200, None)
            self.wfile.write(BODY)
        elif path == "/cut":
            self._answer(200, len(BODY))
            self.wfile.write(BODY[:1_000_000])
        elif path == "/empty":
            self._answer(200, 0)
        elif path == "/elsewhere":
            self._answer(302, 0, ("Location", "/whole"))
        elif path == "/round":
            self._answer(302, 0, ("Location", "/round"))
        elif path == "/slow":
            self._answer(200, len(BODY))
            self.wfile.write(BODY[:100_000])
            self.wfile.flush()
            self.rfile.read(1)  # until the client goes
        elif path == "/silent":
            self.rfile.read(1)
        else:
            self._answer(int(path.strip("/")), 0)

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        path = self.path.partition("?")[0]
        if self.site.refusals:
            self._answer(self.site.refusals.pop(0), 0)
        elif path == "/silent":
            self.site.stored[self.path] = body
            self.rfile.read(1)  # until the client goes
        elif path == "/out":
            self.site.stored[self.path] = body
            self._answer(201, 0)
        else:
            self._answer(int(path.strip("/")), 0, ("Location", "/out"))


@pytest.fixture
def site() -> Iterator[Site]:
    class OneSite(Handler):
        pass

    with serving(here(OneSite)) as url:
        OneSite.site = Site(url)
        yield OneSite.site


@dataclass(frozen=True)
class Got:
    """How a fetch ended."""

    reason: Reason | None
    words: str


def try_fetch(
    url: str,
    target: Path,
    *,
    max_bytes: int = 1 << 30,
    deadline_seconds: float = 60,
    stop: threading.Event | None = None,
    policy: Policy = HERE,
) -> Got:
    try:
        fetch(
            url,
            target,
            max_bytes=max_bytes,
            deadline_seconds=deadline_seconds,
            stop=stop or threading.Event(),
            policy=policy,
            pauses_seconds=(0, 0),
        )
    except AttemptError as error:
        return Got(error.reason, str(error))
    return Got(None, "")


@pytest.mark.parametrize("path", ["/whole", "/unannounced", "/elsewhere"])
def test_a_file_arrives_whole_and_for_us_alone(site: Site, tmp_path: Path, path: str) -> None:
    target = tmp_path / "input"
    assert try_fetch(site.url + path, target) == Got(None, "")
    assert target.read_bytes() == BODY
    assert target.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("path", "reason", "words"),
    [
        ("/404", Reason.INPUT_ERROR, "HTTP status 404"),
        ("/403", Reason.INPUT_ERROR, "HTTP status 403"),
        ("/410", Reason.INPUT_ERROR, "HTTP status 410"),
        ("/429", Reason.NETWORK_ERROR, "HTTP status 429"),
        ("/500", Reason.NETWORK_ERROR, "HTTP status 500"),
        ("/503", Reason.NETWORK_ERROR, "HTTP status 503"),
        ("/204", Reason.INPUT_ERROR, "is empty"),
        ("/empty", Reason.INPUT_ERROR, "is empty"),
        ("/round", Reason.INPUT_ERROR, "more than 5 redirects"),
        ("/cut", Reason.NETWORK_ERROR, "the connection broke off"),
    ],
)
def test_what_a_server_may_answer(
    site: Site, tmp_path: Path, path: str, reason: Reason, words: str
) -> None:
    got = try_fetch(f"{site.url}{path}?signature=s3cret", tmp_path / "input")
    assert got.reason is reason
    assert words in got.words
    assert f"{site.url}{path}" in got.words
    assert "s3cret" not in got.words


@pytest.mark.parametrize("path", ["/whole", "/unannounced"])
def test_no_more_than_the_job_s_disk(site: Site, tmp_path: Path, path: str) -> None:
    got = try_fetch(site.url + path, tmp_path / "input", max_bytes=2 << 20)
    assert got.reason is Reason.DISK_FULL
    assert "max_disk_mb" in got.words


@pytest.mark.parametrize("path", ["/slow", "/silent"])
def test_a_stop_does_not_wait_for_a_silent_server(site: Site, tmp_path: Path, path: str) -> None:
    stop = threading.Event()
    threading.Timer(0.3, stop.set).start()
    got = try_fetch(site.url + path, tmp_path / "input", stop=stop)
    assert got == Got(Reason.CANCELED, "canceled while its input was fetched")


@pytest.mark.parametrize("path", ["/slow", "/silent"])
def test_the_deadline_holds_for_a_silent_server(site: Site, tmp_path: Path, path: str) -> None:
    got = try_fetch(site.url + path, tmp_path / "input", deadline_seconds=0.3)
    assert got.reason is Reason.TIMEOUT


def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/in.mp4?signature=s3cret"
        got = try_fetch(url, tmp_path / "input")
    assert got.reason is Reason.NETWORK_ERROR
    assert got.words.endswith("/in.mp4 could not be fetched: Connection refused")


def test_a_connection_that_is_reset(tmp_path: Path) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()

        def reset() -> None:
            peer, _ = server.accept()
            peer.recv(10)
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            peer.close()

        thread = threading.Thread(target=reset)
        thread.start()
        got = try_fetch(f"http://127.0.0.1:{server.getsockname()[1]}/", tmp_path / "input")
        thread.join()
    assert got.reason is Reason.NETWORK_ERROR
    assert got.words.endswith("Connection reset by peer")


@pytest.mark.parametrize("url", ["http://[::1/a", "http:///a", "ftp://example.org/a"])
def test_no_url(tmp_path: Path, url: str) -> None:
    assert try_fetch(url, tmp_path / "input").reason is Reason.INPUT_ERROR


def test_a_full_disk(site: Site) -> None:
    got = try_fetch(site.url + "/whole", Path("/dev/full"))
    assert got.reason is Reason.DISK_FULL
    assert "No space left on device" in got.words


def upload_to(url: str, staged: Path, policy: Policy = HERE) -> None:
    upload(staged, url, threading.Event(), (0,), policy=policy)


@pytest.fixture
def staged(tmp_path: Path) -> Path:
    path = tmp_path / "output"
    path.write_bytes(BODY)
    return path


def test_an_upload_keeps_the_query(site: Site, staged: Path) -> None:
    upload(staged, f"{site.url}/out?signature=s3cret", threading.Event(), policy=HERE)
    assert site.stored == {"/out?signature=s3cret": BODY}


def test_an_upload_is_tried_again(site: Site, staged: Path) -> None:
    site.refusals.extend([503, 500])
    upload(staged, f"{site.url}/out", threading.Event(), pauses_seconds=(0, 0), policy=HERE)
    assert site.stored == {"/out": BODY}


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/403", Reason.OUTPUT_ERROR),
        ("/404", Reason.OUTPUT_ERROR),
        ("/301", Reason.OUTPUT_ERROR),
        ("/503", Reason.NETWORK_ERROR),
        ("/408", Reason.NETWORK_ERROR),
    ],
)
def test_an_upload_that_is_refused(site: Site, staged: Path, path: str, reason: Reason) -> None:
    with pytest.raises(AttemptError) as refusal:
        upload_to(f"{site.url}{path}?signature=s3cret", staged)
    assert refusal.value.reason is reason
    assert refusal.value.final is (reason is Reason.OUTPUT_ERROR)
    assert f"HTTP status {path[1:]}" in str(refusal.value)
    assert "s3cret" not in str(refusal.value)
    assert site.stored == {}


def test_an_upload_of_nothing(site: Site, tmp_path: Path) -> None:
    with pytest.raises(AttemptError, match="No such file") as refusal:
        upload(tmp_path / "gone", f"{site.url}/kept", threading.Event(), policy=HERE)
    assert refusal.value.reason is Reason.INTERNAL_ERROR


def test_an_upload_to_nobody(staged: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        with pytest.raises(AttemptError, match="Connection refused") as refusal:
            upload(
                staged,
                f"http://127.0.0.1:{closed.getsockname()[1]}/",
                threading.Event(),
                pauses_seconds=(),
                policy=HERE,
            )
    assert refusal.value.reason is Reason.NETWORK_ERROR


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://me:pw@a.example:8443/b/c.mp4?key=1#x", "https://a.example:8443/b/c.mp4"),
        ("http://[::1/a?key=1", "the URL"),
    ],
)
def test_what_is_shown_of_a_url(url: str, shown: str) -> None:
    assert plain_url(url) == shown


def test_an_upload_that_nobody_wants_any_more(site: Site, staged: Path) -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(AttemptError, match="before its output was sent") as refusal:
        upload(staged, f"{site.url}/out", stop, policy=HERE)
    assert refusal.value.reason is Reason.CANCELED
    assert site.stored == {}


def test_a_stop_does_not_wait_for_a_server_that_stores(site: Site, staged: Path) -> None:
    stop = threading.Event()
    with ThreadPoolExecutor() as pool:
        sent = pool.submit(upload, staged, f"{site.url}/silent", stop, policy=HERE)
        until(lambda: site.stored)
        stop.set()
        with pytest.raises(AttemptError, match="while its output was sent") as refusal:
            sent.result(10)
    assert refusal.value.reason is Reason.CANCELED


def test_a_stop_breaks_what_is_being_sent(staged: Path) -> None:
    """To a server that takes no more than its buffers hold."""
    os.truncate(staged, 1 << 30)
    stop = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor() as pool:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        sent = pool.submit(upload, staged, url, stop, policy=HERE)
        peer, _ = server.accept()
        with peer:
            peer.recv(10)
            stop.set()
            with pytest.raises(AttemptError, match="while its output was sent"):
                sent.result(10)
