"""The client of the master's API: keys, TLS, retries, idempotency. Used by CLI and worker."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

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
from ffmpeg_jobs.problems import MasterUnreachable, MasterUntrusted
from ffmpeg_jobs.problems import from_json as problem_from_json
from ffmpeg_jobs.wire import Noun, from_json, to_json

CONNECT_TIMEOUT_SECONDS: Final = 5.0  #: two repeats of a lost SYN (RFC 6298: after 1 and 3 s)
READ_TIMEOUT_SECONDS: Final = 30.0
PAGE_LENGTH: Final = 100  #: jobs asked for at once
TOKEN_HEADER: Final = "Attempt-Token"  # noqa: S105 (the name of a header, no secret)


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
        self._session = session or _session(self._url)
        self._session.headers["User-Agent"] = f"ffmpeg-jobs/{__version__}"
        # Given with each request, because the environment (REQUESTS_CA_BUNDLE, ~/.netrc)
        # goes before what a session holds.
        self._verify = (not endpoint.insecure_skip_verify) and (endpoint.ca or True)
        self._auth = _bearer(endpoint.key)

    def submit(self, job: Mapping[str, Any], idempotency_key: str | None = None) -> JobStatus:
        """Submit a job as a person writes it; a repeat with the same key is the same job."""
        key = idempotency_key or secrets.token_urlsafe(18)
        answer = self._call("POST", "/jobs", json=job, headers={"Idempotency-Key": key})
        return self._noun(JobStatus, answer)

    def job(self, job_id: str) -> JobStatus:
        """One job."""
        return self._noun(JobStatus, self._call("GET", f"/jobs/{_quote(job_id)}"))

    def jobs(self, limit: int | None = None, **filters: str) -> Iterator[JobStatus]:
        """Jobs, newest first, over all pages; ``limit`` is how many at most.

        ``filters`` are those of ``GET /jobs``: state, queue, worker, label ("title=42").
        """
        left = limit
        params: dict[str, Any] = {"limit": min(limit or PAGE_LENGTH, PAGE_LENGTH), **filters}
        path = "/jobs"
        while path and left != 0:
            answer = self._call("GET", path, params=params)
            page = self._nouns(JobStatus, answer)[:left]
            yield from page
            left = None if left is None else left - len(page)
            # A place on this same master: the key goes nowhere else, and a proxy's
            # prefix stays in front.
            path, params = answer.links.get("next", {}).get("url", ""), {}

    def cancel(self, job_id: str) -> JobStatus:
        """Ask for a job's end."""
        return self._noun(JobStatus, self._call("POST", f"/jobs/{_quote(job_id)}/cancel"))

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

    def log(self, job_id: str, attempt: int | None = None) -> str:
        """ffmpeg's log of the last attempt, or of the given one."""
        params = {} if attempt is None else {"attempt": attempt}
        answer = self._call("GET", f"/jobs/{_quote(job_id)}/logs", params=params)
        log: str = answer.content.decode("utf-8", "replace")
        return log

    def workers(self) -> list[WorkerStatus]:
        """All workers that ever registered and were not removed."""
        return self._nouns(WorkerStatus, self._call("GET", "/workers"))

    def health(self) -> dict[str, Any]:
        """The master's health."""
        return dict(self._json(self._call("GET", "/health")))

    def register(self, name: str, machine: Machine) -> HeartbeatAnswer:
        """Tell the master of this worker; the answer says how often to send heartbeats."""
        answer = self._call("PUT", f"/workers/{_quote(name)}", json=to_json(machine))
        return self._noun(HeartbeatAnswer, answer)

    def claim(self, worker: str, wait_seconds: float, serial: int | None = None) -> Claim | None:
        """Wait for a job, at most ``wait_seconds``; None: there was none.

        ``serial``: the worker's number of this claim, larger than that of any before it.
        """
        body: dict[str, Any] = {"worker": worker, "wait_seconds": wait_seconds}
        if serial is not None:
            body["serial"] = serial
        timeout = READ_TIMEOUT_SECONDS + wait_seconds
        answer = self._call("POST", "/claims", json=body, read_timeout=timeout)
        return self._noun(Claim, answer) if answer.status_code == 200 else None

    def heartbeat(self, worker: str, heartbeat: Heartbeat) -> HeartbeatAnswer:
        """Extend the leases of what runs and hear what to do."""
        path = f"/workers/{_quote(worker)}/heartbeat"
        return self._noun(HeartbeatAnswer, self._call("POST", path, json=to_json(heartbeat)))

    def finish(self, job_id: str, attempt: int, token: str, outcome: Outcome) -> None:
        """Report how an attempt ended. A repeat changes nothing. Raises StaleAttempt."""
        body = {"token": token, "outcome": to_json(outcome)}
        self._call("POST", f"/jobs/{job_id}/attempts/{attempt}/result", json=body)

    def release(self, job_id: str, attempt: int, token: str, why: str) -> None:
        """Give an attempt back that was not made. A repeat changes nothing. Raises StaleAttempt."""
        body = {"token": token, "why": why}
        self._call("POST", f"/jobs/{job_id}/attempts/{attempt}/release", json=body)

    def put_log(self, job_id: str, attempt: int, token: str, log: bytes) -> None:
        """Store ffmpeg's log of an attempt, at most contract.LOG_MAX_BYTES. Raises StaleAttempt."""
        headers = {TOKEN_HEADER: token, "Content-Type": "text/plain; charset=utf-8"}
        self._call("PUT", f"/jobs/{job_id}/attempts/{attempt}/log", data=log, headers=headers)

    def _call(
        self, method: str, path: str, *, read_timeout: float = READ_TIMEOUT_SECONDS, **more: Any
    ) -> requests.Response:
        try:
            answer = self._session.request(
                method,
                self._url + path,
                timeout=(CONNECT_TIMEOUT_SECONDS, read_timeout),
                allow_redirects=False,
                verify=self._verify,
                auth=self._auth,
                **more,
            )
        except requests.exceptions.SSLError as error:
            raise MasterUntrusted(
                f"no TLS with the master at {self._url}: {_why(error)}"
            ) from error
        except OSError as error:  # all of requests' own, and a certificate file that is missing
            raise MasterUnreachable(
                f"no answer from the master at {self._url}: {_why(error)}"
            ) from error
        if answer.is_redirect:
            elsewhere = answer.headers["Location"]
            raise MasterUnreachable(f"{self._url} sends elsewhere, to {elsewhere}")
        if answer.ok:
            return answer
        raise problem_from_json(answer.status_code, _problem_body(answer))

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
        return MasterUnreachable(f"{self._url} is no ffmpeg-master of this release: {what}")


def _bearer(key: str) -> Callable[[requests.PreparedRequest], requests.PreparedRequest]:
    """What shows the API key (RFC 6750)."""

    def show(request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {key}"
        return request

    return show


def _quote(segment: str) -> str:
    return quote(segment, safe="")


def _why(error: BaseException) -> str:
    """The innermost cause, in the words of the system or of the TLS library."""
    inner: BaseException | None = error
    while inner is not None:
        error = inner
        inside = [getattr(part, "reason", part) for part in error.args]
        inside += [error.__cause__, None if error.__suppress_context__ else error.__context__]
        inner = next((part for part in inside if isinstance(part, BaseException)), None)
    words = getattr(error, "verify_message", "") or getattr(error, "strerror", "") or str(error)
    return words or type(error).__name__


def _problem_body(answer: requests.Response) -> dict[str, Any]:
    """The problem in an answer; a proxy's own error page has none."""
    try:
        body = answer.json()
    except requests.JSONDecodeError:
        body = None
    if isinstance(body, dict):
        return body
    return {"detail": f"{answer.status_code} {answer.reason} from {answer.url}"}


def _session(url: str) -> requests.Session:
    """What may be sent twice is sent again when the master restarts or a line breaks.

    Everything under /jobs may: submit has its Idempotency-Key, cancel repeats do nothing,
    limits and pause say what shall be, results are fenced. A claim may not: its job would wait
    for the lease to run out.
    """
    session = requests.Session()
    session.mount(url, HTTPAdapter(max_retries=_retry(("GET", "PUT"))))
    session.mount(f"{url}/jobs", HTTPAdapter(max_retries=_retry(("GET", "PUT", "POST"))))
    return session


def _retry(methods: tuple[str, ...]) -> Retry:
    # Waits of 0, 0.6 and 1.2 s; the caller decides about longer ones.
    return Retry(
        total=3,
        read=2,
        other=0,  # a certificate does not become better
        backoff_factor=0.3,
        status_forcelist=(502, 503, 504),
        allowed_methods=methods,
        raise_on_status=False,
        respect_retry_after_header=False,
    )
