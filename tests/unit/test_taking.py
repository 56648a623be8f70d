"""What an earlier attempt published is known by a mark that nobody else can set for it."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from ffmpeg_jobs.model import Claim, Job
from ffmpeg_worker import jobdir
from ffmpeg_worker.holder import SINK
from ffmpeg_worker.marks import ATTRIBUTE
from ffmpeg_worker.outcome import AttemptError
from ffmpeg_worker.plan import Plan, make_plan
from ffmpeg_worker.prepare import prepare
from ffmpeg_worker.publish import publish_file
from ffmpeg_worker.taking import is_in_place, made_before, refuse, stage
from tests.unit.test_plan import CONFIG

ID = "abcdefghijkl"


def mark(file: Path, job_id: str) -> None:
    with suppress(OSError):
        os.setxattr(file, ATTRIBUTE, job_id.encode(), follow_symlinks=False)


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """Of a second attempt; the first one's output is in its place."""
    output = tmp_path / "out.mp4"
    output.write_bytes(b"whole")
    mark(output, ID)
    if ATTRIBUTE not in os.listxattr(output):
        pytest.skip("no user.* attributes on this file system")
    claim = Claim(ID, 2, "t" * 32, 60.0, Job(input=str(tmp_path / "gone"), output=str(output)))
    roots = (tmp_path,)
    config = replace(CONFIG, state_directory=tmp_path, input_roots=roots, output_roots=roots)
    made = make_plan(claim, config)
    jobdir.record(made)
    return made


def test_what_the_job_made_before_is_read_without_its_input(tmp_path: Path, plan: Plan) -> None:
    taking = made_before(plan)
    assert (taking.takes, taking.source, taking.fetch_from) == (True, None, None)
    assert jobdir.reopen(Path(plan.directory)) == taking
    bound = taking.run[taking.run.index("/output") - 2 : taking.run.index("/output")]
    assert bound == ("--ro-bind-fd", str(SINK))
    sink = stage(taking)
    assert os.path.samestat(os.fstat(sink), (tmp_path / "out.mp4").stat())
    os.close(sink)
    assert is_in_place(taking)
    before = (tmp_path / "out.mp4").stat()
    assert publish_file(taking, lambda: True)
    assert os.path.samestat(before, (tmp_path / "out.mp4").stat())


def first(plan: Plan) -> Plan:
    return replace(plan, claim=replace(plan.claim, attempt=1))


def of_another_job(plan: Plan) -> Plan:
    mark(Path(str(plan.publish_to)), "lkjihgfedcba")
    return plan


def through_a_link(plan: Plan) -> Plan:
    final = Path(str(plan.publish_to))
    final.rename(final.with_name("elsewhere"))
    final.symlink_to(final.with_name("elsewhere"))
    return plan


def gone(plan: Plan) -> Plan:
    Path(str(plan.publish_to)).unlink()
    return plan


def of_another_account(plan: Plan) -> Plan:
    if os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    os.chown(str(plan.publish_to), 12345, -1)
    return plan


@pytest.mark.parametrize("other", [first, of_another_job, through_a_link, gone, of_another_account])
def test_nothing_else_is_taken(plan: Plan, other: object) -> None:
    assert callable(other)
    asked: Plan = other(plan)
    assert made_before(asked) is asked


def test_a_job_cannot_mark_its_output_as_another_s(tmp_path: Path, plan: Plan) -> None:
    staged = Path(str(plan.staged))
    staged.parent.mkdir(mode=0o700)
    staged.write_bytes(b"mine")
    mark(staged, "lkjihgfedcba")
    assert publish_file(plan, lambda: True)
    assert os.getxattr(tmp_path / "out.mp4", ATTRIBUTE) == ID.encode()


def test_what_cannot_be_taken_is_made_anew(plan: Plan) -> None:
    taking = made_before(plan)
    Path(str(plan.publish_to)).rename(Path(str(plan.publish_to)).with_name("moved"))
    with pytest.raises(AttemptError) as refusal:
        stage(taking)
    assert refusal.value.stopped_by == "untaken"
    assert made_before(plan) is plan


def test_what_was_replaced_meanwhile_is_not_in_its_place(plan: Plan) -> None:
    taking = made_before(plan)
    os.close(stage(taking))
    final = Path(str(plan.publish_to))
    final.with_name("new").write_bytes(b"new")
    final.with_name("new").rename(final)
    assert not is_in_place(taking)


def test_what_was_refused_is_not_taken_again_but_replaced(tmp_path: Path, plan: Plan) -> None:
    refuse(plan)
    assert made_before(plan) is plan
    with prepare(replace(plan, source=None), threading.Event()):
        Path(str(plan.staged)).write_bytes(b"anew")
    assert publish_file(plan, lambda: True)
    assert (tmp_path / "out.mp4").read_bytes() == b"anew"
