"""What keeps the one serving process at work for long is named before it is over."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.api.conftest import PATIENCE_SECONDS, environment

#: A real application one of whose routes computes for longer than it should.
SCRIPT = """
from gevent import monkey
monkey.patch_all()

import sys, time
from dataclasses import replace

import gevent
from falcon import testing

from ffmpeg_jobs.daemon import set_up_logging
from ffmpeg_jobs.model import Role
from ffmpeg_master import app, auth, config, serving
from ffmpeg_master.model import Grant
from ffmpeg_master.store import keys
from ffmpeg_master.store.engine import Store
from ffmpeg_master.master import open_master

def burn(call):
    until = time.process_time() + 2.5
    while time.process_time() < until:
        pass
    print("answered", file=sys.stderr)
    return app.Answer(body=[])

set_up_logging()
app.ROUTES = [replace(r, handler=burn) if r.path == "/workers" else r for r in app.ROUTES]
settings = config.read(None, {"database": sys.argv[1]}, {})
secret = auth.new_secret()
master = open_master(settings)
keys.create(master.store, "eve", Grant(Role.READ), auth.digest(secret))
serving = serving.Serving(settings)
ask = lambda path: testing.simulate_get(
    serving.app, path, headers={"Authorization": f"Bearer {secret}"})
gevent.sleep(0.5)
assert gevent.spawn(ask, "/jobs").get().status_code == 200
assert gevent.spawn(ask, "/workers").get().status_code == 200
"""


def test_a_request_that_computes_for_long_is_named(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SCRIPT, f"sqlite:///{tmp_path}/master.db"],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_SECONDS * 2,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stderr.splitlines()
    (told,) = [line for line in lines if "event=request_is_long" in line]
    assert "method=GET route=/workers by=eve tenant=default" in told
    assert lines.index(told) < lines.index("answered")
