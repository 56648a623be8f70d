"""What of a stream's URL ffmpeg is told where, and which names its sandbox knows."""

from __future__ import annotations

import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ffmpeg_jobs.destination import Policy
from ffmpeg_jobs.model import Claim, Job, Reason
from ffmpeg_worker.outcome import AttemptError
from ffmpeg_worker.pinning import pin
from ffmpeg_worker.plan import Plan, make_plan
from ffmpeg_worker.stream import sink_of
from tests.unit.test_plan import CONFIG

KEY = "s3cretkey"
PUBLIC = Policy()


@pytest.mark.parametrize(
    ("path", "app", "playpath"),
    [
        ("/live/KEY", "live", "KEY"),
        ("/live/KEY?auth=1", "live", "KEY?auth=1"),
        ("/app/instance/KEY", "app/instance", "KEY"),
        ("/app/instance/a/KEY", "app/instance", "a/KEY"),
        ("/app/mp4:a/KEY", "app", "mp4:a/KEY"),
        ("/live/KEY.mp4", "live", "mp4:KEY.mp4"),
        ("/live/KEY.flv", "live", "KEY"),
        ("/ondemand/a/KEY", "ondemand", "a/KEY"),
        ("/live", "live", None),
        ("/live/", "live", None),
        ("", None, None),
    ],
)
def test_a_url_is_taken_apart_as_ffmpeg_does(
    path: str, app: str | None, playpath: str | None
) -> None:
    sink = sink_of(f"rtmp://ann:pw@live.example:1936{path}")
    assert sink.url == "rtmp://ann:pw@live.example:1936/"
    told = dict(line.split("=", 1) for line in sink.preset.splitlines())
    assert (told.get("rtmp_app"), told.get("rtmp_playpath")) == (app, playpath)


def planned(directory: Path, policy: Policy = PUBLIC, **job: Any) -> Plan:
    claim = Claim("a" * 12, 1, "t" * 32, 60.0, Job(**job))
    config = replace(CONFIG, state_directory=directory, network=policy)
    plan = make_plan(claim, config)
    Path(plan.directory).mkdir(parents=True)
    return plan


def test_the_key_is_on_no_command_line(tmp_path: Path) -> None:
    plan = planned(
        tmp_path, Policy(("127.0.0.0/8",)), output=f"rtmp://localhost/live/{KEY}?sig=abc"
    )
    assert KEY not in str(plan.run)
    assert "sig=abc" not in str(plan.run)
    pin(plan)
    file = Path(plan.directory) / "stream"
    assert file.read_text() == f"rtmp_app=live\nrtmp_playpath={KEY}?sig=abc\n"
    assert file.stat().st_mode & 0o777 == 0o600


def test_the_sandbox_knows_the_names_at_the_addresses_that_were_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {"in.example": ["10.0.0.5", "93.184.216.34"], "out.example": ["2606:4700::1"]}

    def look_up(host: str, port: int, **_more: Any) -> Any:
        return [(0, 0, 0, "", (address, port)) for address in found[host]]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    plan = planned(tmp_path, input="rtmp://In.example/a/b", output="rtmps://out.example/live/k")
    pin(plan)
    hosts = Path(plan.directory) / "hosts"
    assert hosts.read_text() == "93.184.216.34 in.example\n2606:4700::1 out.example\n"
    words = " ".join(plan.run)
    assert f"--ro-bind {hosts} /etc/hosts" in words
    assert f"--ro-bind {hosts.with_name('nsswitch.conf')} /etc/nsswitch.conf" in words
    assert "resolv.conf" not in words
    assert hosts.with_name("nsswitch.conf").read_text() == "hosts: files\n"


@pytest.mark.parametrize(
    ("url", "reason", "words"),
    [
        ("rtmp://localhost/live/s3cretkey", Reason.INPUT_ERROR, "localhost is at "),
        ("rtmp://0x7f.1/live/s3cretkey", Reason.INPUT_ERROR, "[network] allow"),
        ("rtmp://169.254.169.254/live/s3cretkey", Reason.INPUT_ERROR, "169.254.169.254"),
        ("rtmp://127.0.0.1\\@93.184.216.34/live/k", Reason.INPUT_ERROR, "no clear host"),
        ("rtmp://nobody.invalid/live/s3cretkey", Reason.NETWORK_ERROR, "nobody.invalid"),
    ],
)
@pytest.mark.parametrize("field", ["input", "output"])
def test_a_stream_that_may_not_be_opened(
    tmp_path: Path, field: str, url: str, reason: Reason, words: str
) -> None:
    plan = planned(tmp_path, PUBLIC, **{field: url})
    with pytest.raises(AttemptError, match=r"the stream cannot be opened: ") as refusal:
        pin(plan)
    assert refusal.value.reason is reason
    assert words in str(refusal.value)
    assert KEY not in str(refusal.value)


def test_a_key_that_the_file_cannot_hold_is_refused(tmp_path: Path) -> None:
    plan = planned(tmp_path, output=f"rtmp://93.184.216.34/live/{'k' * 990}")
    with pytest.raises(AttemptError, match="over 999 bytes"):
        pin(plan)


def test_who_streams_nothing_needs_no_name(tmp_path: Path) -> None:
    plan = planned(tmp_path, input="https://localhost/a.mp4")
    pin(plan)
    assert list(Path(plan.directory).iterdir()) == []
    assert "/etc/hosts" not in plan.run
