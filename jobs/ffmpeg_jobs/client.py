"""The client of the master's API: keys, TLS, retries, idempotency. Used by CLI and worker."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import requests
from requests.adapters import HTTPAdapter
from urllib3.util.retry import Retry

from ffmpeg_jobs import __version__
from ffmpeg_jobs.model import (
    Claim,
    Heartbeat,
    HeartbeatAnswer,
    JobStatus,
    Machine,
    Outcome,
    WorkerStatus,
)
from ffmpeg_jobs.problems import MasterUnreachable
from ffmpeg_jobs.problems import from_json as problem_from_json
from ffmpeg_jobs.schema import from_json, to_json

CONNECT_TIMEOUT_SECONDS: Final = 10.0
READ_TIMEOUT_SECONDS: Final = 30.0
TOKEN_HEADER: Final = "Attempt-Token"


@dataclass(frozen=True)
class Endpoint:
    """Where the master is and how to show oneself to it."""

    url: str
    key: str
    ca: str | None = None  #: path of a PEM bundle; None: the system's
    insecure_skip_verify: bool = False


class MasterClient:
    """The master, as functions. Each raises a Problem that was refused, or MasterUnreachable.

    Not shared between threads that call at the same time, except where requests allows it
    (its connection pool is thread-safe; we change no state after construction).
    """

    def __init__(self, endpoint: Endpoint, session: requests.Session | None = None) -> None:
        """``session`` replaces the transport, e.g. by one that calls a WSGI application."""
        self._url = endpoint.url.rstrip("/")
        self._session = session or _session()
        self._session.headers["Authorization"] = f"Bearer {endpoint.key}"
        self._session.headers["User-Agent"] = f"ffmpeg-jobs/{__version__}"
        self._session.verify = (not endpoint.insecure_skip_verify) and (endpoint.ca or True)

    def submit(self, job: Mapping[str, Any], idempotency_key: str | None = None) -> JobStatus:
        """Submit a job as a person writes it; a repeat with the same key is the same job."""
        key = idempotency_key or secrets.token_urlsafe(18)
        answer = self._call("POST", "/jobs", json=job, headers={"Idempotency-Key": key})
        return from_json(JobStatus, answer.json())

    def job(self, job_id: str) -> JobStatus:
        """One job."""
        return from_json(JobStatus, self._call("GET", f"/jobs/{job_id}").json())

    def jobs(self, limit: int | None = None, **filters: str) -> Iterator[JobStatus]:
        """Jobs, newest first, over all pages; ``limit`` is how many at most."""
        params: dict[str, Any] = dict(filters) | {"limit": min(limit or 100, 100)}
        path: str | None = "/jobs"
        left = limit
        while path:
            answer = self._call("GET", path, params=params)
            for row in answer.json():
                if left is not None and left <= 0:
                    return
                left = None if left is None else left - 1
                yield from_json(JobStatus, row)
            path = answer.links.get("next", {}).get("url")
            params = {}

    def cancel(self, job_id: str) -> JobStatus:
        """Ask for a job's end."""
        return from_json(JobStatus, self._call("POST", f"/jobs/{job_id}/cancel").json())

    def log(self, job_id: str, attempt: int | None = None) -> str:
        """ffmpeg's log of the last attempt, or of the given one."""
        params = {} if attempt is None else {"attempt": attempt}
        return self._call("GET", f"/jobs/{job_id}/logs", params=params).text

    def workers(self) -> list[WorkerStatus]:
        """All workers that ever registered and were not removed."""
        return [from_json(WorkerStatus, row) for row in self._call("GET", "/workers").json()]

    def health(self) -> dict[str, Any]:
        """The master's health."""
        answer: dict[str, Any] = self._call("GET", "/health").json()
        return answer

    def register(self, name: str, machine: Machine) -> HeartbeatAnswer:
        """Tell the master of this worker; the answer says how often to send heartbeats."""
        answer = self._call("PUT", f"/workers/{name}", json=to_json(machine))
        return from_json(HeartbeatAnswer, answer.json())

    def claim(self, worker: str, wait_seconds: float) -> Claim | None:
        """Wait for a job, at most ``wait_seconds``; None: there was none."""
        body = {"worker": worker, "wait_seconds": wait_seconds}
        timeout = READ_TIMEOUT_SECONDS + wait_seconds
        answer = self._call("POST", "/claims", json=body, read_timeout=timeout)
        return from_json(Claim, answer.json()) if answer.status_code == 200 else None

    def heartbeat(self, worker: str, heartbeat: Heartbeat) -> HeartbeatAnswer:
        """Extend the leases of what runs and hear what to do."""
        answer = self._call("POST", f"/workers/{worker}/heartbeat", json=to_json(heartbeat))
        return from_json(HeartbeatAnswer, answer.json())

    def finish(self, job_id: str, attempt: int, token: str, outcome: Outcome) -> None:
        """Report how an attempt ended. A repeat changes nothing. Raises StaleAttempt."""
        body = {"token": token, "outcome": to_json(outcome)}
        self._call("POST", f"/jobs/{job_id}/attempts/{attempt}/result", json=body)

    def put_log(self, job_id: str, attempt: int, token: str, log: bytes) -> None:
        """Store ffmpeg's log of an attempt (at most contract.LOG_MAX_BYTES). Raises StaleAttempt."""
        headers = {TOKEN_HEADER: token, "Content-Type": "text/plain; charset=utf-8"}
        self._call("PUT", f"/jobs/{job_id}/attempts/{attempt}/log", data=log, headers=headers)

    def _call(
        self, method: str, path: str, *, read_timeout: float = READ_TIMEOUT_SECONDS, **more: Any
    ) -> requests.Response:
        url = path if path.startswith("http") else self._url + path
        try:
            answer = self._session.request(
                method, url, timeout=(CONNECT_TIMEOUT_SECONDS, read_timeout), **more
            )
        except requests.RequestException as error:
            raise MasterUnreachable(f"no answer from the master at {self._url}: {error}") from error
        if answer.ok:
            return answer
        raise problem_from_json(answer.status_code, _problem_body(answer))


def _problem_body(answer: requests.Response) -> dict[str, Any]:
    """The problem in an answer; a proxy's own error page has none."""
    try:
        body = answer.json()
    except requests.JSONDecodeError:
        body = None
    if isinstance(body, dict):
        return body
    return {"detail": f"{answer.status_code} {answer.reason} from {answer.url}"}


def _session() -> requests.Session:
    # Only what is safe to send twice is retried: every POST of ours is, because submit has
    # its Idempotency-Key and all else is fenced by attempt and token; claims are not.
    retry = Retry(
        total=3,
        connect=3,
        read=2,
        status=3,
        backoff_factor=0.3,
        status_forcelist=(502, 503, 504),
        allowed_methods=("GET", "PUT"),
        raise_on_status=False,
    )
    session = requests.Session()
    session.mount("https://", HTTPAdapter(max_retries=retry))
    session.mount("http://", HTTPAdapter(max_retries=retry))
    return session
