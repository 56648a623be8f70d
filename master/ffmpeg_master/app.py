"""The WSGI application: routes, keys, sizes, problems; nothing else."""

from __future__ import annotations

import json
import re
import select
import socket
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import partial
from itertools import accumulate
from typing import Any, Final, NoReturn

import falcon
import structlog

from ffmpeg_jobs import problems
from ffmpeg_jobs.contract import NESTING_MAX, PARTS_MAX
from ffmpeg_jobs.problems import (
    Forbidden,
    InvalidField,
    InvalidJson,
    MalformedRequest,
    MasterError,
    MethodNotAllowed,
    NotAcceptable,
    NotFound,
    Problem,
    RequestTimeout,
    TooLarge,
    Unauthorized,
    Unavailable,
    UnsupportedMedia,
)
from ffmpeg_jobs.schema import check, to_json
from ffmpeg_master import tls
from ffmpeg_master.api.call import JSON, Answer, Call, Route
from ffmpeg_master.api.permission import allow
from ffmpeg_master.api.routes import ROUTES
from ffmpeg_master.api.routes.parameters import NO_QUERY, PATH
from ffmpeg_master.master import Master
from ffmpeg_master.model import Key
from ffmpeg_master.origin import origin
from ffmpeg_master.refusals import Refusals
from ffmpeg_master.representation import accepts, represent
from ffmpeg_master.store.troubles import Collision

log = structlog.get_logger()

#: Collisions in a row before a request is refused: two requests meet once, rarely twice.
_COLLISIONS_MOST: Final = 3
#: When a client may ask again what cannot be done now.
_RETRY_AFTER_SECONDS: Final = 1


def make_app(master: Master) -> Any:
    """The application that serves ``master``."""
    app = falcon.App(media_type=JSON)
    app.req_options.auto_parse_form_urlencoded = False
    app.add_error_handler(Exception, _on_fault)
    app.add_error_handler(falcon.HTTPError, _on_http_error)
    app.add_error_handler(Problem, partial(_on_refusal, master.refusals))
    by_path: dict[str, _Resource] = {}
    for route in ROUTES:
        resource = by_path.setdefault(route.path, _Resource())
        # To HEAD, falcon leaves the body out; a stream has no end to tell of.
        head = ["head"] if route.tagged else []
        for method in (route.method.lower(), *head):
            setattr(resource, f"on_{method}", _responder(master, route))
    for path, resource in by_path.items():
        app.add_route(path, resource)
    return app


class _Resource:
    """What falcon looks for the methods of a path in."""

    def on_options(self, req: Any, resp: Any, **_path: Any) -> None:
        """RFC 9110, section 9.3.7; what a path takes is no secret."""
        resp.status = 204
        resp.set_header("Allow", _methods(req.uri_template))


def _methods(path: str | None) -> str:
    """What may be asked of a path, as Allow says it; "" if there is none such."""
    here = [route for route in ROUTES if route.path == path]
    if not here:
        return ""
    head = {"HEAD" for route in here if route.tagged}
    return ", ".join(sorted({"OPTIONS", *head, *(route.method for route in here)}))


def _responder(master: Master, route: Route) -> Any:
    def respond(req: Any, resp: Any, **path: Any) -> None:
        answer(master, route, req, resp, path)

    return respond


def answer(master: Master, route: Route, req: Any, resp: Any, path: dict[str, Any]) -> None:
    """Answer a request. What takes long here is told of by its variables (``at_work``)."""
    structlog.contextvars.clear_contextvars()  # of the request before, on this connection
    address = _address(master, req)
    key, authorization = None, req.get_header("Authorization")
    if route.role is not None:
        key = master.gate.admit(authorization, route.role, address)
    elif route.tells_keys is not None and authorization is not None:
        with suppress(Forbidden):  # it is told what everybody is
            key = master.gate.admit(authorization, route.tells_keys, address)
    _tell_log(key, address, route)
    check(PATH, path)
    _check_accepted(req, route)
    query, headers = _query(req, route), _headers(req, route)
    body = _body(req, route)
    sock = req.env.get("gunicorn.socket")
    certified = tls.showed_certificate(sock)
    admitted = partial(master.gate.admits_still, authorization)
    who = (key, address, _listens(sock), admitted, certified, route.audited)
    call = Call(master, path, query, headers, body, *who)
    allow(route, call)
    done = _handle(route, call)
    _write(resp, done)
    if route.method == "GET" and done.status == 200:
        represent(req, resp)
    if route.method != "GET":
        master.feed.nudge()


def at_work(variables: Mapping[str, Any]) -> dict[str, Any]:
    """Which request it is that ``answer`` is at, by its variables."""
    route, key = variables["route"], variables.get("key")
    who = {} if key is None else {"by": key.name, "tenant": key.grant.tenant}
    return {"method": route.method, "route": route.path, **who}


def _handle(route: Route, call: Call) -> Answer:
    """The handler's answer; it is asked again when its transaction met another and gave way."""
    for _ in range(_COLLISIONS_MOST):
        with suppress(Collision):
            return route.handler(call)
    return route.handler(call)


def _tell_log(key: Key | None, address: str, route: Route) -> None:
    """Have each line of the log that this request writes say from where, for whom, and what."""
    if key is not None:
        who = {"role": key.role.value, "tenant": key.grant.tenant, "from_address": address}
        what = {} if route.audited is None else {"action": route.audited.value}
        structlog.contextvars.bind_contextvars(**who, **what)


def _address(master: Master, req: Any) -> str:
    forwarded = req.get_header("X-Forwarded-For")
    address = origin(req.env.get("REMOTE_ADDR", ""), forwarded, master.config.trusted_proxies)
    req.context.address = address
    return address


def _query(req: Any, route: Route) -> Mapping[str, Any]:
    schema = route.query or NO_QUERY
    query = dict(req.params)
    for name, value in query.items():
        known = schema["properties"].get(name, {})
        # At most 19 digits: what a 64-bit number has.
        if known.get("type") == "integer" and str(value).isascii() and str(value).isdecimal():
            query[name] = int(str(value)[:20])
    check(schema, query)
    return query


def _headers(req: Any, route: Route) -> Mapping[str, str]:
    schema = route.headers or NO_QUERY
    sent = {name: req.get_header(name) for name in schema["properties"]}
    headers = {name: value for name, value in sent.items() if value is not None}
    check(schema, headers)
    return headers


def _check_accepted(req: Any, route: Route) -> None:
    accepted = req.get_header("Accept")
    if route.answers_with_body and not accepts(accepted, route.gives):
        raise NotAcceptable(f'Accept: "{accepted}" takes no {route.gives}, which is all there is')


def _body(req: Any, route: Route) -> Any:
    if route.takes is None:
        return None
    sent = (req.content_type or "").partition(";")[0].strip().lower()
    if sent != route.takes:
        raise UnsupportedMedia(
            f'Content-Type: "{sent}" is not allowed here; allowed is {route.takes}'
        )
    content = _content(req, route.body_max_bytes)
    if route.body is None:
        return content
    body = _parse(content)
    if not isinstance(body, dict):
        raise InvalidJson(f"the body is {type(body).__name__}, an object is needed")
    check(route.body, body)
    return body


def _content(req: Any, most_bytes: int) -> bytes:
    if (req.content_length or 0) <= most_bytes:
        try:
            content: bytes = req.stream.read(most_bytes + 1)
        except TimeoutError as error:
            raise RequestTimeout(f"the body did not arrive in time: {error}") from None
        except OSError as error:  # gunicorn's, of chunks that are none, or the network's
            raise MalformedRequest(f"the body did not arrive whole: {error}") from None
        if len(content) <= most_bytes:
            return content
    raise TooLarge(f"the body is over {most_bytes} bytes", limit_bytes=most_bytes)


def _parse(content: bytes) -> Any:
    """The JSON of a body (RFC 8259: UTF-8, finite numbers, whole characters, each name once)."""
    _check_nesting(content)
    try:
        text = content.decode("utf-8")
        body = json.loads(
            text, parse_constant=_refuse_number, parse_float=_finite, object_pairs_hook=_object
        )
        if "\\ud" in text.lower():
            json.dumps(body, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError) as error:
        raise InvalidJson(f"the body is not valid JSON: {error}") from None
    return body


def _check_nesting(content: bytes) -> None:
    """Refuse a body before it is read whose lists and objects alone would cost much, or which is
    nested so deep that what looks at it by recursion could fail."""
    brackets = _STRING.sub(b"", content).translate(None, _NO_BRACKETS)
    if len(brackets) > 2 * PARTS_MAX:
        raise InvalidJson(f"the body has more than {PARTS_MAX} lists and objects")
    if len(brackets) > NESTING_MAX and max(accumulate(map(_DEPTH, brackets))) > NESTING_MAX:
        raise InvalidJson(f"the body is nested deeper than {NESTING_MAX}")


#: What is no JSON may lack its last quotation mark; it is found in one pass, too.
_STRING: Final = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"?', re.DOTALL)
_NO_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))
_DEPTH: Final = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}.__getitem__


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # Who passes it on may take the first of two, and this one the last (RFC 8259, section 4).
    named = dict(pairs)
    if len(named) < len(pairs):
        twice, _ = Counter(name for name, _ in pairs).most_common(1)[0]
        raise ValueError(f"{twice[:80]!r} stands twice in an object")
    return named


def _refuse_number(word: str) -> NoReturn:
    raise ValueError(f"{word} is not a number")


def _finite(digits: str) -> float:
    number = float(digits)
    return number if abs(number) != float("inf") else _refuse_number(digits)


def _listens(sock: socket.socket | None) -> Any:
    """Whether the client at ``sock`` is still there: its end would make it readable."""

    def connected() -> bool:
        if sock is None or hasattr(sock, "pending"):  # under TLS one cannot look ahead
            return True
        poll = select.poll()
        poll.register(sock, select.POLLIN)
        try:
            return not poll.poll(0) or sock.recv(1, socket.MSG_PEEK) != b""
        except OSError:
            return False

    return connected


def _write(resp: Any, answer: Answer) -> None:
    resp.status = answer.status
    for name, value in answer.headers.items():
        resp.set_header(name, value)
    if answer.body is not None:
        resp.content_type = answer.media
    if isinstance(answer.body, Iterator):
        resp.stream = answer.body
    elif answer.body is not None:
        is_bytes = isinstance(answer.body, bytes)
        resp.data = answer.body if is_bytes else json.dumps(to_json(answer.body)).encode()


def _on_refusal(refusals: Refusals, req: Any, resp: Any, problem: Problem, _params: object) -> None:
    address = getattr(req.context, "address", req.remote_addr)
    refusals.tell(req.method, req.path, address, problem)
    _write_problem(resp, problem)


def _write_problem(resp: Any, problem: Problem) -> None:
    if isinstance(problem, Unauthorized):
        resp.set_header("WWW-Authenticate", "Bearer")  # RFC 9110, section 11.6.1
    if problem.status == Unavailable.status:
        resp.set_header("Retry-After", str(_RETRY_AFTER_SECONDS))  # RFC 9110, section 10.2.3
    if "retry_after_seconds" in problem.members:
        resp.set_header("Retry-After", str(problem.members["retry_after_seconds"]))
    _write(resp, Answer(problem.status, problem.to_json(), media=problems.MEDIA_TYPE))


def _on_http_error(req: Any, resp: Any, error: Any, _params: object) -> None:
    """What falcon itself refuses."""
    allowed = _methods(req.uri_template)
    # Not by the error's type: a method that falcon does not know is a bad request to it.
    if allowed and req.method not in allowed.split(", "):
        resp.set_header("Allow", allowed)
        problem: Problem = MethodNotAllowed(
            f"{req.method} is not allowed for {req.path}; allowed are {allowed}"
        )
    elif isinstance(error, falcon.HTTPNotFound):
        problem = NotFound(f"there is nothing at {req.path}; see /openapi.json")
    else:
        problem = InvalidField(str(error.description or error.title))
    _write_problem(resp, problem)


def _on_fault(req: Any, resp: Any, error: Exception, _params: object) -> None:
    log.error("request_failed", method=req.method, path=req.path, exc_info=error)
    _write_problem(resp, MasterError("the master failed; its log says more"))
