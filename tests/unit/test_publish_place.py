"""How an output gets its name: whole, at once, in nobody's place, with the operator's rights."""

from __future__ import annotations

import errno
import os
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ffmpeg_jobs.model import Reason
from ffmpeg_worker import jobdir, marks, renaming
from ffmpeg_worker.clean import clean
from ffmpeg_worker.outcome import AttemptError
from ffmpeg_worker.publish import publish_file
from ffmpeg_worker.staging import forget
from tests.unit.conftest import Make, film, published, refused, surely
from tests.unit.test_plan import CONFIG


def test_a_file_gets_its_name_at_once_and_a_repeat_is_harmless(
    tmp_path: Path, attempt: Make
) -> None:
    plan = attempt()
    assert published(plan)
    assert film(tmp_path).read_bytes() == b"new"
    film(tmp_path).unlink()  # whoever waited for it took it away
    assert published(plan)
    forget(plan)
    assert list((tmp_path / "out").iterdir()) == []


def test_a_lease_that_ran_out_at_the_last_moment(tmp_path: Path, attempt: Make) -> None:
    """The disk kept the mark waiting, or the machine slept there."""
    plan = attempt()
    assert not publish_file(plan, lambda: not jobdir.was_delivered(plan), pauses_seconds=())
    assert not film(tmp_path).exists()
    assert published(plan)


def test_an_output_that_vanished_is_not_there(tmp_path: Path, attempt: Make) -> None:
    plan = attempt()
    Path(str(plan.staged)).unlink()
    assert "No such file" in str(refused(lambda: published(plan)))


def test_what_was_there_before_stays(tmp_path: Path, attempt: Make) -> None:
    film(tmp_path).write_bytes(b"old")
    refusal = refused(attempt)
    assert refusal.final
    assert str(refusal).startswith(f"output: {film(tmp_path)} is there already")
    assert film(tmp_path).read_bytes() == b"old"


def test_what_came_while_it_was_encoded_stays(tmp_path: Path, attempt: Make) -> None:
    plan = attempt()
    film(tmp_path).write_bytes(b"old")
    assert refused(lambda: published(plan)).final
    assert film(tmp_path).read_bytes() == b"old"


@pytest.mark.parametrize("before", [b"old", None])
def test_who_says_overwrite_replaces_it(
    tmp_path: Path, attempt: Make, before: bytes | None
) -> None:
    if before is not None:
        film(tmp_path).write_bytes(before)
    assert published(attempt(overwrite=True))
    assert film(tmp_path).read_bytes() == b"new"


@pytest.mark.parametrize("marked", [True, False])
def test_a_retry_replaces_what_its_own_job_made_and_nothing_else(
    tmp_path: Path, attempt: Make, monkeypatch: pytest.MonkeyPatch, marked: bool
) -> None:
    """Its first worker crashed between the name and the report; another machine goes on."""
    if not marked:  # a volume without extended attributes
        monkeypatch.setattr(os, "setxattr", no_attributes)
    assert published(attempt())
    first = film(tmp_path).stat().st_ino
    again = attempt(2)
    assert published(again)
    assert film(tmp_path).stat().st_ino != first
    assert not Path(str(again.staged)).exists()
    assert refused(lambda: attempt(1, "bcdefghijkla")).final
    third = attempt(3)
    film(tmp_path).unlink()
    film(tmp_path).write_bytes(b"somebody's")
    assert refused(lambda: published(third)).final
    assert film(tmp_path).read_bytes() == b"somebody's"


def no_attributes(*_: object, **_named: object) -> None:
    raise OSError(errno.EOPNOTSUPP, "Operation not supported")


def test_another_s_file_that_slips_in_is_put_back(
    tmp_path: Path, attempt: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert published(attempt())
    again = attempt(2)

    def slip_in(one: renaming.Name, other: renaming.Name) -> bool:
        monkeypatch.setattr(marks, "exchange", renaming.exchange)
        film(tmp_path).unlink()
        film(tmp_path).write_bytes(b"somebody's")
        return renaming.exchange(one, other)

    monkeypatch.setattr(marks, "exchange", slip_in)
    assert refused(lambda: published(again)).final
    assert film(tmp_path).read_bytes() == b"somebody's"


@pytest.mark.parametrize("links", [True, False])
def test_a_volume_that_knows_no_flags(
    tmp_path: Path, attempt: Make, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    monkeypatch.setattr(renaming, "_renameat2", lambda *_: False)
    if not links:
        monkeypatch.setattr(os, "link", no_attributes)
    plan = attempt()
    film(tmp_path).write_bytes(b"old")
    assert refused(lambda: published(plan)).final
    film(tmp_path).unlink()
    assert published(plan)
    assert published(attempt(2))
    assert (film(tmp_path).read_bytes(), film(tmp_path).stat().st_nlink) == (b"new", 1)


@pytest.mark.parametrize("overwrite", [None, True])
@pytest.mark.parametrize("way", ["path", "link", "hard link", "other spelling"])
def test_an_input_is_not_its_own_output(
    tmp_path: Path, attempt: Make, way: str, overwrite: bool | None
) -> None:
    source, place = tmp_path / "out/in.mp4", film(tmp_path)
    source.write_bytes(b"film")
    if way == "link":
        place.symlink_to(source)
    elif way == "hard link":
        place.hardlink_to(source)
    elif way == "other spelling":
        (tmp_path / "out/again").symlink_to(".")
        place = tmp_path / "out/again/in.mp4"
    else:
        place = source
    refusal = refused(lambda: attempt(input=str(source), output=str(place), overwrite=overwrite))
    assert refusal.final
    assert "is the same file as the input" in str(refusal)
    assert source.read_bytes() == b"film"


def test_a_folder_is_no_output(tmp_path: Path, attempt: Make) -> None:
    film(tmp_path).mkdir()
    assert "is a folder" in str(refused(lambda: attempt(overwrite=True)))


def test_a_passing_trouble_of_the_volume_is_waited_out(
    tmp_path: Path, attempt: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    troubles = iter([errno.EIO, errno.EROFS, errno.ENOSPC])

    def fail(source: renaming.Name, target: renaming.Name) -> None:
        number = next(troubles, None)
        if number is None:
            renaming.take(source, target)
            return
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(marks, "take", fail)
    plan = attempt()
    assert publish_file(plan, surely, pauses_seconds=(0, 0, 0))
    assert film(tmp_path).read_bytes() == b"new"


def test_what_no_waiting_brings_back_is_not_waited_for(attempt: Make) -> None:
    plan = attempt()
    Path(str(plan.staged)).unlink()
    assert not refused(lambda: publish_file(plan, surely, pauses_seconds=(600,))).final


def test_whoever_wants_its_end_ends_the_waiting(
    attempt: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(marks, "take", fail)
    stop = threading.Event()
    stop.set()
    with pytest.raises(AttemptError) as refusal:
        publish_file(attempt(), surely, stop, pauses_seconds=(600,))
    assert refusal.value.reason is Reason.CANCELED


def test_an_attempt_that_came_to_nothing_leaves_no_folder(tmp_path: Path, attempt: Make) -> None:
    (tmp_path / "out/kept").mkdir()
    plan = attempt(output=str(tmp_path / "out/kept/a/b/film.mp4"))
    assert (tmp_path / "out/kept/a/b").is_dir()
    forget(plan)
    assert [path.name for path in (tmp_path / "out").rglob("*")] == ["kept"]
    assert not Path(plan.directory).exists()


def test_an_input_that_is_missing_makes_no_folder(tmp_path: Path, attempt: Make) -> None:
    with pytest.raises(AttemptError, match="input: cannot read"):
        attempt(input=str(tmp_path / "gone.mp4"), output=str(tmp_path / "out/a/film.mp4"))
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(
    "place",
    ["loop/film.mp4", "a/" * 1990 + "film.mp4", "x" * 256, "in/film"],
    ids=["loop", "deep", "long", "below a file"],
)
@pytest.mark.parametrize("field", ["input", "output"])
def test_a_path_that_leads_nowhere_is_no_crash(
    tmp_path: Path, attempt: Make, field: str, place: str
) -> None:
    (tmp_path / "out/loop").symlink_to("loop")
    (tmp_path / "out/in").write_bytes(b"film")
    with pytest.raises(AttemptError) as refusal:
        published(attempt(**{field: f"{tmp_path}/out/{place}"}))
    assert refusal.value.reason.value == f"{field}_error"
    assert len(str(refusal.value)) < 10_000


def test_what_a_read_only_volume_kept_is_removed_by_the_next_cleaning(
    tmp_path: Path, attempt: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, unlink = attempt(output=str(tmp_path / "out/a/film.mp4")), os.unlink

    def read_only(path: Any, **where: Any) -> None:
        if "dir_fd" in where:
            raise OSError(errno.EROFS, "Read-only file system")
        unlink(path)

    monkeypatch.setattr(os, "unlink", read_only)
    forget(plan)
    monkeypatch.undo()
    staged, directory = Path(str(plan.staged)), Path(plan.directory)
    assert staged.exists()
    assert jobdir.recorded(directory.parent) == []  # it is over, and nobody goes on with it
    config = replace(CONFIG, state_directory=tmp_path / "state", output_roots=(tmp_path / "out",))
    assert clean(config) == [directory]
    assert list((tmp_path / "out").iterdir()) == []
    assert not directory.exists()
