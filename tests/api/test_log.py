"""The log says what happened and to whom, whatever a client sends; each request's own."""

from __future__ import annotations

import socket
from http.client import HTTPResponse

import pytest
import requests

from ffmpeg_jobs.model import Role
from tests.api.conftest import JOB, MACHINE, PATIENCE_SECONDS, Launch, Outside, until

FORGED = "<6>event=job_canceled by=ann"


def ask(connection: socket.socket, path: str, *headers: str) -> int:
    """The status of a GET, as it is written here, on a connection that stays open."""
    lines = [f"GET {path} HTTP/1.1", "Host: m", *headers, "", ""]
    connection.sendall("\r\n".join(lines).encode())
    answer = HTTPResponse(connection)
    answer.begin()
    answer.read()
    return answer.status


def connect(master: Outside) -> socket.socket:
    return socket.create_connection(master.listener.getsockname(), PATIENCE_SECONDS)


@pytest.mark.parametrize("journal", [{}, {"JOURNAL_STREAM": "8:1"}])
def test_nobody_writes_a_line_of_the_log(launch: Launch, journal: dict[str, str]) -> None:
    master = launch(**journal).ready()
    with connect(master) as connection:
        path = f"/jobs/x%0A{FORGED.replace(' ', '%20')}%1B[2J%E2%80%AE"
        assert ask(connection, path) == 401
    client = master.client()
    client.register("ada", MACHINE)
    job_id = client.submit(JOB).id
    held = client.claim("ada", 0)
    assert held is not None
    client.release(job_id, held.attempt, held.token, f"a whim\r\n{FORGED}\x85{FORGED}")
    until(lambda: "event=attempt_given_back" in master.log)
    lines = master.log.splitlines()  # also at what Unicode takes for an end of line
    assert not [line for line in lines if line.startswith(FORGED)]
    assert len([line for line in lines if "job_canceled" in line]) == 2
    assert not set("\x1b\x85\u202e") & set(master.log)
    client.cancel(job_id)


def test_a_refusal_is_not_told_as_the_request_before(launch: Launch) -> None:
    master = launch().ready()
    good = f"Authorization: Bearer {master.secrets[Role.ADMIN]}"
    with connect(master) as connection:
        assert ask(connection, "/jobs", good) == 200
        assert ask(connection, "/jobs", "Authorization: Bearer guess") == 401
    until(lambda: "event=request_refused" in master.log)
    (line,) = (row for row in master.log.splitlines() if "event=request_refused" in row)
    assert "role=" not in line
    assert "tenant=" not in line


def test_a_header_with_an_underscore_is_not_one_of_another_name(launch: Launch) -> None:
    master = launch('trusted_proxies = ["127.0.0.1"]\n').ready()
    key = f"Authorization: Bearer {master.secrets[Role.ADMIN]}"
    with connect(master) as connection:
        for forged in ("X_Forwarded_For: 6.6.6.6", "x_forwarded-for: 6.6.6.6"):
            proxied = "X-Forwarded-For: 192.0.2.7"
            assert ask(connection, "/jobs", "Authorization: Bearer guess", forged, proxied) == 401
            assert ask(connection, "/jobs", "Authorization: Bearer guess", proxied, forged) == 401
        for forged in ("SCRIPT_NAME: /nowhere", "Script_Name: /jobs", "PATH_INFO: /health"):
            assert ask(connection, "/jobs", key, forged) == 200
        assert ask(connection, "/jobs", key.replace("Authorization", "Authorization_")) == 401
    assert "6.6.6.6" not in master.log
    assert master.log.count("address=192.0.2.7") == 4
    assert "Traceback" not in master.log


def test_who_comes_by_ipv4_to_a_socket_of_both_families_has_that_address(
    launch: Launch,
) -> None:
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as both:
        text = 'trusted_proxies = ["127.0.0.1"]\n[tls]\nallow_plain_http = true\n'
        master = launch(text, listener=both).ready()
        url = f"http://127.0.0.1:{both.getsockname()[1]}/jobs"
        headers = {"X-Forwarded-For": "192.0.2.7"}
        assert requests.get(url, headers=headers, timeout=PATIENCE_SECONDS).status_code == 401
        assert requests.get(url, timeout=PATIENCE_SECONDS).status_code == 401
    until(lambda: master.log.count("event=request_refused") == 2)
    assert "address=192.0.2.7" in master.log
    assert "address=127.0.0.1" in master.log
