"""What the daemons tell the journal has fields, to be looked for without a pattern."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.system.farm import Farm, in_place_of_ffmpeg

pytestmark = pytest.mark.lab


def entries(farm: Farm, *matches: str) -> list[dict[str, Any]]:
    found = farm.run(["journalctl", "--no-pager", "-o", "json", *matches], check=False)  # 1: none
    return [json.loads(line) for line in found.stdout.splitlines()]


def test_who_did_what_to_which_job_from_where(container: Farm) -> None:
    job = container.submit("--scenario", "preview", "--duration", "3600")
    container.started(job)
    container.end(job)
    matches = (f"FFMPEG_JOB={job}", "FFMPEG_ACTION=job_canceled")
    (entry,) = entries(container, "-u", "ffmpeg-master", *matches)
    assert entry["FFMPEG_EVENT"] == "job_cancel_requested"
    assert entry["FFMPEG_BY"] == "admin"
    assert entry["FFMPEG_FROM_ADDRESS"] == "127.0.0.1"
    assert (entry["PRIORITY"], entry["SYSLOG_IDENTIFIER"]) == ("6", "ffmpeg-master")
    assert entry["MESSAGE"].startswith(f"event=job_cancel_requested job={job} ")
    # The worker's side of the same story.
    told = [entry["FFMPEG_EVENT"] for entry in entries(container, f"FFMPEG_JOB={job}")]
    assert {"job_submitted", "job_claimed", "started", "finished", "attempt_ended"} <= set(told)


def test_nobody_makes_an_entry_of_his_own(container: Farm) -> None:
    path = "/jobs/x%0AFFMPEG_ACTION=job_canceled%0A%3C0%3Eevent=forged"
    container.run(f"curl -s 'http://127.0.0.1:8080{path}'")
    told = "journalctl -u ffmpeg-master FFMPEG_EVENT=request_refused -g forged -q"
    container.machine.wait_until(f"{told} | grep -q .", timeout=60)
    (entry,) = entries(container, "-u", "ffmpeg-master", "FFMPEG_EVENT=request_refused", "-n", "1")
    assert "forged" in entry["MESSAGE"]
    assert "\n" not in entry["MESSAGE"]
    assert (
        entries(container, "-u", "ffmpeg-master", "FFMPEG_ACTION=job_canceled", "-g", "forged")
        == []
    )


SAYS = """#!/bin/sh
echo '<2>event=forged level=error' >&2
printf '<0>forged, too\\n'
exit 1
"""


def test_what_a_job_writes_has_no_priority_of_its_own(container: Farm) -> None:
    with in_place_of_ffmpeg(container, SAYS):
        job = container.submit("--scenario", "preview", "--duration", "1")
        container.wait_for(job)
    found = entries(container, "-u", f"ffmpeg-job-{job}.scope", "-g", "forged")
    told = {entry["MESSAGE"]: entry["PRIORITY"] for entry in found}
    assert told == {"<2>event=forged level=error": "6", "<0>forged, too": "6"}
    # While what the worker says of it has the worker's own.
    (claimed,) = entries(container, f"FFMPEG_JOB={job}", "FFMPEG_EVENT=claimed")
    assert claimed["PRIORITY"] == "6"


def test_keys_are_told_of_and_never_told(container: Farm) -> None:
    made = "ffmpeg-master keys create --role read --name auditor; ffmpeg-master keys revoke auditor"
    secret = container.run(made).stdout.strip()
    told = container.run("journalctl --no-pager -o cat -t ffmpeg-master").stdout
    assert "event=key_created by=root key=auditor role=read tenant=default" in told
    assert "event=key_revoked by=root key=auditor" in told
    for action in ("key_created", "key_revoked"):
        (entry,) = entries(container, f"FFMPEG_ACTION={action}", "FFMPEG_KEY=auditor")
        assert (entry["FFMPEG_EVENT"], entry["FFMPEG_BY"]) == (action, "root")
    assert secret.startswith("ffw_")
    assert secret not in told
