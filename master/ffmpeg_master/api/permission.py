"""What a key may do beyond what its role says: whose jobs, and as which worker."""

from __future__ import annotations

from ffmpeg_jobs.model import Role
from ffmpeg_jobs.problems import Forbidden
from ffmpeg_master.api.call import Call, Route
from ffmpeg_master.store import jobs, names


def allow(route: Route, call: Call) -> None:
    """Raises NotFound for a job of another tenant, Forbidden for what is another worker's."""
    if route.role is Role.WORKER:
        _check_worker(call)
    elif "job_id" in call.path and call.sees is not None:
        jobs.check_tenant(call.master.store, call.path["job_id"], call.sees)


def _check_worker(call: Call) -> None:
    needs_certificate = call.master.config.tls_client_ca is not None
    if needs_certificate and not call.certified:
        raise Forbidden(
            "a worker needs a client certificate here (tls_client_ca is set in master.toml): "
            "set client_cert and client_key in worker.toml"
        )
    if call.key is None:
        return
    store, path = call.master.store, call.path
    if "attempt" in path:
        names.check_attempt(store, call.key, path["job_id"], path["attempt"])
        return
    body = call.body if isinstance(call.body, dict) else {}
    name = path.get("name", body.get("worker"))
    if name is not None:
        names.check(store, call.key, name)
