"""A machine is emptied: by hand, by the cloud, by its shutdown. No job loses a try by that."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.system.farm import Farm, in_place_of_ffmpeg, scope, waiting_ffmpeg, worker_with

pytestmark = pytest.mark.lab

LONG = ("--scenario", "preview", "--duration", "3600", "--cpu", "10", "--max-attempts", "1")
ONLINE = "map(select(.online))[0]"
CONTROL = "/var/lib/ffmpeg-worker/control"
UNTRIED = {"state": "queued", "attempt": 1, "given_back": 1}


@pytest.fixture(autouse=True, scope="module")
def _two_slots(container: Farm) -> Iterator[None]:
    """However small the machine is, and however much its jobs want more than their limits."""
    with worker_with(container, max_concurrent_jobs=2, cpu=100):
        yield


def running(farm: Farm) -> str:
    """A job whose ffmpeg runs."""
    job = farm.submit(*LONG)
    farm.started(job)
    return job


def seen(farm: Farm, job: str) -> dict[str, Any]:
    shown = farm.job(job)
    return {name: shown[name] for name in UNTRIED}


def worker(farm: Farm) -> dict[str, Any]:
    # An image remembers the machine that it was made on.
    (row,) = [row for row in json.loads(farm.get("/workers")) if row["online"]]
    return dict(row)


def undrain(farm: Farm, *jobs: str) -> None:
    farm.run("ffmpeg-worker undrain")
    for job in jobs:
        farm.end(job)


def test_an_operator_empties_the_machine(container: Farm) -> None:
    container.run("id olga || useradd --groups ffmpeg-operators olga")
    first = running(container)
    container.run(["ffmpeg-worker", "drain"], user="olga")
    container.machine.wait_until("systemctl show -P StatusText ffmpeg-worker | grep draining")
    second = container.submit(*LONG)
    container.run("systemctl restart ffmpeg-worker")
    shown = container.machine.wait_until(
        f"{container.ask('/workers')} | jq -e '{ONLINE}.held_back' | grep olga"
    )
    assert shown.stdout == '"draining: asked by olga"\n'
    assert container.job(first)["state"] == "running"
    assert container.job(second)["state"] == "queued"
    container.run(["ffmpeg-worker", "drain", "--timeout", "0", "--wait"], user="olga")
    container.machine.wait_until(f"! test -e {scope(first)}")
    assert seen(container, first) == UNTRIED
    assert json.loads(container.run("curl -sSf http://127.0.0.1:9091/health").stdout)["draining"]
    assert "draining 1.0" in container.run("curl -sSf http://127.0.0.1:9091/metrics").stdout
    container.run(["ffmpeg-worker", "undrain"], user="olga")
    container.started(first)
    container.started(second)
    assert container.job(first)["attempt"] == 2
    container.end(first)
    container.end(second)


def test_systemd_asks_for_it_and_what_runs_ends(container: Farm) -> None:
    flags = ("--scenario", "preview", "--input", "/var/lib/ffmpeg-worker/input/clip.mp4")
    with waiting_ffmpeg(container) as let_go:
        job = container.submit(*flags)
        container.started(job)
        container.run("systemctl kill --kill-who=main --signal=USR1 ffmpeg-worker")
        let_go(job)
        container.run("ffmpeg-worker drain --wait")
    ended = container.job(job)
    assert (ended["state"], ended["attempt"]) == ("completed", 1)
    container.machine.wait_until("systemctl show -P StatusText ffmpeg-worker | grep drained")
    undrain(container)


def test_the_machine_is_emptied_from_the_master(container: Farm) -> None:
    name, job = worker(container)["name"], running(container)
    container.run(["ffmpeg-jobs", "drain", name, "--timeout", "0"], user="root")
    container.machine.wait_until(f"! test -e {scope(job)}")
    container.machine.wait_until("systemctl show -P StatusText ffmpeg-worker | grep drained")
    assert seen(container, job) == UNTRIED
    told = "drained: asked at the master"
    container.machine.wait_until(
        f"{container.ask('/workers')} | jq -e '{ONLINE}.held_back' | grep -x '\"{told}\"'"
    )
    container.run(["ffmpeg-jobs", "undrain", name], user="root")
    container.started(job)
    container.end(job)


def test_others_cannot(container: Farm) -> None:
    for verb in ("drain", "undrain", "stop-jobs"):
        done = container.run(["ffmpeg-worker", verb], user="nobody", check=False)
        assert (verb, done.returncode) == (verb, 0 if verb == "undrain" else 1)
    assert worker(container).get("held_back") is None


def test_jobs_end_and_the_worker_goes_on(container: Farm) -> None:
    job = running(container)
    container.run("ffmpeg-worker stop-jobs")
    container.started(job)  # there is no other worker, and this one may be asked too early
    shown = container.job(job)
    assert shown["attempt"] == shown["given_back"] + 1 > 1
    container.end(job)


def test_jobs_end_without_a_worker(container: Farm) -> None:
    job = running(container)
    container.run("systemctl stop ffmpeg-worker")
    assert container.run(f"cat {scope(job)}/cgroup.procs").stdout
    container.run("ffmpeg-worker stop-jobs")
    assert container.gone(job)
    container.run("systemctl start ffmpeg-worker")
    container.started(job)
    shown = container.job(job)
    assert (shown["attempt"], shown["given_back"]) == (2, 1)
    container.end(job)


def test_one_that_cannot_be_stopped_is_told_and_keeps_no_other_running(container: Farm) -> None:
    units = [f"ffmpeg-job-stray{letter * 7}.scope" for letter in "abcde"]
    stubborn = units[2]
    container.run("systemctl stop ffmpeg-worker")
    for unit in units:
        refuse = f"-p RefuseManualStop={'yes' if unit == stubborn else 'no'}"
        scope_of = f"systemd-run --scope --slice=ffmpeg.slice --unit={unit} {refuse}"
        container.run(f"{scope_of} sleep 3600 >&- 2>&- &")
        container.machine.wait_until(f"systemctl is-active {unit}")
    done = container.run("ffmpeg-worker stop-jobs", check=False)
    left = container.run("systemctl list-units --plain --no-legend 'ffmpeg-job-*.scope'").stdout
    container.run(f"systemctl kill --signal=KILL {stubborn}; ffmpeg-worker undrain")
    container.run("rm -f /var/lib/ffmpeg-worker/control/stop-jobs; systemctl start ffmpeg-worker")
    assert [line.split()[0] for line in left.splitlines()] == [stubborn]
    assert done.returncode == 1
    assert "4 jobs were stopped" in done.stderr
    assert "job strayccccccc could not be stopped: " in done.stderr


def test_the_cloud_takes_the_machine_back(container: Farm) -> None:
    """By its notice, by its signal."""
    config = "/etc/ffmpeg-worker/worker.toml"
    notice = 's|^# notice_file = .*|notice_file = "/run/interrupted"|'
    grace = "s|^# grace_seconds = .*|grace_seconds = 0|"
    container.run(["sed", "--in-place=.before", f"{notice}; {grace}", config])
    container.run("systemctl restart ffmpeg-worker")
    job = running(container)
    for begin, end in (
        ("touch /run/interrupted", "rm /run/interrupted"),
        ("systemctl kill --kill-who=main --signal=USR2 ffmpeg-worker", f"rm {CONTROL}/drain"),
    ):
        before = container.job(job)
        container.run(begin)
        container.machine.wait_until(f"! test -e {scope(job)}")
        container.machine.wait_until(f"{container.ask(f'/jobs/{job}')} | grep '\"queued\"'")
        assert container.job(job)["given_back"] == before["given_back"] + 1
        container.run(end)
        container.started(job)
    container.run(f"mv {config}.before {config}; systemctl restart ffmpeg-worker")
    container.end(job)


def test_what_never_started_is_given_back_at_once(container: Farm) -> None:
    """Its worker dies while the launcher does not answer."""
    container.run("systemctl start ffmpeg-worker-launcher")
    container.run("systemctl kill --kill-who=main --signal=STOP ffmpeg-worker-launcher")
    job = container.submit(*LONG)
    container.machine.wait_until(f"test -e /var/lib/ffmpeg-worker/jobs/{job}.1/holder.json")
    container.run("systemctl kill --kill-who=main --signal=KILL ffmpeg-worker")
    container.run("systemctl kill --kill-who=main --signal=CONT ffmpeg-worker-launcher")
    container.started(job)
    shown = container.job(job)
    assert (shown["attempt"], shown["given_back"]) == (2, 1)
    container.end(job)


def test_a_reload_tries_every_encoder_again(container: Farm) -> None:
    def encoders() -> set[str]:
        return set(worker(container)["machine"]["encoders"])

    container.machine.wait_until(
        f"{container.ask('/workers')} | jq -e '{ONLINE}.machine.encoders | length > 3'"
    )
    before = encoders()
    assert "libx265" in before
    script = '#!/bin/sh\ncase " $* " in *" libx265 "*) exit 1; esac\nexec ffmpeg.real "$@"\n'
    with in_place_of_ffmpeg(container, script):
        _reload(container)
        assert encoders() == before - {"libx265"}
    _reload(container)
    assert encoders() == before
    assert container.run("systemctl is-active ffmpeg-worker").stdout == "active\n"


def _reload(farm: Farm) -> None:
    farm.run("systemctl reload ffmpeg-worker")
    done = "systemctl is-active ffmpeg-worker | grep -x active"
    farm.machine.wait_until(done)
    since = farm.run("date +%s").stdout.strip()
    # What was found is told to the master at once.
    farm.machine.wait_until(f"{farm.ask('/workers')} | jq -e '{ONLINE}'; sleep 2; : {since}")


def test_a_shutdown_gives_jobs_back(container: Farm) -> None:
    job, paused = running(container), running(container)
    container.run(["ffmpeg-jobs", "pause", paused])
    container.wait_for(paused, "paused")
    container.run("systemctl disable ffmpeg-worker")  # it would take them again
    container.machine.power_off()
    container.machine.start()
    container.machine.wait_until(container.ask("/health"), timeout=120)
    assert (seen(container, job), seen(container, paused)) == (UNTRIED, UNTRIED)
    container.run("systemctl enable --now ffmpeg-worker")
    for each in (job, paused):
        container.started(each)
        assert container.job(each)["attempt"] == 2
        container.end(each)


def test_a_claim_that_nobody_heard(container: Farm) -> None:
    """Its answer was lost: the worker comes, and does not know of it."""
    name = worker(container)["name"]
    container.run("systemctl stop ffmpeg-worker")
    job = container.submit(*LONG)
    body = json.dumps({"worker": name, "serial": 1})
    heard = container.run(
        'printf "Authorization: Bearer %s" "$(cat /etc/ffmpeg-worker/api-key)" | curl -sSf -H @-'
        f" -H 'Content-Type: application/json' -d '{body}' http://127.0.0.1:8080/claims"
    )
    assert [claim["job_id"] for claim in json.loads(heard.stdout)["claims"]] == [job]
    container.run("systemctl start ffmpeg-worker")
    container.started(job)
    shown = container.job(job)
    assert (shown["attempt"], shown["given_back"]) == (2, 1)
    container.end(job)
