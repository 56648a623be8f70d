"""What of a URL is secret: its user, its query, and of a stream its key (pure).

One place says so for answers of the API, journals and the logs of ffmpeg, which quotes its URLs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import reduce
from typing import Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit, urlunsplit

HIDDEN: Final = "…"
#: A shorter value (``v=2``) is no secret, and would be found everywhere in a text.
_SECRET_MIN_CHARS: Final = 6
#: Each is looked for on its own, in about 0.6 ms per MiB. A presigned URL has some ten.
_SECRETS_MOST: Final = 64


def redact(place: str | None) -> str | None:
    """A URL without its user and the values of its query: presigned ones are secrets. Of RTMP the
    last part of the path is one too: who knows it may stream in another's name."""
    if place is None or place.startswith("/"):
        return place
    parts = _split(place)
    if parts is None:
        return HIDDEN
    user, at, host = parts.netloc.rpartition("@")
    query = "&".join(_hide_value(part) for part in parts.query.split("&")) if parts.query else ""
    path = parts.path
    if _key(parts):
        path = path.removesuffix(_key(parts)) + HIDDEN
    shown = parts._replace(
        netloc=(HIDDEN + at if user else "") + host, path=path, query=query, fragment=""
    )
    return urlunsplit(shown)


def hider(places: Iterable[str | None]) -> Callable[[str], str]:
    """What takes the secrets of these URLs out of a text, in a time that the text's length bounds,
    however many they are."""
    found = secrets(places)
    if len(found) <= _SECRETS_MOST:
        return lambda text: reduce(_without, found, text)
    # So many are no presigned URL's. Whatever could be one of them goes, in one pass.
    words = "".join(map(re.escape, sorted(set().union(*found))))
    could_be = re.compile(f"[{words}]{{{_SECRET_MIN_CHARS},}}")
    return lambda text: could_be.sub(HIDDEN, text)


def _without(text: str, secret: str) -> str:
    return text.replace(secret, HIDDEN)


def secrets(places: Iterable[str | None]) -> list[str]:
    """What must not be shown of these URLs, the longest first."""
    found: set[str] = set()
    for place in places:
        if place is not None and not place.startswith("/"):
            found |= _secrets(place)
    return sorted(found, key=len, reverse=True)


def _secrets(place: str) -> set[str]:
    parts = _split(place)
    if parts is None:
        return {place}
    user = parts.netloc.rpartition("@")[0]
    found = {user, *user.split(":"), parts.query, parts.fragment, _key(parts)}
    found |= {part.partition("=")[2] or part for part in parts.query.split("&")}
    found |= {value for _, value in parse_qsl(parts.query)}
    found |= {unquote(each) for each in found}
    good = {secret for secret in found if len(secret) >= _SECRET_MIN_CHARS}
    if 0 < len(_key(parts)) < _SECRET_MIN_CHARS:  # hidden where it stands in the URL
        good.add(parts.netloc.rpartition("@")[2] + parts.path)
    return good


def _key(parts: SplitResult) -> str:
    """The key of a stream: the last part of an RTMP URL's path; "" of other URLs."""
    if parts.scheme.lower() not in ("rtmp", "rtmps"):
        return ""
    last = parts.path.rstrip("/").rfind("/") + 1
    return parts.path[last:].strip("/") and parts.path[last:]


def _split(place: str) -> SplitResult | None:
    """A URL's parts; None for one that is none, as were accepted once."""
    try:
        return urlsplit(place)
    except ValueError:
        return None


def _hide_value(part: str) -> str:
    name, equals, _ = part.partition("=")
    return f"{name}={HIDDEN}" if equals else HIDDEN
