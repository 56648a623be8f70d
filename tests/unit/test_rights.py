"""Who may do what with an output: the operator says it, and the job that made it does not."""

from __future__ import annotations

import os
import stat
import struct
from pathlib import Path

import pytest

from ffmpeg_worker.rights import STAGING_FOLDER, Rights
from tests.unit.conftest import Make, film, published, refused


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_rights_are_the_operator_s_and_nothing_of_the_job_s_survives(
    tmp_path: Path, attempt: Make
) -> None:
    plan = attempt(
        output=str(tmp_path / "out/a/b/film.mp4"), rights=Rights(0o640, 0o750, os.getegid())
    )
    staged = Path(str(plan.staged))
    os.setxattr(staged, "user.job", b"its own")
    os.setxattr(staged, "user.ffmpeg-job", b"zzzzzzzzzzzz")
    staged.chmod(0o6777)
    assert published(plan)
    final = tmp_path / "out/a/b/film.mp4"
    assert (mode(final), mode(final.parent), mode(final.parents[1])) == (0o640, 0o750, 0o750)
    assert os.listxattr(final) == ["user.ffmpeg-job"]
    assert os.getxattr(final, "user.ffmpeg-job") == b"abcdefghijkl"


@pytest.mark.parametrize("made", [0o6755, 0])
def test_rights_are_those_of_a_new_file_where_nothing_is_set(
    tmp_path: Path, attempt: Make, made: int
) -> None:
    before = os.umask(0o027)
    try:
        plan = attempt(output=str(tmp_path / "out/a/film.mp4"))
        Path(str(plan.staged)).chmod(made)
        assert published(plan)
    finally:
        os.umask(before)
    final = tmp_path / "out/a/film.mp4"
    assert (mode(final), mode(final.parent)) == (0o640, 0o750)


def test_a_staged_file_is_behind_a_closed_door(attempt: Make) -> None:
    plan = attempt()
    assert mode(Path(str(plan.staged)).parent) == 0o700


#: acl(5) as the kernel keeps it (linux/posix_acl_xattr.h): one more account may read and write.
ACL = struct.pack("<I", 2) + b"".join(
    struct.pack("<HHI", tag, may, who)
    for tag, may, who in (
        *((0x01, 6, 0xFFFFFFFF), (0x02, 6, 1234), (0x04, 4, 0xFFFFFFFF)),
        *((0x10, 6, 0xFFFFFFFF), (0x20, 0, 0xFFFFFFFF)),
    )
)
ON_FILE, ON_FOLDER = "system.posix_acl_access", "system.posix_acl_default"


def test_a_job_lets_nobody_else_at_its_output(tmp_path: Path, attempt: Make) -> None:
    plan = attempt()
    os.setxattr(str(plan.staged), ON_FILE, ACL)
    assert published(plan)
    assert ON_FILE not in os.listxattr(film(tmp_path))


def test_a_folder_s_acl_for_new_files_is_the_operator_s(tmp_path: Path, attempt: Make) -> None:
    os.setxattr(tmp_path / "out", ON_FOLDER, ACL)
    plan = attempt(rights=Rights(0o640))
    os.removexattr(str(plan.staged), ON_FILE)
    assert published(plan)
    acl = os.getxattr(film(tmp_path), ON_FILE)
    assert struct.pack("<HHI", 0x02, 6, 1234) in acl
    assert mode(film(tmp_path)) == 0o640  # of the group's, which is then the mask


def test_a_folder_of_ours_that_somebody_opened_is_closed(tmp_path: Path, attempt: Make) -> None:
    folder = tmp_path / "out" / STAGING_FOLDER
    folder.mkdir()
    folder.chmod(0o777)
    attempt()
    assert mode(folder) == 0o700


def test_a_folder_that_another_account_laid_there_is_not_ours(
    tmp_path: Path, attempt: Make
) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a folder away")
    folder = tmp_path / "out" / STAGING_FOLDER
    folder.mkdir()
    os.chown(folder, 1234, 1234)
    assert "another account made" in str(refused(attempt))
