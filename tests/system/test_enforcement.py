"""A machine whose kernel lacks controllers, with the packaged settings: it says so everywhere and
takes no job that it could not hold to its limits."""

from __future__ import annotations

import json

import pytest

from tests.system.farm import Farm, worker_with

pytestmark = pytest.mark.lab

OWN = "http://127.0.0.1:9091"
HEALTH = f"curl -sSf {OWN}/health"
STATUS = "systemctl show -P StatusText ffmpeg-worker"


def test_a_kernel_without_controllers_is_told_of_and_gets_no_job(container: Farm) -> None:
    missing = [name for name in ("cpu", "memory", "pids") if name not in container.machine.enforced]
    if not missing:
        pytest.skip("this container's kernel enforces every limit")
    since = container.run("date +%s").stdout.strip()
    with worker_with(container, require_enforcement=None):
        container.machine.wait_until(f"{HEALTH} | jq -e .enforced", timeout=120)
        told = f"journalctl -o cat -u ffmpeg-worker --since @{since} | grep limits_not_enforced"
        said = container.machine.wait_until(told, timeout=60).stdout
        assert "jobs are refused" in said
        assert [name for name in missing if name not in said] == []
        shown = container.machine.wait_until(f"{STATUS} | grep ENFORCED", timeout=60).stdout
        assert f"NOT ENFORCED: {', '.join(missing)}" in shown
        assert "NOT ENFORCED" in container.run("systemctl status ffmpeg-worker").stdout
        enforced = json.loads(container.run(HEALTH).stdout)["enforced"]
        assert [name for name in missing if name in enforced] == []
        metrics = container.run(f"curl -sSf {OWN}/metrics").stdout.splitlines()
        for name in missing:
            assert f'limits_enforced{{limit="{name}"}} 0.0' in metrics
        job = container.submit("--scenario", "preview", "--duration", "1")
        wanted = '.waiting_for == "a worker with a kernel that enforces its limits"'
        container.machine.wait_until(
            f"{container.ask(f'/jobs/{job}')} | jq -e '{wanted}'", timeout=120
        )
        waits = container.job(job)
        assert (waits["state"], waits["attempt"]) == ("queued", 0)
    # Who runs it without says so in its result.
    ended = container.wait_for(job)
    assert (ended["state"], ended["attempt"], ended["enforced"]) == ("completed", 1, False)
