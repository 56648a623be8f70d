"""A request and an answer as handlers see them, and a row of the table of routes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ffmpeg_jobs.contract import BODY_MAX_BYTES, JsonSchema
from ffmpeg_jobs.model import Action, Role
from ffmpeg_master.master import Master
from ffmpeg_master.model import DEFAULT_TENANT, Act, Key

JSON = "application/json"
TEXT = "text/plain; charset=utf-8"
EVENTS = "text/event-stream"  #: Server-Sent Events (WHATWG HTML, section 9.2)


@dataclass(frozen=True)
class Call:
    """A request that was let in: its key's role does, path and query fit their schemas."""

    master: Master
    path: Mapping[str, Any]
    query: Mapping[str, Any]
    headers: Mapping[str, str]  #: those that its route reads
    body: Any  #: parsed JSON, or bytes if the route takes text; None without a body
    key: Key | None  #: that asks; None where none is needed
    address: str  #: where the request comes from
    connected: Callable[[], bool]  #: whether the client still listens
    admitted: Callable[[], bool]  #: whether its key is valid yet
    certified: bool = False  #: whether it showed a certificate of tls_client_ca's
    audited: Action | None = None  #: what its route is in the audit log

    @property
    def by(self) -> str:
        """The name of the key that asks; "" where none is needed."""
        return "" if self.key is None else self.key.name

    @property
    def sees(self) -> str | None:
        """The tenant whose jobs the caller sees; None: everybody's."""
        return DEFAULT_TENANT if self.key is None else self.key.sees

    @property
    def act(self) -> Act | None:
        """What the audit log says of it, if its route is in it."""
        if self.key is None or self.audited is None:
            return None
        grant = self.key.grant
        return Act(self.by, self.audited, grant.role, grant.tenant, self.address or "unix")


@dataclass(frozen=True)
class Answer:
    """What goes back: ``body`` is a noun or JSON, or bytes of ``media``, or what yields them."""

    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    media: str = JSON


@dataclass(frozen=True)
class Route:
    """One thing that the API does."""

    method: str
    path: str  #: as falcon writes it: ``/jobs/{job_id}/attempts/{attempt:int}/log``
    handler: Callable[[Call], Answer]
    role: Role | None  #: None: nobody needs a key
    summary: str
    answers: Mapping[int, JsonSchema | None]  #: what each good status brings
    body: JsonSchema | None = None
    query: JsonSchema | None = None
    takes: str | None = None  #: the media type of the body; None: there is none
    gives: str = JSON
    headers: JsonSchema | None = None  #: of those that it reads, as an object
    tells: Mapping[str, str] = field(default_factory=dict)  #: headers of a good answer, in words
    problems: tuple[int, ...] = ()  #: beyond those of every route
    audited: Action | None = None  #: what the audit log calls it; None: it is not in it
    body_max_bytes: int = BODY_MAX_BYTES
    tells_keys: Role | None = None  #: nobody needs a key, but one of this role is told more

    @property
    def answers_with_body(self) -> bool:
        """Whether a good answer brings something."""
        return set(self.answers) != {204}

    @property
    def tagged(self) -> bool:
        """Whether its answers carry an ETag."""
        return self.method == "GET" and self.gives != EVENTS
