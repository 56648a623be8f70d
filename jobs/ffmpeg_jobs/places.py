"""Where a job reads and writes: what no file system can have, and which places are the same (pure).

Bounds are those of Linux (limits.h), but for the depth, which is ours: a path is walked name by
name.
"""

from __future__ import annotations

import posixpath
import re
from typing import Final
from urllib.parse import parse_qsl, quote, unquote, urlsplit

NAME_MAX_BYTES: Final = 255
PATH_MAX_BYTES: Final = 4095
NAMES_MAX: Final = 128
_DEFAULT_PORTS: Final = {"http": 80, "https": 443, "rtmp": 1935, "rtmps": 443}
#: What signs a URL, and does not say what it leads to: AWS and those that speak like it (SigV4, and
#: 2), Google, Azure (SAS).
_SIGNING: Final = re.compile(
    r"(?i)x-amz-(algorithm|credential|date|expires|signedheaders|signature|security-token)|"
    r"x-goog-(algorithm|credential|date|expires|signedheaders|signature)|"
    r"awsaccesskeyid|googleaccessid|signature|expires|s(v|s|rt|p|e|t|pr|ig|r|ip)|sk(oid|tid|t|e|s|v)"
)


def fault(place: str) -> str | None:
    """Why no file can be there, in words for what is allowed; None: one can."""
    if not place.startswith("/"):
        return None
    names = [name for name in place.split("/") if name]
    if any(len(_bytes(name)) > NAME_MAX_BYTES for name in names):
        return f"a path of names of at most {NAME_MAX_BYTES} bytes"
    if len(names) > NAMES_MAX:
        return f"a path of at most {NAMES_MAX} names"
    if len(_bytes(place)) > PATH_MAX_BYTES:
        return f"a path of at most {PATH_MAX_BYTES} bytes"
    return None


def normal(place: str) -> str:
    """The one spelling of a path or URL that others of it lead to as well (RFC 3986, section 6).

    Raises ValueError for a URL that is none.
    """
    if place.startswith("/"):
        return "/" + posixpath.normpath(place).lstrip("/")
    parts = urlsplit(place)
    scheme, host = parts.scheme.lower(), (parts.hostname or "").lower().rstrip(".")
    port = parts.port or _DEFAULT_PORTS.get(scheme)
    path = posixpath.normpath("/" + _decoded(parts.path).lstrip("/"))
    asked = [pair for pair in parse_qsl(parts.query, keep_blank_values=True) if _tells(pair[0])]
    query = "&".join(f"{quote(name)}={quote(value)}" for name, value in sorted(asked))
    return f"{scheme}://{host}:{port}{path}?{query}"


def _tells(name: str) -> bool:
    return not _SIGNING.fullmatch(name)


def _decoded(path: str) -> str:
    """Each octet in the one way that is allowed to be written so."""
    return quote(unquote(path, errors="surrogateescape"), safe="/", errors="surrogateescape")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
