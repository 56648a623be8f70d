"""The certificates that ``ffmpeg-master init-tls`` makes."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.api.test_tls import init_tls


def names(certificate: Path) -> list[str]:
    """What it is for, in OpenSSL's words."""
    command = ["openssl", "x509", "-in", str(certificate), "-noout", "-ext", "subjectAltName"]
    shown: str = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return shown.splitlines()[1].strip().split(", ")


def test_what_is_made_is_private_and_never_overwritten(tmp_path: Path) -> None:
    assert init_tls(tmp_path, "--host", "jobs.example", "--days", "30").returncode == 0
    files = {file.name: file for file in (tmp_path / "tls").iterdir()}
    modes = {name: file.stat().st_mode & 0o777 for name, file in files.items()}
    assert modes == {"ca.key": 0o600, "ca.pem": 0o644, "server.key": 0o600, "server.pem": 0o644}
    before = {name: file.read_bytes() for name, file in files.items()}
    again = init_tls(tmp_path)
    assert again.returncode == 1
    assert "is there already" in again.stderr
    assert {name: file.read_bytes() for name, file in files.items()} == before
    assert init_tls(tmp_path, "--renew", "--host", "jobs.example").returncode == 0
    after = {name: file.read_bytes() for name, file in files.items()}
    same = {name for name in files if before[name] == after[name]}
    assert same == {"ca.key", "ca.pem"}
    assert names(tmp_path / "tls/server.pem") == ["DNS:jobs.example"]
    assert init_tls(tmp_path, "--renew", "--host", "::1", "--host", "*.b.example").returncode == 0
    assert init_tls(tmp_path, "--renew").returncode == 0
    assert names(tmp_path / "tls/server.pem") == ["IP Address:0:0:0:0:0:0:0:1", "DNS:*.b.example"]
    refused = init_tls(tmp_path, "--renew", "--host", "a, DNS:b")
    assert (refused.returncode, '"a, DNS:b" is not the name' in refused.stderr) == (1, True)
