"""What a URL keeps secret is not shown."""

from __future__ import annotations

import pytest

from ffmpeg_jobs.model import Job, JobStatus, State
from ffmpeg_jobs.redaction import HIDDEN, redact
from ffmpeg_master.api import views

SIGNED = "https://bucket.example/out.mp4?X-Amz-Signature=deadbeef0123&v=2"


@pytest.mark.parametrize(
    ("place", "shown"),
    [
        (None, None),
        ("/srv/in.mp4", "/srv/in.mp4"),
        ("/srv/a?b=c.mp4", "/srv/a?b=c.mp4"),
        ("https://host/in.mp4", "https://host/in.mp4"),
        (SIGNED, "https://bucket.example/out.mp4?X-Amz-Signature=…&v=…"),
        ("https://host/in.mp4?barewordtoken", "https://host/in.mp4?…"),
        ("rtmp://ann:secret@host:1935/live#frag", "rtmp://…@host:1935/…"),
        ("rtmp://host/live/k1", "rtmp://host/live/…"),
        ("rtmps://host/app/instance/key?sig=1", "rtmps://host/app/instance/…?sig=…"),
        ("RTMP://host/live/key/", "rtmp://host/live/…"),
        ("rtmp://host/", "rtmp://host/"),
        ("rtmp://host", "rtmp://host"),
    ],
)
def test_redact(place: str | None, shown: str | None) -> None:
    assert redact(place) == shown


@pytest.mark.parametrize(
    ("place", "secret"),
    [
        ("https://ann:passw0rd@h/a", "passw0rd"),
        ("https://h/a?sig=abcdef123", "abcdef123"),
        ("https://h/a?x=a%2Fb%2Fcdefg", "a%2Fb%2Fcdefg"),
        ("https://h/a?x=a%2Fb%2Fcdefg", "a/b/cdefg"),
        ("rtmp://h/live/streamkey1", "streamkey1"),
        ("rtmp://h/live/k%3Astream", "k:stream"),
        ("rtmp://h/live/k1", "h/live/k1"),
        ("rtmp://ann:passw0rd@h/live/x", "passw0rd"),
    ],
)
def test_messages_that_quote_a_url_do_not_tell_its_secret(place: str, secret: str) -> None:
    status = JobStatus(
        "abcdefghijkl",
        State.FAILED,
        Job(input=place, output=SIGNED),
        "now",
        "now",
        error=f"{SIGNED}: 403 Forbidden",
        log_tail=(f"Error opening input {place}", f"sent {secret}"),
    )
    shown = str(views.show(status))
    assert secret not in shown
    assert "deadbeef0123" not in shown
    assert "403 Forbidden" in shown


def test_what_is_no_url_is_hidden_as_a_whole() -> None:
    assert redact("rtmp://secret]") == HIDDEN
    assert views.hide("cannot open rtmp://secret]", Job(input="rtmp://secret]")) == "cannot open …"
