"""What a key may do beyond what its role says: whose jobs, and as which worker."""

from __future__ import annotations

from ffmpeg_jobs.model import Role
from ffmpeg_jobs.problems import Forbidden
from ffmpeg_master.api.call import Call, Route
from ffmpeg_master.store import jobs


def allow(route: Route, call: Call) -> None:
    """Raises NotFound for a job of another tenant, Forbidden for another worker's name."""
    if route.role is Role.WORKER:
        _check_worker(call)  # a job is its worker's by the attempt's token, whoever submitted it
    elif "job_id" in call.path and call.sees is not None:
        jobs.check_tenant(call.master.store, call.path["job_id"], call.sees)


def _check_worker(call: Call) -> None:
    needs_certificate = call.master.config.tls_client_ca is not None
    if needs_certificate and not call.certified:
        raise Forbidden(
            "a worker needs a client certificate here (tls_client_ca is set in master.toml): "
            "set client_cert and client_key in worker.toml"
        )
    bound = call.key.grant.worker if call.key else None
    body = call.body if isinstance(call.body, dict) else {}
    name = call.path.get("name", body.get("worker"))
    if bound is not None and name not in (None, bound):
        raise Forbidden(f"the key {call.by} is the worker {bound}'s; it cannot act as {name}")
