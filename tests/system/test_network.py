"""Where a job with a network may connect to: the worker asks first, the kernel holds it to that."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.system.farm import PATIENCE_SECONDS, WORKER_TOML, Farm, scope

pytestmark = pytest.mark.lab

LAUNCHER_TOML = "/etc/ffmpeg-worker/launcher.toml"
ALLOW = "^# allow = .*"
PORT = 39111
KEPT = "/tmp/kept.flv"
KEY = "s3cretkey"
SOUGHT = f"'[{KEY[0]}]{KEY[1:]}'"  #: as a pattern that does not find itself
URL = f"rtmp://localhost:{PORT}/live/{KEY}"


@contextmanager
def allowing(farm: Farm, file: str) -> Iterator[None]:
    """The settings of worker or launcher allow this machine's loopback."""
    farm.run(f"cp -p {file} {file}.before && sed -i 's|{ALLOW}|allow = [\"127.0.0.0/8\"]|' {file}")
    units = "ffmpeg-worker" if file == WORKER_TOML else "ffmpeg-worker-launcher"
    verb = "restart" if file == WORKER_TOML else "stop"
    farm.run(f"systemctl {verb} {units}")
    try:
        yield
    finally:
        farm.run(f"mv {file}.before {file} && systemctl {verb} {units}")


@contextmanager
def listening(farm: Farm) -> Iterator[None]:
    """A server in the machine, which keeps what it is sent."""
    listen = f"ffmpeg -v quiet -nostdin -y -f flv -listen 1 -i rtmp://127.0.0.1:{PORT}/live/x"
    farm.run(f"systemd-run -q --unit=listener -p RemainAfterExit=yes {listen} -c copy {KEPT}")
    farm.machine.wait_until(f"ss -Hltn sport = {PORT} | grep -q .", timeout=PATIENCE_SECONDS)
    try:
        yield
    finally:
        farm.run(f"systemctl kill -s KILL listener; systemctl stop listener; rm -f {KEPT}")


def stream(farm: Farm, seconds: int = 5) -> str:
    flags = ["--scenario", "preview", "--duration", str(seconds), "--output", URL]
    return farm.submit(*flags, "--max-attempts", "1")


def test_a_stream_needs_a_place_that_is_allowed_and_its_key_is_told_nobody(
    container: Farm,
) -> None:
    with listening(container):
        refused = container.wait_for(stream(container))
        assert (refused["state"], refused["reason"]) == ("failed", "input_error")
        assert "localhost is at" in refused["error"]
        assert "[network] allow in worker.toml" in refused["error"]
        with allowing(container, WORKER_TOML):
            job = stream(container, seconds=20)
            container.started(job)
            asked = f"grep -al {SOUGHT} /proc/[0-9]*/cmdline"
            assert container.run(asked, check=False).stdout == ""
            ended = container.wait_for(job)
        assert ended["state"] == "completed"
        assert KEY not in str(ended)
        assert f"rtmp://localhost:{PORT}/live/…" in str(ended)
    told = container.run(f"journalctl -o cat | grep -c {SOUGHT}", check=False)
    assert told.stdout.strip() == "0"


@pytest.mark.vm
def test_the_kernel_holds_a_stream_to_the_launchers_policy(vm: Farm) -> None:
    """Also where the worker would allow it: what it was told is not what root says."""
    with allowing(vm, WORKER_TOML), listening(vm):
        job = stream(vm)
        vm.started(job)
        shown = vm.run(f"systemctl show ffmpeg-job-{job}.scope -p IPAddressDeny -P IPIngressBytes")
        assert "no data" not in shown.stdout
        assert scope(job)
        blocked = vm.wait_for(job)
        assert (blocked["state"], blocked["reason"]) == ("failed", "network_error")
        assert vm.run(f"test -s {KEPT}", check=False).returncode == 1
        with allowing(vm, LAUNCHER_TOML):
            ended = vm.wait_for(stream(vm))
            assert (ended["state"], ended["enforced"]) == ("completed", True)
        vm.run(f"test -s {KEPT}")
