"""Server-Sent Events in whatever pieces they come."""

from __future__ import annotations

import pytest

from ffmpeg_jobs.sse import Event, events

STREAM = (
    b"retry: 1000\n\n: hello\nid: 7\nevent: state\ndata: {}\n\ndata: a\ndata:b\n\n:\n\nid: 8\n\n"
    b"data\n\ndata: cut"
)
FOUND = [
    Event("state", "7", "{}"),
    Event("message", "7", "a\nb"),
    Event(id="8"),  # a place to go on from
    Event("message", "8", ""),
]


@pytest.mark.parametrize("length", [1, 2, 7, 1000])
def test_pieces_of_any_length(length: int) -> None:
    pieces = [STREAM[at : at + length] for at in range(0, len(STREAM), length)]
    assert list(events(pieces)) == FOUND


def test_lines_as_windows_ends_them() -> None:
    assert list(events([STREAM.replace(b"\n", b"\r\n")])) == FOUND
