"""What every good web service does: HEAD, OPTIONS, tags, compression."""

from __future__ import annotations

import gzip
import http.client
import re
from urllib.parse import urlsplit

import pytest

from ffmpeg_jobs.model import Role
from ffmpeg_master.api.routes import ROUTES
from tests.api.conftest import JOB, Inside, Launch


def test_head_is_get_without_the_body(launch: Launch) -> None:
    master = launch().ready()
    job_id = master.client().submit(JOB).id
    connection = http.client.HTTPConnection(urlsplit(master.url).netloc, timeout=30)
    headers = {"Authorization": f"Bearer {master.secrets[Role.READ]}"}
    seen = []
    for method in ("GET", "HEAD", "GET"):
        connection.request(method, f"/jobs/{job_id}", headers=headers)
        answer = connection.getresponse()
        seen.append((answer.status, answer.getheader("Content-Length"), answer.read()))
    assert seen[0] == seen[2]
    assert seen[1] == (200, seen[0][1], b"")
    connection.request("HEAD", "/jobs/aaaaaaaaaaaa", headers=headers)
    assert connection.getresponse().status == 404
    connection.close()


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/jobs", "GET, HEAD, OPTIONS, POST"),
        ("/claims", "OPTIONS, POST"),
        ("/events", "GET, OPTIONS"),
        ("/workers/ada", "DELETE, OPTIONS, PUT"),
    ],
)
def test_options_tell_the_methods(inside: Inside, path: str, allowed: str) -> None:
    answer = inside.call("OPTIONS", path, role=None)
    assert (answer.status_code, answer.headers["Allow"], answer.content) == (204, allowed, b"")
    refused = inside.call("TRACE", path)
    assert (refused.status_code, refused.headers["Allow"]) == (405, allowed)


def test_every_path_has_options(inside: Inside) -> None:
    for template in {route.path for route in ROUTES}:
        path = re.sub("{.*?}", "1", template)
        assert inside.call("OPTIONS", path, role=None).status_code == 204, path


@pytest.mark.parametrize(
    "accepted", ["", "application/json", "text/html, application/*;q=0.1", "text/html, */*; q=0.5"]
)
def test_who_takes_json_among_others_gets_it(inside: Inside, accepted: str) -> None:
    assert inside.call("GET", "/jobs", headers={"Accept": accepted}).status_code == 200


def test_what_the_client_has_is_not_sent_again(inside: Inside) -> None:
    job_id = inside.client().submit(JOB).id
    first = inside.call("GET", f"/jobs/{job_id}")
    tag = first.headers["ETag"]
    for known in (tag, f'"other", {tag}', "*", tag.removeprefix("W/")):
        again = inside.call("GET", f"/jobs/{job_id}", headers={"If-None-Match": known})
        assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", tag)
    inside.client().cancel(job_id)
    changed = inside.call("GET", f"/jobs/{job_id}", headers={"If-None-Match": tag})
    assert changed.status_code == 200
    assert changed.headers["ETag"] != tag


def test_what_is_long_is_compressed_for_who_takes_it(launch: Launch) -> None:
    master = launch().ready()
    connection = http.client.HTTPConnection(urlsplit(master.url).netloc, timeout=30)
    found = {}
    for accepted in ("gzip", "br, *", "identity", "gzip;q=0, *", "gzip; q=0.5"):
        connection.request("GET", "/openapi.json", headers={"Accept-Encoding": accepted})
        answer = connection.getresponse()
        assert answer.getheader("Vary") == "Accept-Encoding"
        body, coding = answer.read(), answer.getheader("Content-Encoding")
        found[accepted] = gzip.decompress(body) if coding == "gzip" else body
        assert (coding == "gzip") is (accepted not in ("identity", "gzip;q=0, *")), accepted
    assert len(set(found.values())) == 1
    tag = answer.headers["ETag"]
    connection.request("GET", "/openapi.json", headers={"If-None-Match": tag})
    unchanged = connection.getresponse()
    unchanged.read()
    assert (unchanged.status, unchanged.getheader("Vary")) == (304, "Accept-Encoding")
    connection.request("GET", "/health", headers={"Accept-Encoding": "gzip"})
    assert connection.getresponse().getheader("Content-Encoding") is None
    connection.close()
