"""The client of the master's API, as CLI and worker use it."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

import requests

from ffmpeg_jobs import sse
from ffmpeg_jobs.line import READ_TIMEOUT_SECONDS, Endpoint, Line
from ffmpeg_jobs.model import (
    AttemptStatus,
    AuditEntry,
    Claim,
    Claimed,
    Group,
    Heartbeat,
    HeartbeatAnswer,
    JobStatus,
    Machine,
    Outcome,
    Result,
    TenantLimits,
    TenantStatus,
    WorkerStatus,
)
from ffmpeg_jobs.problems import MasterUnreachable
from ffmpeg_jobs.wire import Noun, from_json, to_json

SILENCE_SECONDS: Final = 40.0  #: the master says something every 15 s
PAGE_LENGTH: Final = 100  #: jobs asked for at once
TOKEN_HEADER: Final = "Attempt-Token"  # noqa: S105 (the name of a header, no secret)


class MasterClient:
    """The master, as functions. Each raises a Problem that was refused, or MasterUnreachable.

    May be shared between threads that call at the same time.
    """

    def __init__(self, endpoint: Endpoint, session: requests.Session | None = None) -> None:
        """``session`` replaces the transport, e.g. by one that calls a WSGI application."""
        self._line = Line(endpoint, session)

    def submit(self, job: Mapping[str, Any], idempotency_key: str | None = None) -> JobStatus:
        """Submit a job as a person writes it; a repeat with the same key is the same job."""
        key = idempotency_key or secrets.token_urlsafe(18)
        answer = self._call("POST", "/jobs", json=job, headers={"Idempotency-Key": key})
        return self._noun(JobStatus, answer)

    def submit_batch(
        self, jobs: Sequence[Mapping[str, Any]], idempotency_key: str | None = None
    ) -> list[JobStatus]:
        """Submit up to contract.BATCH_MAX_JOBS jobs, all or none; they come back in that order."""
        headers = {"Idempotency-Key": idempotency_key or secrets.token_urlsafe(18)}
        answer = self._call("POST", "/jobs/batch", json={"jobs": list(jobs)}, headers=headers)
        return self._nouns(JobStatus, answer)

    def job(self, job_id: str) -> JobStatus:
        """One job."""
        return self._noun(JobStatus, self._call("GET", f"/jobs/{_quote(job_id)}"))

    def jobs(self, limit: int | None = None, **filters: str) -> Iterator[JobStatus]:
        """Jobs, newest first, over all pages; ``limit`` is how many at most.

        ``filters`` are those of ``GET /jobs``: state, queue, worker, label ("title=42").
        """
        return self._pages(JobStatus, "/jobs", limit, filters)

    def audit(self, limit: int | None = None, **filters: str) -> Iterator[AuditEntry]:
        """Who did what, newest first, over all pages; ``limit`` is how many at most.

        ``filters`` are those of ``GET /audit``: job, worker, key, who, action, since, until.
        """
        return self._pages(AuditEntry, "/audit", limit, filters)

    def _pages(
        self, cls: type[Noun], path: str, limit: int | None, filters: Mapping[str, str]
    ) -> Iterator[Noun]:
        left = limit
        params: dict[str, Any] = {"limit": min(limit or PAGE_LENGTH, PAGE_LENGTH), **filters}
        while path and left != 0:
            answer = self._call("GET", path, params=params)
            page = self._nouns(cls, answer)[:left]
            yield from page
            left = None if left is None else left - len(page)
            # A place on this same master: the key goes nowhere else, and a proxy's
            # prefix stays in front.
            path, params = answer.links.get("next", {}).get("url", ""), {}

    def cancel(self, job_id: str) -> JobStatus:
        """Ask for a job's end."""
        return self._noun(JobStatus, self._call("POST", f"/jobs/{_quote(job_id)}/cancel"))

    def group(self, name: str) -> Group:
        """The jobs of a group together."""
        return self._noun(Group, self._call("GET", f"/groups/{_quote(name)}"))

    def cancel_group(self, name: str) -> Group:
        """Ask for the end of all jobs of a group."""
        return self._noun(Group, self._call("POST", f"/groups/{_quote(name)}/cancel"))

    def retry(self, job_id: str) -> JobStatus:
        """Have a failed or canceled job queued again."""
        return self._noun(JobStatus, self._call("POST", f"/jobs/{_quote(job_id)}/retry"))

    def set_limits(self, job_id: str, limits: Mapping[str, int]) -> JobStatus:
        """Change limits of a job, by the names of ``contract.NEW_LIMITS``; the rest stays."""
        path = f"/jobs/{_quote(job_id)}/limits"
        return self._noun(JobStatus, self._call("POST", path, json=dict(limits)))

    def pause(self, job_id: str) -> JobStatus:
        """Ask that a running job stands still."""
        return self._noun(JobStatus, self._call("POST", f"/jobs/{_quote(job_id)}/pause"))

    def resume(self, job_id: str) -> JobStatus:
        """Ask that a paused job goes on."""
        return self._noun(JobStatus, self._call("POST", f"/jobs/{_quote(job_id)}/resume"))

    def changes(self, job_id: str, after: str | None = None) -> Iterator[tuple[str, JobStatus]]:
        """How a job stands, then each change as it happens, with its id, until the job's end.

        ``after``: the id of the change that was told last. The stream ends also when the master
        stops, and from time to time. Raises MasterUnreachable when it breaks off.
        """
        for at, job in self._told(f"/jobs/{_quote(job_id)}/events", after):
            if job is not None:
                yield at, job

    def all_changes(self, after: str | None = None) -> Iterator[tuple[str, JobStatus | None]]:
        """Each change of any job as it happens, with the id from which to go on after it; None:
        only the id.

        ``after``: the id that came last. Ends as ``changes`` of a job does, but with no job.
        """
        return self._told("/events", after)

    def _told(self, path: str, after: str | None) -> Iterator[tuple[str, JobStatus | None]]:
        headers = {} if after is None else {"Last-Event-ID": after}
        more = {"headers": headers, "stream": True, "read_timeout": SILENCE_SECONDS}
        with self._call("GET", path, **more) as answer:
            try:
                for event in sse.events(answer.iter_content(None)):
                    told = None if event.data is None else json.loads(event.data)
                    yield event.id, None if told is None else self._build(JobStatus, told)
            except (requests.RequestException, json.JSONDecodeError) as error:
                words = f"the master at {self._line.url} broke off"
                raise MasterUnreachable(words) from error

    def attempts(self, job_id: str) -> list[AttemptStatus]:
        """Every attempt at a job, the first one first."""
        return self._nouns(AttemptStatus, self._call("GET", f"/jobs/{_quote(job_id)}/attempts"))

    def log(self, job_id: str, attempt: int | None = None) -> str:
        """ffmpeg's log of the last attempt, or of the given one."""
        params = {} if attempt is None else {"attempt": attempt}
        answer = self._call("GET", f"/jobs/{_quote(job_id)}/logs", params=params)
        log: str = answer.content.decode("utf-8", "replace")
        return log

    def workers(self) -> list[WorkerStatus]:
        """All workers that ever registered and were not removed."""
        return self._nouns(WorkerStatus, self._call("GET", "/workers"))

    def ask_worker(self, name: str, verb: str) -> None:
        """Have a worker cordoned, uncordoned or undrained: ``verb`` is the last of the path."""
        self._call("POST", f"/workers/{_quote(name)}/{verb}")

    def drain(self, name: str, timeout_seconds: int | None = None) -> None:
        """Have a worker take no new jobs, and give back what runs after ``timeout_seconds``."""
        body = {} if timeout_seconds is None else {"timeout_seconds": timeout_seconds}
        self._call("POST", f"/workers/{_quote(name)}/drain", json=body)

    def remove_worker(self, name: str) -> None:
        """Forget a worker that is gone."""
        self._call("DELETE", f"/workers/{_quote(name)}")

    def tenants(self) -> list[TenantStatus]:
        """Every tenant: what it may have, and what it has."""
        return self._nouns(TenantStatus, self._call("GET", "/tenants"))

    def tenant(self, name: str) -> TenantStatus:
        """One tenant."""
        return self._noun(TenantStatus, self._call("GET", f"/tenants/{_quote(name)}"))

    def set_tenant(self, name: str, limits: TenantLimits) -> TenantStatus:
        """Have these be all limits of a tenant."""
        path = f"/tenants/{_quote(name)}"
        return self._noun(TenantStatus, self._call("PUT", path, json=to_json(limits)))

    def remove_tenant(self, name: str) -> None:
        """Take all limits of a tenant away."""
        self._call("DELETE", f"/tenants/{_quote(name)}")

    def health(self) -> dict[str, Any]:
        """The master's health."""
        return dict(self._json(self._call("GET", "/health")))

    def register(self, name: str, machine: Machine) -> HeartbeatAnswer:
        """Tell the master of this worker; the answer says how often to send heartbeats."""
        answer = self._call("PUT", f"/workers/{_quote(name)}", json=to_json(machine))
        return self._noun(HeartbeatAnswer, answer)

    def claim(self, worker: str, wait_seconds: float, serial: int | None = None) -> Claim | None:
        """Wait for one job, at most ``wait_seconds``; None: there was none."""
        return next(iter(self.claims(worker, wait_seconds, serial).claims), None)

    def claims(
        self,
        worker: str,
        wait_seconds: float,
        serial: int | None = None,
        *,
        most: int = 1,
        results: Sequence[Result] = (),
        places: int | None = None,
        leaving: Sequence[tuple[str, int]] = (),
    ) -> Claimed:
        """Tell how attempts ended and take up to ``most`` jobs; without results, wait for one, at
        most ``wait_seconds``. ``serial``: larger than of any claim before. ``places``: jobs that
        may begin there; None: the master counts. ``leaving``: attempts that run no more."""
        asked: dict[str, Any] = {"worker": worker, "wait_seconds": wait_seconds, "most": most}
        if serial is not None:
            asked["serial"] = serial
        if places is not None:
            asked["places"] = places
        if leaving:
            asked["leaving"] = [{"job_id": job_id, "attempt": n} for job_id, n in leaving]
        if results:
            asked["results"] = to_json(results)
        timeout = READ_TIMEOUT_SECONDS + wait_seconds
        answer = self._call("POST", "/claims", json=asked, read_timeout=timeout)
        return self._noun(Claimed, answer) if answer.status_code == 200 else Claimed((), ())

    def heartbeat(self, worker: str, heartbeat: Heartbeat) -> HeartbeatAnswer:
        """Extend the leases of what runs and hear what to do."""
        path = f"/workers/{_quote(worker)}/heartbeat"
        return self._noun(HeartbeatAnswer, self._call("POST", path, json=to_json(heartbeat)))

    def finish(
        self, job_id: str, attempt: int, token: str, outcome: Outcome, log: str | None = None
    ) -> None:
        """Report how an attempt ended. A repeat changes nothing. Raises StaleAttempt."""
        body = {"token": token, "outcome": to_json(outcome)} | ({} if log is None else {"log": log})
        self._call("POST", f"/jobs/{job_id}/attempts/{attempt}/result", json=body)

    def release(self, job_id: str, attempt: int, token: str, why: str) -> None:
        """Give an attempt back that was not made. A repeat changes nothing. Raises StaleAttempt."""
        body = {"token": token, "why": why}
        self._call("POST", f"/jobs/{job_id}/attempts/{attempt}/release", json=body)

    def put_log(
        self, job_id: str, attempt: int, token: str, log: bytes, *, publishing: bool = False
    ) -> None:
        """Store ffmpeg's log of an attempt, at most bounds.LOG_MAX_BYTES; ``publishing``: it is
        about to put its output in its place. Raises StaleAttempt."""
        headers = {TOKEN_HEADER: token, "Content-Type": "text/plain; charset=utf-8"}
        path, params = f"/jobs/{job_id}/attempts/{attempt}/log", {"publishing": "true"}
        more = {"params": params} if publishing else {}
        self._call("PUT", path, data=log, headers=headers, **more)

    def close(self) -> None:
        """Hang up."""
        self._line.close()

    def _call(self, method: str, path: str, **more: Any) -> requests.Response:
        return self._line.call(method, path, **more)

    def _json(self, answer: requests.Response) -> Any:
        try:
            return answer.json()
        except requests.JSONDecodeError:
            raise self._stranger("an answer that is not JSON") from None

    def _noun(self, cls: type[Noun], answer: requests.Response) -> Noun:
        return self._build(cls, self._json(answer))

    def _nouns(self, cls: type[Noun], answer: requests.Response) -> list[Noun]:
        rows = self._json(answer)
        if not isinstance(rows, list):
            raise self._stranger("an answer that is not a list")
        return [self._build(cls, row) for row in rows]

    def _build(self, cls: type[Noun], data: Any) -> Noun:
        try:
            return from_json(cls, data)
        except (AttributeError, TypeError, ValueError) as error:
            raise self._stranger(f"an answer that is no {cls.__name__} ({error})") from None

    def _stranger(self, what: str) -> MasterUnreachable:
        return MasterUnreachable(f"{self._line.url} is no ffmpeg-master of this release: {what}")


def _quote(segment: str) -> str:
    return quote(segment, safe="")
