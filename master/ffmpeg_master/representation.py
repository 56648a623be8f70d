"""How a good answer goes over the line: not at all to who has it, compressed where that is worth
it (RFC 9110, sections 8.4, 8.8.3 and 13.1.2)."""

from __future__ import annotations

import gzip
from hashlib import sha256
from typing import Any, Final

#: Less than some packets is not worth the time.
_COMPRESS_FROM_BYTES: Final = 8192
_GZIP_LEVEL: Final = 5
#: How a header says that something is not taken.
_REFUSED: Final = frozenset({"q=0", "q=0.0", "q=0.00", "q=0.000"})


def represent(req: Any, resp: Any) -> None:
    """Tag and compress what answers a GET or HEAD; 304 if the client has it already."""
    content = resp.data
    if content is None:
        return
    # Weak: it stands for the same answer, compressed or not.
    tag = f'W/"{sha256(content).hexdigest()[:32]}"'
    resp.set_header("ETag", tag)
    is_long = len(content) >= _COMPRESS_FROM_BYTES
    if is_long:
        resp.append_header("Vary", "Accept-Encoding")  # of a 304, too (RFC 9110, 15.4.5)
    if _has(req.get_header("If-None-Match"), tag):
        resp.status = 304
        resp.data = None
        return
    if is_long and _takes_gzip(req.get_header("Accept-Encoding")):
        resp.data = gzip.compress(content, _GZIP_LEVEL, mtime=0)
        resp.set_header("Content-Encoding", "gzip")


def accepts(accepted: str | None, media: str) -> bool:
    """Whether a client with this Accept takes an answer of ``media`` (RFC 9110, section 12.5.1).

    Its parameters are not looked at: there is one form of each type.
    """
    if not (accepted or "").strip():
        return True
    media = media.partition(";")[0]
    weights = _weights(accepted)
    asked = (media, media.partition("/")[0] + "/*", "*/*")
    return next((weights[name] for name in asked if name in weights), False)


def _has(known: str | None, tag: str) -> bool:
    tags = [part.strip().removeprefix("W/") for part in (known or "").split(",")]
    return "*" in tags or tag.removeprefix("W/") in tags


def _takes_gzip(accepted: str | None) -> bool:
    weights = _weights(accepted)
    return weights.get("gzip", weights.get("*", False))


def _weights(accepted: str | None) -> dict[str, bool]:
    """What a client names in a header, and whether it takes it."""
    weights: dict[str, bool] = {}
    for part in (accepted or "").lower().split(","):
        name, *parameters = (step.replace(" ", "") for step in part.split(";"))
        weights[name] = not _REFUSED.intersection(parameters)
    return weights
