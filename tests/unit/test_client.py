"""The client against a server that answers as it is told: what is sent, repeated, believed."""

from __future__ import annotations

import json
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import urllib3

from ffmpeg_jobs.client import MasterClient
from ffmpeg_jobs.line import Endpoint
from ffmpeg_jobs.model import State
from ffmpeg_jobs.problems import (
    MasterUnreachable,
    MasterUntrusted,
    NotFound,
    Problem,
    Unavailable,
)

JOB: dict[str, Any] = {
    "id": "aaaaaaaaaaaa",
    "state": "queued",
    "job": {"parameters": {"duration": 5}},
    "created_at": "2026-01-01T00:00:00Z",
    "updated_at": "2026-01-01T00:00:00Z",
}
NEXT = {"Link": '</jobs?cursor=7>; rel="next"'}


@dataclass(frozen=True)
class Said:
    """One answer of the server's; None as body: it hangs up."""

    body: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


class Server(ThreadingHTTPServer):
    """Gives its answers one after the other, the last one for ever."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: list[Said] = [Said(JOB)]
        self.heard: list[tuple[str, str, dict[str, str]]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def client(self, **more: Any) -> MasterClient:
        return MasterClient(replace(Endpoint(self.url, "the-key"), **more))


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.heard.append((self.command, self.path, dict(self.headers)))
        answers = self.server.answers
        said = answers.pop(0) if len(answers) > 1 else answers[0]
        self.close_connection = True
        if said.body is None:
            return
        text = said.body if isinstance(said.body, bytes) else json.dumps(said.body).encode()
        self.send_response(said.status)
        for name, value in {"Content-Length": str(len(text)), **said.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = do_PUT = answer  # noqa: N815 (names of http.server)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@contextmanager
def serving() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as server:
        yield server


@pytest.fixture
def other() -> Iterator[Server]:
    with serving() as server:
        yield server


def test_the_key_is_shown_whatever_netrc_says(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login ann password secret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    server.client().job("aaaaaaaaaaaa")
    assert server.heard[0][2]["Authorization"] == "Bearer the-key"


def test_a_redirect_is_not_followed(server: Server) -> None:
    server.answers = [Said({}, 302, {"Location": f"{server.url}/other"})]
    with pytest.raises(MasterUnreachable, match="sends elsewhere, to http"):
        server.client().workers()
    assert len(server.heard) == 1


def test_a_prefix_stays_in_front(server: Server) -> None:
    server.client(url=f"{server.url}/farm/").job("aaaaaaaaaaaa")
    assert server.heard[0][1] == "/farm/jobs/aaaaaaaaaaaa"


def test_a_name_cannot_leave_its_place(server: Server) -> None:
    server.client().job("../workers?x")
    assert server.heard[0][1] == "/jobs/..%2Fworkers%3Fx"


@pytest.mark.parametrize(
    "body", [b"<html>Welcome to the hotel</html>", {"id": 1}, {**JOB, "state": "odd"}, [1], "x"]
)
def test_whoever_is_no_master_is_named(server: Server, body: Any) -> None:
    server.answers = [Said(body)]
    with pytest.raises(MasterUnreachable, match="is no ffmpeg-master of this release"):
        server.client().job("aaaaaaaaaaaa")


@pytest.mark.parametrize("body", [{}, "x", [1], [[]]])
def test_a_list_is_one(server: Server, body: Any) -> None:
    server.answers = [Said(body)]
    with pytest.raises(MasterUnreachable, match="is no ffmpeg-master of this release"):
        list(server.client().jobs())


def test_pages_are_followed_up_to_the_limit(server: Server) -> None:
    server.answers = [Said([JOB, JOB], headers=NEXT), Said([JOB, JOB], headers=NEXT)]
    assert len(list(server.client().jobs(3, state="queued"))) == 3
    paths = [path for _, path, _ in server.heard]
    assert paths == ["/jobs?limit=3&state=queued", "/jobs?cursor=7"]


def test_pages_end_where_the_master_says(server: Server) -> None:
    server.answers = [Said([JOB], headers=NEXT), Said([JOB])]
    assert len(list(server.client().jobs())) == 2


def test_the_key_goes_to_no_other_host(server: Server) -> None:
    elsewhere = {"Link": '<http://localhost:1/jobs>; rel="next"'}
    server.answers = [Said([JOB], headers=elsewhere)]
    with pytest.raises(MasterUnreachable):
        list(server.client().jobs())


def test_a_submission_is_sent_again_as_the_same(server: Server) -> None:
    server.answers = [Said(), Said(JOB, 201)]
    assert server.client().submit({}).state is State.QUEUED
    keys = [headers["Idempotency-Key"] for _, _, headers in server.heard]
    assert len(keys) == 2
    assert keys[0] == keys[1]


def test_two_submissions_are_two(server: Server) -> None:
    client = server.client()
    client.submit({})
    client.submit({})
    assert len({headers["Idempotency-Key"] for _, _, headers in server.heard}) == 2


def test_a_claim_is_sent_once(server: Server) -> None:
    server.answers = [Said()]
    with pytest.raises(MasterUnreachable):
        server.client().claim("w", 0)
    assert len(server.heard) == 1


def test_a_retry_is_sent_once(server: Server, other: Server) -> None:
    """It may have been heard, and the job have failed again since."""
    server.answers = [Said(None)]
    client = MasterClient(Endpoint(f"{server.url},{other.url}", "the-key"))
    with pytest.raises(MasterUnreachable):
        client.retry("aaaaaaaaaaaa")
    with pytest.raises(MasterUnreachable):
        server.client().retry("aaaaaaaaaaaa")
    assert [path for _, path, _ in server.heard] == ["/jobs/aaaaaaaaaaaa/retry"] * 2
    assert other.heard == []


def test_no_work_is_none(server: Server) -> None:
    server.answers = [Said(b"", 204)]
    assert server.client().claim("w", 0) is None


def test_what_lasts_too_long_is_told(server: Server) -> None:
    # A server that asks for an hour's patience is not given it.
    problem = {"type": "urn:ffmpeg-worker:problem:unavailable", "detail": "soon"}
    server.answers = [Said(problem, 503, {"Retry-After": "3600"})]
    with pytest.raises(Unavailable, match="soon"):
        server.client().job("aaaaaaaaaaaa")
    assert len(server.heard) == 4


def test_a_problem_is_raised_as_itself(server: Server) -> None:
    server.answers = [Said({"type": "urn:ffmpeg-worker:problem:not-found", "detail": "no"}, 404)]
    with pytest.raises(NotFound, match="no"):
        server.client().job("aaaaaaaaaaaa")


def test_the_environment_names_a_proxy(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", server.url)
    server.client(url="http://master.example").job("aaaaaaaaaaaa")
    assert server.heard[0][:2] == ("GET", "http://master.example/jobs/aaaaaaaaaaaa")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server.client().job("aaaaaaaaaaaa")
    assert server.heard[1][:2] == ("GET", "/jobs/aaaaaaaaaaaa")


def test_a_proxys_page_is_a_problem_too(server: Server) -> None:
    server.answers = [Said(b"<html>", 418)]
    with pytest.raises(Problem, match="418"):
        server.client().job("aaaaaaaaaaaa")


def test_a_log_is_utf_8_whatever_is_in_it(server: Server) -> None:
    server.answers = [Said("ä".encode() + b"\xff")]
    assert server.client().log("aaaaaaaaaaaa", 2) == "ä�"
    assert server.heard[0][1].endswith("?attempt=2")


def test_nobody_there_is_said_in_the_words_of_the_system() -> None:
    url = nobody()
    with pytest.raises(MasterUnreachable, match=f"^no answer from the master at {url}: Connec"):
        MasterClient(Endpoint(url, "k")).workers()


def test_a_master_that_hangs_up_is_said_to(server: Server) -> None:
    server.answers = [Said(None)]
    with pytest.raises(MasterUnreachable, match=f"{server.url}: Remote end closed connection"):
        server.client().workers()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl")
    pem = tmp_path_factory.mktemp("tls") / "both.pem"
    make = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj"
    name = ["/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", str(pem), "-out", str(pem.with_suffix(".crt"))]
    subprocess.run([*make.split(), *name, *files], check=True, capture_output=True)
    with pem.open("a") as both:
        both.write(pem.with_suffix(".crt").read_text())
    return pem


@pytest.fixture
def secure(server: Server, certificate: Path) -> str:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    return server.url.replace("http:", "https:")


def test_a_certificate_that_nobody_signed_is_not_trusted(server: Server, secure: str) -> None:
    with pytest.raises(MasterUntrusted, match=r"self.signed certificate"):
        server.client(url=secure).job("aaaaaaaaaaaa")
    assert server.heard == []


def test_the_given_authority_counts_whatever_the_environment_says(
    server: Server, secure: str, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/etc/ssl/certs/ca-certificates.crt")
    server.client(url=secure, ca=str(certificate.with_suffix(".crt"))).job("aaaaaaaaaaaa")


def test_verification_can_be_given_up(
    server: Server, secure: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/etc/ssl/certs/ca-certificates.crt")
    with pytest.warns(urllib3.exceptions.InsecureRequestWarning):
        server.client(url=secure, insecure_skip_verify=True).job("aaaaaaaaaaaa")


def nobody() -> str:
    """A URL where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return f"http://127.0.0.1:{free.getsockname()[1]}"


def test_the_next_master_is_asked_and_kept_when_the_first_is_gone(server: Server) -> None:
    client = server.client(url=f"{nobody()},{server.url}")
    server.answers = [Said({}, 204), Said(JOB)]
    assert client.claim("ada", 0) is None  # it never reached the first, so it may go elsewhere
    assert client.submit({}).state is State.QUEUED


def test_a_master_that_cannot_now_is_passed_over(server: Server, other: Server) -> None:
    server.answers = [Said({"detail": "about to stop"}, 503)]
    client = server.client(url=f"{server.url},{other.url}")
    client.job("aaaaaaaaaaaa")
    asked = len(server.heard)
    client.job("aaaaaaaaaaaa")
    assert (len(server.heard), len(other.heard)) == (asked, 2)


def test_a_refusal_counts_whichever_master_says_it(server: Server, other: Server) -> None:
    server.answers = [Said({"detail": "no such job"}, 404)]
    with pytest.raises(NotFound):
        server.client(url=f"{server.url},{other.url}").job("aaaaaaaaaaaa")
    assert other.heard == []


def test_a_claim_whose_answer_was_lost_is_not_made_elsewhere(server: Server, other: Server) -> None:
    server.answers = [Said(None)]
    client = server.client(url=f"{server.url},{other.url}")
    with pytest.raises(MasterUnreachable, match="closed connection"):
        client.claim("ada", 0)
    assert (len(server.heard), other.heard) == (1, [])
    other.answers = [Said({}, 204)]
    assert client.claim("ada", 0) is None  # the next one is
    assert len(server.heard) == 1


def test_when_no_master_answers_all_are_named() -> None:
    first, second = nobody(), nobody()
    with pytest.raises(MasterUnreachable) as raised:
        MasterClient(Endpoint(f"{first},{second}", "k")).workers()
    assert first in str(raised.value) and second in str(raised.value)
