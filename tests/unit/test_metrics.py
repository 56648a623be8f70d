"""What Prometheus reads of a worker, over HTTP."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
import requests

from ffmpeg_jobs.model import Claim, Job, Outcome, Reason, State, Usage
from ffmpeg_worker import metrics

CLAIM = Claim("abcdefghijkl", 1, "t" * 32, 60.0, Job(scenario="720p-h264"))
SCENARIO = '{scenario="720p-h264"}'
HEALTH = {"status": "ok", "running": 0}


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    directory = tmp_path_factory.mktemp("state")
    port = metrics.serve("127.0.0.1:0", lambda: HEALTH, directory, ("cpu", "memory"))
    return f"http://127.0.0.1:{port}"


def samples(url: str) -> dict[str, float]:
    """Every sample by its name and labels, as they stand in the text."""
    lines = requests.get(f"{url}/metrics", timeout=10).text.splitlines()
    rows = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    return {name: float(value) for name, value in rows}


def test_an_attempt_is_counted_and_measured(url: str) -> None:
    usage = Usage(cpu_seconds=15.0, wall_seconds=10.0, memory_peak_bytes=100 << 20)
    before = samples(url)
    metrics.observe(CLAIM, Outcome(State.COMPLETED, usage=usage))
    metrics.observe(CLAIM, Outcome(State.FAILED, Reason.TIMEOUT))
    metrics.observe(CLAIM, Outcome(State.CANCELED, Reason.CANCELED))
    metrics.set_running(3, draining=True)
    after = samples(url)
    grown = {name: after[name] - before.get(name, 0) for name in after}
    assert grown["jobs_total"] == 3
    # The operations guide divides one by the other, which takes the same labels: none.
    assert grown["jobs_failed_total"] == 1
    assert grown['jobs_failures_by_reason_total{reason="timeout"}'] == 1
    reasons = [n for name, n in grown.items() if name.startswith("jobs_failures_by_reason_total")]
    assert sum(reasons) == 1
    assert grown[f"jobs_cpu_percent_sum{SCENARIO}"] == pytest.approx(150)
    assert grown[f"jobs_memory_mb_sum{SCENARIO}"] == 100
    assert grown[f"jobs_duration_seconds_sum{SCENARIO}"] == 10
    assert grown['jobs_duration_seconds_bucket{le="15.0",scenario="720p-h264"}'] == 1
    assert (after["jobs_running"], after["draining"]) == (3, 1)


def test_every_reason_is_there_before_it_happens(url: str) -> None:
    names = samples(url)
    expected = {f'jobs_failures_by_reason_total{{reason="{reason.value}"}}' for reason in Reason}
    assert expected <= set(names)


def test_the_machine(url: str) -> None:
    found = samples(url)
    assert found["disk_space_available_mb"] > 0
    assert found['limits_enforced{limit="cpu"}'] == 1
    assert found['limits_enforced{limit="io"}'] == 0


def test_health_and_nothing_else(url: str) -> None:
    answer = requests.get(f"{url}/health", timeout=10)
    assert (answer.status_code, answer.json()) == (200, HEALTH)
    assert answer.headers["Content-Type"] == "application/json"
    assert requests.get(f"{url}/", timeout=10).status_code == 404


def test_a_silent_client_holds_up_nobody(url: str) -> None:
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as silent:
        silent.sendall(b"GET ")
        assert requests.get(f"{url}/health", timeout=10).ok


@pytest.mark.parametrize("address", ["9091", "127.0.0.1", "127.0.0.1:", "[::1]:x", "host:99999"])
def test_another_form_of_address(address: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is not HOST:PORT"):
        metrics.serve(address, lambda: HEALTH, tmp_path, ())


def test_an_address_in_use(url: str, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="in use"):
        metrics.serve(url.removeprefix("http://"), lambda: HEALTH, tmp_path, ())
