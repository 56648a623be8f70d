"""Two masters share the sending of webhooks."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.api.conftest import JOB, until
from tests.masters.conftest import Farm
from tests.receiver import SECRET, receiver


@pytest.fixture
def settings(tmp_path: Path) -> str:
    file = tmp_path / "webhook-secret"
    file.touch(0o600)
    file.write_text(SECRET)
    return f'[webhooks]\nsecret_file = "{file}"\nallow_private = true\n'


def test_each_is_sent_once(farm: Farm) -> None:
    for master in farm.masters:
        master.ready()
    with receiver() as listening:
        job = JOB | {"callback_url": listening.url}
        clients = [farm.client(url) for url in farm.urls]
        batches = [client.submit_batch([job] * 50) for client in clients]
        jobs = [status.id for batch in batches for status in batch]
        for number, job_id in enumerate(jobs):
            clients[number % 2].cancel(job_id)
        until(lambda: len(listening.received) >= len(jobs))
        assert Counter(received.told["data"]["id"] for received in listening.received) == Counter(
            jobs
        )
        assert all(received.genuine for received in listening.received)
        # Both did their part.
        sent = [master.log.count("event=webhook_delivered") for master in farm.masters]
        until(
            lambda: sum(m.log.count("event=webhook_delivered") for m in farm.masters) == len(jobs)
        )
        assert min(sent) > 0
