"""How the client speaks to a master, or to several of one farm: TLS, repeats, the next one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError
from urllib3.util.retry import Retry

from ffmpeg_jobs import __version__
from ffmpeg_jobs.problems import MasterUnreachable, MasterUntrusted, Problem, Unavailable
from ffmpeg_jobs.problems import from_json as problem_from_json

CONNECT_TIMEOUT_SECONDS: Final = 5.0  #: two repeats of a lost SYN (RFC 6298: after 1 and 3 s)
READ_TIMEOUT_SECONDS: Final = 30.0

#: A master, or the proxy before it, that says so cannot do it now; another one may.
_NOT_NOW: Final = (502, 503, 504)
#: What may always be sent twice.
_REPEATABLE: Final = ("GET", "PUT")
#: How the path of a job's retry ends.
_RETRY: Final = "/retry"


@dataclass(frozen=True)
class Endpoint:
    """Where the master is and how to show oneself to it."""

    url: str  #: of several masters: their URLs, separated by commas
    key: str
    ca: str | None = None  #: path of a PEM bundle; None: the system's
    insecure_skip_verify: bool = False
    client_cert: str | None = None  #: path of a PEM file: our certificate, where one is asked for
    client_key: str | None = None  #: path of its key


class Line:
    """Requests to the master that answered last, or to the next one if it does not."""

    def __init__(self, endpoint: Endpoint, session: requests.Session | None = None) -> None:
        """``session`` replaces the transport."""
        self.url = endpoint.url
        self._urls = tuple(url.strip().rstrip("/") for url in endpoint.url.split(","))
        self._first = 0  #: the one that answered last
        self._session = session or _session(self._urls)
        self._session.headers["User-Agent"] = f"ffmpeg-jobs/{__version__}"
        verify = (not endpoint.insecure_skip_verify) and (endpoint.ca or True)
        self._auth = _bearer(endpoint.key)
        # Looked up once: to read the environment takes a third of the time of a request.
        self._ways = {url: _way(self._session, url, verify, _pair(endpoint)) for url in self._urls}
        self._session.trust_env = False

    def close(self) -> None:
        """Hang up."""
        self._session.close()

    def call(
        self, method: str, path: str, *, read_timeout: float = READ_TIMEOUT_SECONDS, **more: Any
    ) -> requests.Response:
        """The good answer to a request. Raises a Problem or MasterUnreachable."""
        more |= {"timeout": (CONNECT_TIMEOUT_SECONDS, read_timeout)}
        troubles: list[MasterUnreachable | Problem] = []
        first = self._first
        for turn in range(len(self._urls)):
            self._first = (first + turn) % len(self._urls)
            try:
                return self._ask(method, self._urls[self._first], path, **more)
            except (MasterUnreachable, Problem) as trouble:
                if isinstance(trouble, Problem) and trouble.status not in _NOT_NOW:
                    raise
                troubles.append(trouble)
                if not (_repeatable(method, path) or _refused(trouble)):
                    break
        self._first = (first + len(troubles)) % len(self._urls)
        raise _together(troubles)

    def _ask(self, method: str, url: str, path: str, **more: Any) -> requests.Response:
        try:
            answer = self._session.request(
                method,
                url + path,
                allow_redirects=False,
                auth=self._auth,
                **self._ways[url],
                **more,
            )
        except requests.exceptions.SSLError as error:
            why = _why(error)
            words = f"no TLS with the master at {url}: {why}{_remedy(why)}"
            raise MasterUntrusted(words) from error
        except OSError as error:  # all of requests' own, and a certificate file that is missing
            raise MasterUnreachable(f"no answer from the master at {url}: {_why(error)}") from error
        if answer.is_redirect:
            raise MasterUnreachable(f"{url} sends elsewhere, to {answer.headers['Location']}")
        if answer.ok:
            return answer
        raise problem_from_json(answer.status_code, _problem_body(answer))


def _way(session: requests.Session, url: str, verify: bool | str, cert: Any) -> dict[str, Any]:
    """How to get there: the proxies and the CA bundle that the environment names, where it does."""
    way: dict[str, Any] = {**session.merge_environment_settings(url, {}, None, verify, cert)}
    return {name: way[name] for name in ("proxies", "verify", "cert")}


def _pair(endpoint: Endpoint) -> str | tuple[str, str] | None:
    """Our certificate as requests takes it; a file may hold the key too."""
    if endpoint.client_cert and endpoint.client_key:
        return endpoint.client_cert, endpoint.client_key
    return endpoint.client_cert


def _repeatable(method: str, path: str) -> bool:
    """What has the effect of one if it is sent twice.

    Everything under /jobs: submit has its Idempotency-Key, cancel repeats do nothing, limits and
    pause say what shall be, results are fenced. Heartbeats say how it is. But a retry is not: the
    job may have failed again meanwhile. Nor a claim: its job would wait until the worker's next.
    """
    if method in _REPEATABLE or path.endswith("/heartbeat"):
        return True
    return path.startswith("/jobs") and not path.endswith(_RETRY)


def _refused(trouble: MasterUnreachable | Problem) -> bool:
    """Whether that master certainly did nothing: it said so, or was never reached."""
    if isinstance(trouble, Problem):
        return trouble.status == Unavailable.status
    cause = trouble.__cause__
    inside = getattr(cause.args[0], "reason", None) if cause and cause.args else None
    return isinstance(inside, (NewConnectionError, ConnectTimeoutError))


def _together(troubles: list[MasterUnreachable | Problem]) -> Exception:
    if len(troubles) == 1 or isinstance(troubles[-1], Problem):
        return troubles[-1]
    return type(troubles[-1])("; ".join(str(trouble) for trouble in troubles))


def _bearer(key: str) -> Callable[[requests.PreparedRequest], requests.PreparedRequest]:
    """What shows the API key (RFC 6750)."""

    def show(request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {key}"
        return request

    return show


#: What to do about a certificate, by what OpenSSL says of it (X509_verify_cert_error_string(3)).
_CA_UNKNOWN: Final = "set ca to the file ca.pem of the authority that signed it"
_NAME_OTHER: Final = "use a name that it holds, or add one: init-tls --renew --host NAME"
_REMEDIES: Final = {
    "has expired": "renew it at the master: ffmpeg-master init-tls --renew",
    "issuer certificate": _CA_UNKNOWN,
    "self-signed": _CA_UNKNOWN,
    "certificate signature failure": _CA_UNKNOWN,
    "mismatch": _NAME_OTHER,
    "doesn't match": _NAME_OTHER,  # in the words of urllib3
}


def _remedy(why: str) -> str:
    return next((f"; {remedy}" for words, remedy in _REMEDIES.items() if words in why), "")


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


class _Session(requests.Session):
    def get_adapter(self, url: str) -> Any:
        """The one with the longest prefix; a retry's is none that repeats POST."""
        return super().get_adapter(url.rpartition("/jobs/")[0] if url.endswith(_RETRY) else url)


def _session(urls: tuple[str, ...]) -> requests.Session:
    """What sends again what may be sent twice, when a master restarts or a line breaks."""
    session = _Session()
    alone = len(urls) == 1
    for url in urls:
        session.mount(url, HTTPAdapter(max_retries=_retry(_REPEATABLE, alone)))
        always = _retry((*_REPEATABLE, "POST"), alone)
        session.mount(f"{url}/jobs", HTTPAdapter(max_retries=always))
    return session


def _retry(methods: tuple[str, ...], alone: bool) -> Retry:
    # Waits of 0, 0.6 and 1.2 s; the caller decides about longer ones.
    return Retry(
        total=3,
        connect=None if alone else 0,  # better to ask the next
        read=2,
        other=0,  # a certificate does not become better
        backoff_factor=0.3,
        status_forcelist=_NOT_NOW,
        allowed_methods=methods,
        raise_on_status=False,
        respect_retry_after_header=False,
    )
