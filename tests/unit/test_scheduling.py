"""Which queued job a worker gets."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ffmpeg_jobs.model import Job, Limits, Machine, Parameters, Priority, Queue
from ffmpeg_master import scheduling
from ffmpeg_master.model import Member, Needs, Waiting

MACHINE = Machine(cpus=4, memory_mb=8192, disk_free_mb=1000, max_concurrent_jobs=2)


def member(name: str = "a", running: int = 0, **more: object) -> Member:
    machine = more.pop("machine", MACHINE)
    assert isinstance(machine, Machine)
    online, draining = bool(more.get("online", True)), bool(more.get("draining", False))
    return Member(name, machine, online, draining, running)


def with_encoders(*encoders: str) -> Machine:
    return Machine(cpus=4, memory_mb=8192, disk_free_mb=1, max_concurrent_jobs=2, encoders=encoders)


@pytest.mark.parametrize(
    ("encoder", "encoders", "fits"),
    [
        ("libx264", (), True),
        ("libx265", ("h264_nvenc",), True),
        ("copy", (), True),
        (None, (), True),
        ("h264_nvenc", (), False),
        ("h264_nvenc", ("hevc_nvenc",), False),
        ("h264_nvenc", ("h264_nvenc",), True),
        ("av1_qsv", (), False),
        ("vp9_vaapi", (), False),
        ("hevc_amf", (), False),
    ],
)
def test_a_hardware_encoder_needs_its_device(
    encoder: str | None, encoders: tuple[str, ...], fits: bool
) -> None:
    needs = scheduling.needs(Job(parameters=Parameters(encoder=encoder)))
    assert scheduling.fits(needs, with_encoders(*encoders)) is fits


@pytest.mark.parametrize(
    ("limits", "fits"),
    [
        (Limits(max_cpu_percent=400, max_memory_mb=8192), True),
        (Limits(max_cpu_percent=800), True),
        (Limits(max_memory_mb=8193), False),
        (Limits(max_cpu_percent=None), True),
        (Limits(), True),  # it gets what there is
    ],
)
def test_a_job_fits_the_machine_that_has_what_it_asks(limits: Limits, fits: bool) -> None:
    assert scheduling.fits(scheduling.needs(Job(resource_limits=limits)), MACHINE) is fits


def test_queue_comes_before_priority() -> None:
    jobs = [Job(queue=queue, priority=priority) for queue in Queue for priority in Priority]
    assert [scheduling.rank(job) for job in jobs] == list(range(9))


def test_the_first_that_fits_is_chosen() -> None:
    waiting = [
        Waiting("gpu", Needs("h264_nvenc")),
        Waiting("one", Needs()),
        Waiting("two", Needs()),
    ]
    assert scheduling.choose(waiting, member(), []) == "one"


@pytest.mark.parametrize(("running", "draining"), [(2, False), (3, False), (0, True)])
def test_a_worker_without_room_gets_nothing(running: int, draining: bool) -> None:
    worker = member(running=running, draining=draining)
    assert scheduling.choose([Waiting("one", Needs())], worker, []) is None


@pytest.mark.parametrize(
    ("other", "chosen"),
    [
        (member("b"), None),
        (member("b", online=False), "one"),
        (member("b", draining=True), "one"),
        (member("b", machine=Machine(1, 128, 1, 1)), "one"),
    ],
)
def test_a_lost_job_goes_elsewhere_if_it_can(other: Member, chosen: str | None) -> None:
    waiting = [Waiting("one", Needs(memory_mb=1024), avoid_worker="a")]
    assert scheduling.choose(waiting, member("a"), [other]) == chosen


def test_nothing_is_read_once_a_job_is_found() -> None:
    waiting = iter([Waiting("one", Needs()), Waiting("two", Needs())])
    assert scheduling.choose(waiting, member(), []) == "one"
    assert next(waiting).job_id == "two"


def test_a_full_worker_that_preempts_gets_live_jobs_only() -> None:
    waiting = [Waiting("batch", Needs()), Waiting("live", Needs(), live=True)]
    full = member(running=2)
    preempting = member(running=2, machine=replace(MACHINE, preempts=True))
    assert scheduling.choose(waiting, full, []) is None
    assert scheduling.choose(waiting, preempting, []) == "live"
    assert scheduling.choose(waiting[:1], preempting, []) is None
    assert scheduling.choose(waiting, replace(preempting, draining=True), []) is None
    assert scheduling.choose(waiting, replace(preempting, running=1), []) == "batch"
    assert (scheduling.most(full), scheduling.most(replace(preempting, running=0))) == (3, 2)
