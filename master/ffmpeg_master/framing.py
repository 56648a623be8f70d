"""How a request comes over the line: what gunicorn takes that RFC 9110 and 9112 do not, and what
would never end.

Debian 12's gunicorn takes more than Debian 13's; both take a body however slowly it comes.
"""

from __future__ import annotations

import errno
import re
import socket
import time
from collections.abc import Iterator
from typing import Any, Final

from gunicorn.http.body import Body, ChunkedReader, LengthReader
from gunicorn.http.errors import (
    ChunkMissingTerminator,
    InvalidChunkSize,
    InvalidHeader,
    InvalidRequestLine,
    NoMoreData,
)

#: What no header's value has (RFC 9110, section 5.5), nor a target (RFC 3986, section 2).
_BROKEN_VALUE: Final = re.compile("[\0\r\n]")
_BROKEN_TARGET: Final = re.compile("[\0-\x20\x7f]")
#: RFC 9110, section 8.6: digits alone.
_LENGTH: Final = re.compile("[0-9]{1,18}")
#: A body may begin so late, and comes at least so fast after that (cf. mod_reqtimeout of Apache).
BODY_SECONDS: Final = 20.0
_BODY_BYTES_A_SECOND: Final = 8192
#: Each piece of an answer is taken in this time, so at least 2 KiB a second.
ANSWER_SECONDS: Final = 30.0
PIECE_BYTES: Final = 65536
#: The size of a chunk and what follows it, and the trailers after the last one.
_CHUNK_HEAD_MOST: Final = 16384
#: More chunks than this have to be so long on average: each costs as much as many bytes.
_CHUNKS_MOST: Final = 1024
_CHUNK_BYTES: Final = 64


#: What a body in chunks may turn out to be.
BROKEN: Final = (InvalidChunkSize, ChunkMissingTerminator)


class TooSlow(TimeoutError):
    """The body, or the reading of the answer, takes too long."""

    def __init__(self, words: str) -> None:
        # To gunicorn the client has gone, which is no fault.
        super().__init__(errno.ECONNRESET, words)

    def __str__(self) -> str:
        return str(self.strerror)


def check(req: Any) -> None:
    """Refuse what another reader could take for something else. Raises gunicorn's ParseException.

    Without the headers that WSGI could take for others, as nginx does: to it ``X_Forwarded_For``
    is ``X-Forwarded-For``, and gunicorn obeys ``SCRIPT_NAME``.
    """
    if _BROKEN_TARGET.search(req.uri):
        raise InvalidRequestLine(req.uri)
    for name, value in req.headers:
        is_length = name == "CONTENT-LENGTH"
        if _BROKEN_VALUE.search(value) or (is_length and not _LENGTH.fullmatch(value.strip(" \t"))):
            raise InvalidHeader(f"{name}: {value}")
    req.headers = [(name, value) for name, value in req.headers if "_" not in name]


def pace(req: Any, client: socket.socket) -> None:
    """Have the body come in time, and the answer go."""
    incoming, reader = _Incoming(req.unreader, client), req.body.reader
    chunked = isinstance(reader, ChunkedReader)
    reader = _Chunks(req, incoming) if chunked else LengthReader(incoming, reader.length)
    req.body = _Body(req, reader)
    client.settimeout(ANSWER_SECONDS)


class _Body(Body):  # type: ignore[misc]  # gunicorn has no types
    """A body after whose fault nothing is read: where the next request begins is not known."""

    def __init__(self, req: Any, reader: Any) -> None:
        super().__init__(reader)
        self._req = req

    def read(self, size: int | None = None) -> bytes:
        """Up to ``size`` bytes. Raises OSError."""
        try:
            found: bytes = super().read(size)
        except OSError:
            self._req.force_close()
            raise
        return found


class _Incoming:
    """What arrives of a body, in time and to its end."""

    def __init__(self, unreader: Any, client: socket.socket) -> None:
        self._unreader = unreader
        self._client = client
        self._until = 0.0  #: monotonic seconds
        self.unread = unreader.unread

    def read(self) -> bytes:
        """What comes next. Raises TooSlow, or gunicorn's NoMoreData."""
        found: bytes
        if self._unreader.buf.tell():  # it has arrived
            found = self._unreader.read()
            return found
        now, before = time.monotonic(), self._client.gettimeout()
        self._until = self._until or now + BODY_SECONDS
        self._client.settimeout(max(self._until - now, 0.001))
        try:
            found = self._unreader.read()
        except TimeoutError:
            raise TooSlow(
                f"it took more than {BODY_SECONDS:.0f} s and one more for each "
                f"{_BODY_BYTES_A_SECOND} bytes"
            ) from None
        finally:
            self._client.settimeout(before)
        if not found:  # gunicorn 20 would ask again for ever between two chunks
            raise NoMoreData()
        self._until += len(found) / _BODY_BYTES_A_SECOND
        return found


class _Chunks(ChunkedReader):  # type: ignore[misc]  # gunicorn has no types
    """A body in chunks (RFC 9112, section 7.1) which are not very many, nor their heads long."""

    def __init__(self, req: Any, unreader: Any) -> None:
        super().__init__(req, unreader)
        self._chunks = self._bytes = 0

    def parse_chunk_size(self, unreader: Any, data: bytes | None = None) -> Any:
        """The next chunk's size, and what has arrived of it."""
        size, rest = super().parse_chunk_size(unreader, data)
        self._chunks += 1
        self._bytes += size
        if self._chunks > max(_CHUNKS_MOST, self._bytes // _CHUNK_BYTES):
            raise InvalidChunkSize(b"chunks are too small")
        return size, rest

    def get_data(self, unreader: Any, buf: Any) -> None:
        """Read more of what stands between chunks."""
        if buf.tell() > _CHUNK_HEAD_MOST:
            raise InvalidChunkSize(b"it does not end")
        super().get_data(unreader, buf)


def in_pieces(answer: Any) -> Any:
    """An answer whose pieces are short enough to be told whether each goes in time."""
    if isinstance(answer, list) and any(len(part) > PIECE_BYTES for part in answer):
        return _cut(answer)
    return answer


def _cut(answer: list[bytes]) -> Iterator[bytes]:
    for part in answer:
        for at in range(0, len(part), PIECE_BYTES):
            yield part[at : at + PIECE_BYTES]
