"""Who may do what, over the whole table of routes."""

from __future__ import annotations

import pytest

from ffmpeg_jobs.model import Role
from ffmpeg_master.api.call import Route
from ffmpeg_master.api.routes import ROUTES
from ffmpeg_master.store import keys
from tests.api.conftest import INSIDE, JOB, Inside, add_key

#: Written out by hand: a slip in the table of routes or of roles must show here.
MAY: dict[tuple[str, str], set[Role | None]] = {
    ("POST", "/jobs"): {Role.SUBMIT, Role.ADMIN},
    ("POST", "/jobs/batch"): {Role.SUBMIT, Role.ADMIN},
    ("GET", "/jobs"): {Role.READ, Role.SUBMIT, Role.ADMIN},
    ("GET", "/jobs/{job_id}"): {Role.READ, Role.SUBMIT, Role.ADMIN},
    ("GET", "/jobs/{job_id}/attempts"): {Role.READ, Role.SUBMIT, Role.ADMIN},
    ("POST", "/jobs/{job_id}/cancel"): {Role.SUBMIT, Role.ADMIN},
    ("POST", "/jobs/{job_id}/retry"): {Role.SUBMIT, Role.ADMIN},
    ("GET", "/jobs/counts"): {Role.READ, Role.SUBMIT, Role.ADMIN},
    ("POST", "/jobs/{job_id}/limits"): {Role.SUBMIT, Role.ADMIN},
    ("POST", "/jobs/{job_id}/pause"): {Role.SUBMIT, Role.ADMIN},
    ("POST", "/jobs/{job_id}/resume"): {Role.SUBMIT, Role.ADMIN},
    ("GET", "/jobs/{job_id}/logs"): {Role.READ, Role.SUBMIT, Role.ADMIN},
    ("GET", "/groups/{group}"): {Role.READ, Role.SUBMIT, Role.ADMIN},
    ("POST", "/groups/{group}/cancel"): {Role.SUBMIT, Role.ADMIN},
    ("GET", "/workers"): {Role.READ, Role.SUBMIT, Role.ADMIN},
    ("PUT", "/workers/{name}"): {Role.WORKER, Role.ADMIN},
    ("POST", "/workers/{name}/heartbeat"): {Role.WORKER, Role.ADMIN},
    ("GET", "/jobs/{job_id}/events"): {Role.READ, Role.SUBMIT, Role.ADMIN},
    ("GET", "/events"): {Role.READ, Role.SUBMIT, Role.ADMIN},
    ("POST", "/workers/{name}/cordon"): {Role.ADMIN},
    ("POST", "/workers/{name}/uncordon"): {Role.ADMIN},
    ("POST", "/workers/{name}/drain"): {Role.ADMIN},
    ("POST", "/workers/{name}/undrain"): {Role.ADMIN},
    ("DELETE", "/workers/{name}"): {Role.ADMIN},
    ("POST", "/claims"): {Role.WORKER, Role.ADMIN},
    ("POST", "/jobs/{job_id}/attempts/{attempt:int}/result"): {Role.WORKER, Role.ADMIN},
    ("POST", "/jobs/{job_id}/attempts/{attempt:int}/release"): {Role.WORKER, Role.ADMIN},
    ("PUT", "/jobs/{job_id}/attempts/{attempt:int}/log"): {Role.WORKER, Role.ADMIN},
    ("GET", "/audit"): {Role.ADMIN},
    ("GET", "/health"): {None, *Role},
    ("GET", "/metrics"): {Role.MONITOR, Role.READ, Role.SUBMIT, Role.ADMIN},
    ("GET", "/tenants"): {Role.ADMIN},
    ("GET", "/tenants/{tenant}"): {Role.ADMIN},
    ("PUT", "/tenants/{tenant}"): {Role.ADMIN},
    ("DELETE", "/tenants/{tenant}"): {Role.ADMIN},
    ("GET", "/openapi.json"): {None, *Role},
    ("GET", "/problems/{kind}"): {None, *Role},
}


def test_the_table_here_is_complete() -> None:
    assert {(route.method, route.path) for route in ROUTES} == set(MAY)


@pytest.mark.parametrize("role", [None, *Role])
@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_roles(inside: Inside, route: Route, role: Role | None) -> None:
    path = (
        route.path.format(
            job_id="abcdefghijkl", name="ada", group="night", tenant="studio", kind="conflict"
        )
        if (":int" not in route.path)
        else route.path.replace("{attempt:int}", "1").format(job_id="abcdefghijkl")
    )
    inside.master.feed.close()  # or a stream of events would not end
    status = inside.call(route.method, path, role).status_code
    refusal = 401 if role is None else 403
    assert (status != refusal) is (role in MAY[route.method, route.path])


def test_a_key_is_rotated_without_a_gap(inside: Inside) -> None:
    def status(secret: str) -> int:
        headers = {"Authorization": f"Bearer {secret}"}
        return inside.session().get(INSIDE + "/jobs", headers=headers).status_code

    old = inside.secrets[Role.READ]
    new = add_key(inside.master, "read-2", Role.READ)
    assert (status(old), status(new)) == (200, 200)
    keys.revoke(inside.master.store, "read")
    inside.master.gate._cache.clear()  # two seconds later
    assert (status(old), status(new)) == (401, 200)


def test_the_log_says_who_did_what(inside: Inside) -> None:
    client = inside.client(Role.SUBMIT)
    job_id = client.submit(JOB | {"output": "https://h/o?sig=abcdef0123"}).id
    client.cancel(job_id)
    inside.call("GET", "/workers", Role.WORKER)
    submitted, canceled, refused = inside.log
    assert (submitted["event"], submitted["job"], submitted["by"]) == (
        "job_submitted",
        job_id,
        "submit",
    )
    assert (canceled["event"], canceled["job"]) == ("job_cancel_requested", job_id)
    assert (refused["event"], refused["status"]) == ("request_refused", 403)
    assert "abcdef0123" not in str(inside.log)
    assert not any(secret in str(inside.log) for secret in inside.secrets.values())
