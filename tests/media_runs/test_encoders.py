"""Which encoders really work on this machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from ffmpeg_worker.encoders import probe_encoders

IN_SOFTWARE = {"libx264", "libx265", "libsvtav1", "libaom-av1", "libvpx", "libvpx-vp9", "ffv1"}


def test_debian_s_encoders_in_software_and_no_device_that_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = tmp_path / "encoders.json"
    found = probe_encoders(memory)
    assert set(found) >= IN_SOFTWARE
    # The same ffmpeg is not asked to prove it again; another one would be.
    (tmp_path / "bwrap").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "bwrap").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert probe_encoders(memory) == found
    memory.write_text(memory.read_text().replace('"version": "', '"version": "other'))
    assert probe_encoders(memory) == ()
    if not Path("/dev/dri/renderD128").exists():
        assert not [name for name in found if name.endswith(("_vaapi", "_qsv", "_amf"))]
    if not Path("/dev/nvidia0").exists():
        assert not [name for name in found if name.endswith("_nvenc")]


def test_an_encoder_that_fails_is_not_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Lists what it cannot do, as ffmpeg does where a device or a library is missing.
    fake = tmp_path / "ffmpeg"
    fake.write_text("#!/bin/sh\necho ' V..... libx264 H.264'\necho ' V..... mpeg5 other'\n")
    fake.chmod(0o755)
    (tmp_path / "bwrap").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "bwrap").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert probe_encoders(tmp_path / "encoders.json") == ()


def test_no_ffmpeg_no_encoders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert probe_encoders(tmp_path / "encoders.json") == ()


def test_a_try_that_somebody_ends_says_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = tmp_path / "encoders.json"
    found = probe_encoders(memory)
    for program in ("ffmpeg", "bwrap"):
        stopped = tmp_path / program / program
        stopped.parent.mkdir()
        stopped.write_text("#!/bin/sh\nkill -TERM $$\n")
        stopped.chmod(0o755)
        monkeypatch.setenv("PATH", f"{stopped.parent}:/usr/bin:/bin")
        with pytest.raises(InterruptedError):
            probe_encoders(memory, afresh=True)
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    assert probe_encoders(memory) == found
