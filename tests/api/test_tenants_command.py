"""``ffmpeg-master tenants``: beside a serving master, which notices."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ffmpeg_jobs.model import Role, TenantLimits
from ffmpeg_jobs.problems import TenantFull
from tests.api.conftest import JOB, MACHINE, Launch, command, in_thread, until


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "master.toml").write_text(f'database = "sqlite:///{tmp_path}/master.db"\n')
    return tmp_path


def run(place: Path, *words: str) -> str:
    done = command(place, "tenants", *words)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout


def test_limits_are_set_one_by_one_shown_and_taken_away(place: Path) -> None:
    run(place, "set", "studio", "--max-queued", "100", "--max-running", "4")
    run(place, "set", "studio", "--max-cpu-percent", "800", "--max-timeout", "3600")
    run(place, "set", "studio", "--queues", "default,batch", "--rate", "60")
    shown = json.loads(run(place, "show", "studio", "--json"))
    assert shown == {
        "name": "studio",
        "queued": 0,
        "running": 0,
        "cpu_percent": 0,
        "limits": {
            "max_queued": 100,
            "max_running": 4,
            "max_cpu_percent": 800,
            "max_timeout_sec": 3600,
            "queues": ["default", "batch"],
            "rate": 60,
        },
    }
    run(place, "unset", "studio", "max-queued", "max-timeout", "rate")
    words = "max-running 4, max-cpu-percent 800, queues default,batch"
    assert run(place, "list") == f"{'studio':24} queued 0       running 0     {words}\n"
    lines = run(place, "show", "studio").splitlines()
    assert [line.split() for line in lines[-2:]] == [
        ["max-cpu-percent", "800"],
        ["queues", "default,batch"],
    ]
    run(place, "remove", "studio")
    assert run(place, "list", "--json") == "[]\n"


@pytest.mark.parametrize(
    ("words", "refusal"),
    [
        (("set", "studio"), "no limit is given; needed is at least one of --max-queued"),
        (("set", "studio", "--rate", "many"), '--rate: "many" is not allowed; allowed is a whole'),
        (("set", "studio", "--max-running=-1"), '--max-running: "-1" is not allowed'),
        (("set", "studio", "--queues", "slow"), '--queues: "slow" is not allowed; allowed is at'),
        (("set", "..", "--rate", "1"), 'TENANT: ".." is not allowed; allowed is a tenant\'s name'),
        (("unset", "studio", "speed"), 'LIMIT: "speed" is not allowed; allowed is one of max-q'),
        (("remove", "studio"), "the tenant studio has no limits"),
        (("show", "studio"), "there is no tenant studio"),
    ],
)
def test_what_it_refuses_it_names(place: Path, words: tuple[str, ...], refusal: str) -> None:
    done = command(place, "tenants", *words)
    assert done.returncode == 1
    assert done.stderr.startswith(f"ffmpeg-master: {refusal}")
    assert "Traceback" not in done.stderr


def test_a_serving_master_notices(launch: Launch) -> None:
    master = launch().ready()
    client = master.client()
    client.register("ada", MACHINE)
    run(master.directory, "set", "default", "--max-running", "0", "--max-queued", "1")
    job_id = client.submit(JOB).id
    with pytest.raises(TenantFull):
        client.submit(JOB)
    assert client.job(job_id).waiting_for == "room: tenant default runs 0 of 0 jobs"
    thread, got = in_thread(lambda: master.client().claim("ada", 20))
    until(lambda: client.tenant("default").queued == 1)
    run(master.directory, "unset", "default", "max-running")
    thread.join(10)
    assert [held.job_id for held in got] == [job_id]
    assert client.tenant("default").limits == TenantLimits(max_queued=1)
    entry = next(iter(client.audit(1, tenant="default")))
    assert (entry.action.value, entry.role) == ("tenant_limited", None)
    run(master.directory, "remove", "default")


def test_a_worker_s_key_may_serve_one_tenant(place: Path) -> None:
    for name, more in (("all", ()), ("own", ("--tenant", "studio"))):
        made = command(place, "keys", "create", "--name", name, "--role", Role.WORKER.value, *more)
        assert made.returncode == 0
    everybodys, own = json.loads(command(place, "keys", "list", "--json").stdout)
    assert "serves" not in everybodys
    assert (own["tenant"], own["serves"]) == ("studio", "studio")
    assert "serves studio" in command(place, "keys", "list").stdout
