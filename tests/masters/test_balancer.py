"""nginx as the page sets it up, before two masters, of which one is lost."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ffmpeg_jobs.model import Outcome, State
from tests.api.conftest import JOB, MACHINE, PATIENCE_SECONDS, in_thread, until
from tests.masters.conftest import Farm

PAGE = Path(__file__).parents[2] / "docs/several-masters.md"
NGINX = shutil.which("nginx", path="/usr/sbin:/usr/bin")


@pytest.fixture
def balancer(farm: Farm, tmp_path: Path) -> Iterator[str]:
    """The page's configuration, with the test's addresses and without TLS; its URL."""
    if NGINX is None:
        pytest.skip("needs Debian's package nginx-light")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    (text,) = re.findall(r"```nginx\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    for number, master in enumerate(farm.masters, 1):
        text = text.replace(f"master{number}.example:8080", master.url.removeprefix("http://"))
    text = re.sub(r" *ssl_certificate.*\n", "", text)
    text = text.replace("listen 443 ssl;", f"listen 127.0.0.1:{port};")
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    places = "".join(f"{kind}_temp_path {tmp_path};" for kind in kinds)
    whole = f"user root; events {{}} http {{ access_log off; {places}\n{text}\n}}"
    (tmp_path / "nginx.conf").write_text(whole)
    own = f"daemon off; pid {tmp_path}/pid; error_log {tmp_path}/errors;"
    command = [NGINX, "-c", str(tmp_path / "nginx.conf"), "-e", str(tmp_path / "errors"), "-g", own]
    nginx = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    yield f"http://127.0.0.1:{port}"
    nginx.terminate()
    nginx.wait(PATIENCE_SECONDS)


def test_one_of_two_is_lost_behind_nginx(farm: Farm, balancer: str) -> None:
    for master in farm.masters:
        master.ready()
    client, worker = farm.client(balancer), farm.client(balancer)
    worker.register("ada", MACHINE)
    ids = [client.submit(JOB).id for _ in range(2)]
    for _ in ids:
        held = worker.claim("ada", 5)
        assert held is not None
        worker.finish(held.job_id, held.attempt, held.token, Outcome(State.COMPLETED))
    farm.lose(0)
    thread, found = in_thread(lambda: worker.claim("ada", PATIENCE_SECONDS))
    ids += [client.submit(JOB).id for _ in range(20)]
    thread.join(PATIENCE_SECONDS)
    assert [held.job_id in ids for held in found] == [True]
    assert {job.id for job in client.jobs()} == set(ids)
    until(lambda: client.health()["status"] == "ok")
