"""What can go wrong between client and master, as RFC 9457 problem details.

    Problem                     anything the API refuses
    ├── MalformedRequest 400    it is not HTTP, or did not arrive whole
    ├── InvalidJson     400     the body is not JSON
    ├── InvalidField    422     a field is unknown, missing or out of its range
    ├── Unauthorized    401     no key, or none that is known
    ├── Forbidden       403     the key's role does not allow it
    │   └── TenantForbids 403   the limits of the tenant never allow it
    ├── NotFound        404     no such job, worker or path
    ├── MethodNotAllowed 405    the path is there, the method is not
    ├── NotAcceptable   406     the client takes no answer of this type
    ├── RequestTimeout  408     the body comes too slowly
    ├── Conflict        409     the state of the job does not allow it
    │   └── StaleAttempt 409    the attempt is no longer the current one
    ├── TooLarge        413     the body is over its limit
    ├── UnsupportedMedia 415    the body is of another type
    ├── TooManyRequests 429     later
    │   └── TenantFull  429     the tenant has as much as it may have now
    ├── MasterError     500     a fault of the master's own
    └── Unavailable     503     not now
    MasterUnreachable           no answer of a master's (raised by the client only)
    └── MasterUntrusted         no TLS with it: its certificate, or ours for it, is wrong

The master raises them, ``to_json`` puts them on the wire, the client rebuilds them.
"""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from typing import Any, ClassVar, Final

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:ffmpeg-worker:problem:"


class Problem(Exception):
    """A request that was refused. ``detail`` is the sentence for people."""

    kind: ClassVar[str] = "problem"
    status: int = 400
    title: ClassVar[str] = "The request was refused"
    remedy: ClassVar[str] = "Read detail."  #: what to do about it

    def __init__(self, detail: str, /, **members: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        self.members = members  #: extension members (RFC 9457, section 3.2)

    def to_json(self) -> dict[str, Any]:
        """The body of the answer."""
        return {
            "type": TYPE_PREFIX + self.kind,
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            **self.members,
        }


class MalformedRequest(Problem):
    """It is not HTTP as it should be, or did not arrive whole."""

    kind, status, title = "malformed-request", 400, "The request is not whole"
    remedy = "Send it again, with a shorter URL or fewer headers if detail says so."


class InvalidJson(Problem):
    """The body is not the JSON it should be."""

    kind, status, title = "invalid-json", 400, "The body is not valid JSON"
    remedy = (
        "Send one JSON object in UTF-8, with finite numbers and whole characters; detail "
        "says where it breaks."
    )


class InvalidField(Problem):
    """A field is unknown, missing or out of its range."""

    kind, status, title = "invalid-field", 422, "A field is not allowed as it is"
    remedy = "Correct what errors names: the field, the value it had, and what is allowed."

    @classmethod
    def of(cls, field: str, value: object, allowed: str, what: str = "") -> InvalidField:
        """The refusal of one field: names it, its value and what is allowed."""
        shown = _shown(value)
        detail = what or f"{field}: {shown} is not allowed; allowed is {allowed}"
        return cls(detail, errors=[{"field": field, "value": shown, "allowed": allowed}])


def _shown(value: object) -> str:
    """A value in at most 120 characters; of a long one the beginning is looked at alone."""
    shown = f'"{value[:120]}"' if isinstance(value, str) else _SHORT.repr(value)
    return shown if len(shown) <= 120 else shown[:117] + "..."


_SHORT = reprlib.Repr()
_SHORT.maxlist = _SHORT.maxdict = 60
_SHORT.maxlevel = 40
_SHORT.maxstring = _SHORT.maxlong = _SHORT.maxother = 120


class Unauthorized(Problem):
    """No key came with the request, or none that is known."""

    kind, status, title = "unauthorized", 401, "A valid API key is needed"
    remedy = "Send a key as Authorization: Bearer KEY; ffmpeg-master keys create makes one."


class Forbidden(Problem):
    """The key is known; its role does not allow this."""

    kind, status, title = "forbidden", 403, "The key's role does not allow this"
    remedy = "Use a key of a role that detail names, or one that may act for this worker."


class TenantForbids(Forbidden):
    """The limits of the key's tenant never allow it."""

    kind, title = "tenant-forbids", "The limits of the tenant do not allow this"
    remedy = (
        "Ask for what errors names as allowed, or have an admin change the limits: "
        "ffmpeg-master tenants set."
    )

    @classmethod
    def of(cls, tenant: str, field: str, value: object, allowed: str) -> TenantForbids:
        """The refusal of one field: names it, its value, the tenant and what is allowed."""
        shown = f'"{value}"' if isinstance(value, str) else str(value)
        detail = f"{field}: {shown} is not allowed for the tenant {tenant}; allowed is {allowed}"
        error = {"field": field, "value": shown, "allowed": allowed}
        return cls(detail, tenant=tenant, errors=[error])


class NotFound(Problem):
    """There is no such job, worker or path."""

    kind, status, title = "not-found", 404, "Not found"
    remedy = (
        "Look at the id or name; jobs of other tenants, and those that ended long ago, "
        "are not there."
    )


class MethodNotAllowed(Problem):
    """The path exists; it does not answer to this method."""

    kind, status, title = "method-not-allowed", 405, "The method is not allowed here"
    remedy = "Use a method of the header Allow."


class NotAcceptable(Problem):
    """The answer is of a type that the client says it does not take."""

    kind, status, title = "not-acceptable", 406, "The answer is of a type that is not accepted"
    remedy = "Leave Accept out, or have it take the type that detail names."


class RequestTimeout(Problem):
    """The body did not come in time (RFC 9110, section 15.5.9)."""

    kind, status, title = "request-timeout", 408, "The body did not arrive in time"
    remedy = "Send it again, at 8 KiB a second or more."


class Conflict(Problem):
    """The present state does not allow it."""

    kind, status, title = "conflict", 409, "The present state does not allow it"
    remedy = "Read how the job or worker stands now, and decide again."


class StaleAttempt(Conflict):
    """The attempt is no longer the current one; nothing was changed."""

    kind, title = "stale-attempt", "The attempt is no longer the current one"
    remedy = "Stop the attempt and forget it: another one counts, or the job ended."


class TooLarge(Problem):
    """The body is over its limit."""

    kind, status, title = "too-large", 413, "The body is too large"
    remedy = "Send at most limit_bytes; split a batch."


class UnsupportedMedia(Problem):
    """The body is of another type than the path takes."""

    kind, status, title = "unsupported-media-type", 415, "The body is of an unsupported type"
    remedy = "Send the Content-Type that detail names."


class TooManyRequests(Problem):
    """Try again later."""

    kind, status, title = "too-many-requests", 429, "Too many requests"
    remedy = "Wait retry_after_seconds, and then send a key that is known."


class TenantFull(TooManyRequests):
    """The tenant has as much as its limits let it have now."""

    kind, title = "tenant-full", "The tenant is at its limit"
    remedy = (
        "Send it again when jobs of the tenant have started, or after Retry-After where the "
        "answer has it."
    )


class MasterError(Problem):
    """A fault of the master's own; its log says more."""

    kind, status, title = "internal", 500, "The master failed"
    remedy = "Try again later; tell the operator, whose master's log says more."


class Unavailable(Problem):
    """The master cannot do it now; try again."""

    kind, status, title = "unavailable", 503, "Not available now"
    remedy = "Try again after Retry-After, or ask another master."


class MasterUnreachable(Exception):
    """The master gave no answer: it is down, or the network or its address is wrong."""


class MasterUntrusted(MasterUnreachable):
    """There is no TLS with the master: its certificate does not prove that it is the one meant."""


def _leaves(cls: type[Problem]) -> list[type[Problem]]:
    return [cls, *(leaf for sub in cls.__subclasses__() for leaf in _leaves(sub))]


#: Those that masters answer with, by their kind.
BY_KIND: Final = {cls.kind: cls for cls in _leaves(Problem) if cls is not Problem}
_BY_TYPE = {TYPE_PREFIX + cls.kind: cls for cls in _leaves(Problem)}
_BY_STATUS = {cls.status: cls for cls in reversed(_leaves(Problem)) if cls is not Problem}


def from_json(status: int, body: Mapping[str, Any]) -> Problem:
    """The problem that an answer holds; of an unknown type (a proxy's): told by ``status``."""
    cls = _BY_TYPE.get(str(body.get("type")), _BY_STATUS.get(status, Problem))
    known = {"type", "title", "status", "detail"}
    detail = str(body.get("detail") or body.get("title") or f"HTTP status {status}")
    problem = cls(detail, **{str(k): v for k, v in body.items() if k not in known})
    problem.status = status
    return problem
