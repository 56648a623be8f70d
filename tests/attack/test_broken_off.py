"""A server whose connection breaks may have another file by the time we ask for the rest."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ffmpeg_jobs.model import Reason
from tests.attack.stage import BODY, Ending, Stage, Talk, get
from tests.serving import serving


@pytest.fixture
def stage() -> Iterator[Stage]:
    server = Stage()
    with serving(server):
        yield server


@dataclass(frozen=True)
class Breaking:
    """A file whose connection breaks in its middle, and what the rest is then."""

    etags: tuple[str, ...]  #: of each answer; the last goes on
    starts: list[str | None] = field(default_factory=list)  #: Range of each request
    lie: int = 0  #: the rest begins so much later than asked

    def __call__(self, talk: Talk) -> None:
        etag = self.etags[min(len(self.starts), len(self.etags) - 1)]
        self.starts.append(talk.headers["Range"])
        body = BODY if etag == self.etags[0] else BODY[::-1]
        if talk.headers["Range"] and talk.headers["If-Range"] == etag:
            start = int(talk.headers["Range"].removeprefix("bytes=").rstrip("-")) + self.lie
            where = f"bytes {start}-{len(body) - 1}/{len(body)}"
            talk.say(206, body[start:], ETag=etag, Content_Range=where)
        else:
            talk.head(200, Content_Length=str(len(body)), ETag=etag)
            talk.wfile.write(body[: 700_000 if len(self.starts) == 1 else None])


def test_what_broke_off_goes_on(stage: Stage, tmp_path: Path) -> None:
    stage.answer = breaking = Breaking(('"a"',))
    assert get(stage.url, tmp_path / "input") == Ending(None)
    assert (tmp_path / "input").read_bytes() == BODY
    assert breaking.starts == [None, "bytes=700000-"]


def test_two_files_are_never_put_together(stage: Stage, tmp_path: Path) -> None:
    stage.answer = breaking = Breaking(('"a"', '"b"'))
    assert get(stage.url, tmp_path / "input") == Ending(None)
    assert (tmp_path / "input").read_bytes() == BODY[::-1]
    assert breaking.starts == [None, "bytes=700000-"]


@pytest.mark.parametrize("breaking", [Breaking(('W/"a"',)), Breaking(('"a"',), lie=1)])
def test_what_cannot_be_told_from_another_is_not_gone_on_with(
    stage: Stage, tmp_path: Path, breaking: Breaking
) -> None:
    stage.answer = breaking
    assert get(stage.url, tmp_path / "input").reason is Reason.NETWORK_ERROR
    assert len(breaking.starts) == (2 if breaking.lie else 1)
