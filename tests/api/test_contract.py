"""schemathesis asks a real master whatever its description allows, and what it does not."""

from __future__ import annotations

import subprocess
import sys
from base64 import b64encode
from pathlib import Path

import pytest

from ffmpeg_jobs.model import Role
from ffmpeg_master import config
from ffmpeg_master.master import open_master
from tests.api.conftest import ROOT, Launch, add_key

SCHEMATHESIS = Path(sys.prefix) / "schemathesis/bin/schemathesis"
#: It draws requests until then: what every field allows at most and not any more, what chance
#: finds, and requests that follow from answers.
SECONDS = 45
#: Not ignored_auth: who shows as many wrong keys as it does is slowed down. Not
#: positive_data_acceptance: see schemathesis.toml.
CHECKS = (
    *("not_a_server_error", "status_code_conformance", "content_type_conformance"),
    *("response_headers_conformance", "response_schema_conformance", "negative_data_rejection"),
    *("missing_required_header", "unsupported_method", "allow_header_conformance"),
    *("use_after_free", "ensure_resource_availability"),
)


def _key(url: str) -> str:
    """An admin's, in the database that the master has made already."""
    opened = open_master(config.read(None, {"database": url}, {}))
    secret = add_key(opened, "admin", Role.ADMIN)
    opened.wakeup.close()
    opened.store.close()
    return secret


@pytest.mark.skipif(not SCHEMATHESIS.exists(), reason="needs what packaging/setup installs")
@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_every_answer_is_as_described(launch: Launch, url: str, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("whsec_" + b64encode(bytes(32)).decode() + "\n")
    (tmp_path / "secret").chmod(0o600)
    webhooks = f'[webhooks]\nsecret_file = "{tmp_path}/secret"\n'
    master = launch(webhooks, FFMPEG_MASTER_DATABASE=url).ready()
    run = subprocess.run(
        [
            *(SCHEMATHESIS, "--config-file", ROOT / "tests/api/schemathesis.toml", "--no-color"),
            *("run", f"{master.url}/openapi.json", "--checks", ",".join(CHECKS)),
            *("--header", f"Authorization: Bearer {_key(url)}"),
            *("--max-time", str(SECONDS), "--max-examples", "20", "--request-timeout", "20"),
        ],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=5 * SECONDS,
    )
    assert run.returncode == 0, run.stdout[-20_000:] + run.stderr
    assert "request_failed" not in master.log
