"""The receiver of the page on webhooks works as it stands there."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from pathlib import Path

import requests

from tests.api.conftest import JOB, PATIENCE_SECONDS, Launch, until
from tests.receiver import SECRET

PAGE = Path(__file__).parents[2] / "docs/webhooks.md"


def test_the_receiver_takes_what_is_genuine(launch: Launch, tmp_path: Path) -> None:
    (program,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    secret_file, heard = tmp_path / "secret", tmp_path / "heard"
    secret_file.touch(0o600)
    secret_file.write_text(SECRET)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with heard.open("wb") as output:
        receiver = subprocess.Popen(
            [sys.executable, "-c", program],
            env={"WEBHOOK_SECRET": SECRET, "PORT": str(port)},
            stdout=output,
            stderr=subprocess.DEVNULL,
        )
    try:
        table = f'[webhooks]\nsecret_file = "{secret_file}"\nallow_private = true\n'
        client = launch(table).ready().client()
        url = f"http://127.0.0.1:{port}/"
        job_id = client.cancel(client.submit(JOB | {"callback_url": url}).id).id
        until(lambda: heard.read_text() == f"job.canceled {job_id}\n")
        forged = {"webhook-id": "msg_1", "webhook-timestamp": "1", "webhook-signature": "v1,AAAA"}
        answer = requests.post(url, json={}, headers=forged, timeout=PATIENCE_SECONDS)
        assert answer.status_code == 400
    finally:
        receiver.kill()
        receiver.wait(PATIENCE_SECONDS)
