"""Which queued job a worker gets."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ffmpeg_jobs.model import Job, Limits, Machine, Parameters, Priority, Queue
from ffmpeg_master import scheduling
from ffmpeg_master.model import Member, Needs, Use, Waiting

MACHINE = Machine(cpus=4, memory_mb=8192, disk_free_mb=1000, max_concurrent_jobs=2)
ORDER = scheduling.Order()
NOW = 100_000.0
HOUR = 3600.0


def chosen_id(*args: Any) -> str | None:
    """The id of the job that is chosen."""
    job = scheduling.choose(*args).job
    return None if job is None else job.job_id


def member(name: str = "a", running: int = 0, **more: object) -> Member:
    machine = more.pop("machine", MACHINE)
    assert isinstance(machine, Machine)
    online, draining = bool(more.get("online", True)), bool(more.get("draining", False))
    return Member(name, machine, online, draining, (Needs(),) * running)


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


@pytest.mark.parametrize(
    ("required", "enforced", "fits"),
    [
        (True, ("cpu", "memory", "pids", "io"), True),
        (True, ("cpu", "memory", "pids"), True),
        (True, ("memory", "pids"), False),
        (True, (), False),
        (False, (), True),
        (None, (), True),  # as the worker is configured
    ],
)
def test_a_job_that_must_be_held_to_its_limits_needs_a_kernel_that_does(
    required: bool | None, enforced: tuple[str, ...], fits: bool
) -> None:
    needs = scheduling.needs(Job(require_enforcement=required))
    assert scheduling.fits(needs, replace(MACHINE, enforced=enforced)) is fits


@pytest.mark.parametrize(("required", "fits"), [(None, False), (False, True), (True, False)])
def test_a_worker_that_requires_enforcement_gets_only_what_it_would_not_refuse(
    required: bool | None, fits: bool
) -> None:
    needs = scheduling.needs(Job(require_enforcement=required))
    strict = replace(MACHINE, enforced=("memory",), require_enforcement=True)
    assert scheduling.fits(needs, strict) is fits


@pytest.mark.parametrize(
    ("job", "words"),
    [
        (Job(), "room: 1 of 1 workers could run it"),
        (
            Job(worker_labels={"zone": "b"}, resource_limits=Limits(max_memory_mb=9000)),
            "a worker with the label zone=b and 9000 MiB of memory",
        ),
        (Job(require_enforcement=True), "a worker with a kernel that enforces its limits"),
        (
            Job(parameters=Parameters(encoder="h264_nvenc")),
            "a worker with the encoder h264_nvenc",
        ),
        (
            Job(input="/mnt/a/x/in.mp4", output="/mnt/b/out.mp4"),
            "a worker with /mnt/b among its output_roots",
        ),
    ],
)
def test_what_a_job_waits_for_is_said(job: Job, words: str) -> None:
    here = replace(MACHINE, input_roots=("/mnt/a",), output_roots=("/mnt/a",))
    away, leaving = member("away", online=False), member("leaving", draining=True)
    fleet = [member(machine=here), away, leaving]
    assert scheduling.waits_for(scheduling.needs(job), fleet) == words
    nobody = scheduling.waits_for(scheduling.needs(job), fleet[1:])
    assert nobody == "a worker: none is online that takes jobs"


def test_queue_comes_before_priority() -> None:
    jobs = [Job(queue=queue, priority=priority) for queue in Queue for priority in Priority]
    assert [scheduling.rank(job) for job in jobs] == list(range(9))


def test_the_first_that_fits_is_chosen() -> None:
    waiting = [
        Waiting("gpu", Needs("h264_nvenc")),
        Waiting("one", Needs()),
        Waiting("two", Needs()),
    ]
    assert chosen_id(waiting, member(), list, ORDER) == "one"


@pytest.mark.parametrize(("running", "draining"), [(2, False), (3, False), (0, True)])
def test_a_worker_without_room_gets_nothing(running: int, draining: bool) -> None:
    worker = member(running=running, draining=draining)
    assert chosen_id([Waiting("one", Needs())], worker, list, ORDER) is None


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
    assert chosen_id(waiting, member("a"), lambda: [other], ORDER) == chosen


def test_nothing_is_read_once_a_job_is_found() -> None:
    waiting = iter([Waiting("one", Needs()), Waiting("two", Needs())])
    assert chosen_id(waiting, member(), list, ORDER) == "one"
    assert next(waiting).job_id == "two"


def test_a_full_worker_that_preempts_gets_live_jobs_only() -> None:
    waiting = [Waiting("batch", Needs()), Waiting("live", Needs(), live=True)]
    full = member(running=2)
    preempting = member(running=2, machine=replace(MACHINE, preempts=True, disk_free_mb=15000))
    assert chosen_id(waiting, full, list, ORDER) is None
    assert chosen_id(waiting, preempting, list, ORDER) == "live"
    assert chosen_id(waiting[:1], preempting, list, ORDER) is None
    assert chosen_id(waiting, replace(preempting, draining=True), list, ORDER) is None
    assert (
        chosen_id(waiting, replace(preempting, running=(Needs(),)), list, scheduling.Order())
        == "batch"
    )


@pytest.mark.parametrize(
    ("asked", "chosen"),
    [
        (Needs(cpu_percent=400, memory_mb=1192, disk_mb=400), "live"),
        (Needs(cpu_percent=400, memory_mb=1193, disk_mb=400), None),
        (Needs(cpu_percent=400, memory_mb=1192, disk_mb=401), None),
    ],
)
@pytest.mark.parametrize("slots", [1, 2])
def test_what_gives_way_to_live_jobs_leaves_its_cpu_only(
    slots: int, asked: Needs, chosen: str | None
) -> None:
    machine = replace(MACHINE, preempts=True, max_concurrent_jobs=slots)
    runs = Needs(cpu_percent=400, memory_mb=7000, disk_mb=600)
    worker = replace(member(machine=machine), running=(runs,))
    assert chosen_id([Waiting("live", asked, live=True)], worker, list, ORDER) == chosen


@pytest.mark.parametrize(
    ("runs", "asked", "has_room"),
    [
        ((), Needs(cpu_percent=80000), True),  # a CPU limit alone never asks too much
        ((Needs(cpu_percent=800),), Needs(), False),
        ((Needs(cpu_percent=200),), Needs(cpu_percent=200), True),
        ((Needs(cpu_percent=200),), Needs(cpu_percent=201), False),
        ((Needs(),), Needs(), True),  # each its place's part
        ((Needs(memory_mb=4096),), Needs(memory_mb=4096), True),
        ((Needs(memory_mb=4096),), Needs(memory_mb=4097), False),
        ((Needs(memory_mb=7000),), Needs(), False),
        ((Needs(disk_mb=600),), Needs(disk_mb=400), True),
        ((Needs(disk_mb=600),), Needs(disk_mb=401), False),
    ],
)
def test_limits_of_what_runs_leave_the_rest(
    runs: tuple[Needs, ...], asked: Needs, has_room: bool
) -> None:
    worker = replace(member(machine=replace(MACHINE, max_concurrent_jobs=4)), running=runs)
    if asked == Needs():
        worker = replace(worker, machine=MACHINE)
    assert scheduling.has_room(asked, worker) is has_room


def test_what_jobs_may_have_goes_before_what_the_machine_has() -> None:
    shared = replace(MACHINE, jobs_cpu_percent=300, jobs_memory_mb=1000, jobs_disk_mb=50)
    assert scheduling.has(shared) == Use(300, 1000, 50)
    assert not scheduling.fits(Needs(memory_mb=1001), shared)
    assert not scheduling.fits(Needs(disk_mb=51), shared)


@pytest.mark.parametrize(
    ("labels", "fits"), [({}, False), ({"zone": "b"}, False), ({"zone": "a", "gpu": "1"}, True)]
)
def test_a_job_goes_where_the_labels_are(labels: dict[str, str], fits: bool) -> None:
    asked = scheduling.needs(Job(worker_labels={"zone": "a"}))
    assert scheduling.fits(asked, replace(MACHINE, labels=labels)) is fits


@pytest.mark.parametrize(
    ("place", "fits"),
    [
        (None, True),
        ("https://cdn.example/in.mp4", True),
        ("rtmp://live.example/a", True),
        ("/mnt/a/in.mp4", True),
        ("/mnt/a/deep/er/in.mp4", True),
        ("/mnt/a/../a/in.mp4", True),
        ("/mnt/a/../b/in.mp4", False),
        ("/mnt/ab/in.mp4", False),
        ("/mnt/in.mp4", False),
        ("/mnt/a", False),
    ],
)
def test_a_job_goes_where_its_folders_are(place: str | None, fits: bool) -> None:
    here = replace(MACHINE, input_roots=("/srv", "/mnt/a"), output_roots=("/srv",))
    assert scheduling.fits(scheduling.needs(Job(input=place)), here) is fits
    there = replace(MACHINE, input_roots=("/srv",), output_roots=("/mnt/a",))
    assert scheduling.fits(scheduling.needs(Job(output=place)), there) is fits
    # Who does not tell, as a worker of an earlier version, gets what comes.
    assert scheduling.fits(scheduling.needs(Job(input=place, output=place)), MACHINE)


def test_a_worker_without_folders_gets_what_needs_none() -> None:
    bare = replace(MACHINE, input_roots=(), output_roots=())
    assert scheduling.fits(scheduling.needs(Job()), bare)
    assert not scheduling.fits(scheduling.needs(Job(input="/mnt/a/in.mp4")), bare)


def test_jobs_of_one_volume_wait_in_one_line() -> None:
    def line(place: str) -> str:
        return scheduling.line(4, "eve", scheduling.needs(Job(input=place)))

    assert line("/mnt/a/1/in.mp4") == line("/mnt/a/2/x/in.mp4") == line("/mnt/a/in.mp4")
    assert len({line("/mnt/a/in.mp4"), line("/mnt/b/in.mp4"), line("https://a.example/b")}) == 3


def test_who_is_held_back_gets_nothing() -> None:
    held_back = replace(member(), held_back=True)
    assert chosen_id([Waiting("one", Needs())], held_back, list, ORDER) is None


def waits(job_id: str, rank: int, hours: float = 0, submitter: str = "") -> Waiting:
    since = NOW - hours * HOUR
    return Waiting(job_id, Needs(), None, rank < 3, rank, since, submitter, int(since))


def ordered(*jobs: Waiting, **more: Any) -> list[str]:
    order = scheduling.Order(NOW, HOUR, **more)
    return [job.job_id for job in sorted(jobs, key=scheduling.urgency(order))]


def test_rank_then_age() -> None:
    jobs = waits("batch", 7, 0.5), waits("new", 4), waits("old", 4, 0.5), waits("live", 1)
    assert ordered(*jobs) == ["live", "old", "new", "batch"]


def test_waiting_raises_the_rank_but_not_over_live_jobs() -> None:
    assert ordered(waits("low", 5, 1.5), waits("medium", 4)) == ["low", "medium"]
    assert ordered(waits("batch", 8, 4.5), waits("default", 4)) == ["batch", "default"]
    assert ordered(waits("batch", 8, 500), waits("live", 2)) == ["live", "batch"]


def test_now_and_then_who_waits_longest_goes_first() -> None:
    assert ordered(waits("batch", 8, 2), waits("live", 0), oldest_first=True) == ["batch", "live"]


def test_keys_share_by_weight_whatever_their_jobs_say_of_themselves() -> None:
    jobs = waits("a", 3, 0.9, "ada"), waits("b", 5, 0, "bob")
    assert ordered(*jobs, held={"ada": 400, "bob": 300}) == ["b", "a"]
    assert ordered(*jobs, held={"ada": 400, "bob": 300}, weights={"ada": 2}) == ["a", "b"]
    assert ordered(waits("live", 2, 0, "ada"), waits("b", 3, 0, "bob"), held={"ada": 999}) == [
        "live",
        "b",
    ]


def test_later_in_a_line_is_never_sooner() -> None:
    line = [waits(str(n), 8, 30 - n / 4) for n in range(120)]
    for oldest_first in (False, True):
        assert ordered(*reversed(line), oldest_first=oldest_first) == [job.job_id for job in line]


def test_small_jobs_pass_a_big_one_only_for_a_while() -> None:
    busy = replace(member(), running=(Needs(memory_mb=2048),))
    big, small = waits("big", 4), Waiting("small", Needs(memory_mb=512))
    big = replace(big, needs=Needs(memory_mb=8000))
    order = scheduling.Order(NOW, HOUR)
    assert chosen_id([big, small], busy, list, order) == "small"
    late = replace(big, since_seconds=NOW - HOUR)
    assert chosen_id([late, small], busy, list, order) is None
    assert chosen_id([late, replace(small, live=True)], busy, list, order) == "small"
    assert chosen_id([late, small], member(), list, order) == "big"


def test_one_worker_alone_keeps_room_for_a_big_job() -> None:
    farm = [replace(member(name), running=(Needs(memory_mb=2048),)) for name in "abcdef"]
    late = replace(waits("big", 4, 2), needs=Needs(memory_mb=8000))
    small = Waiting("small", Needs(memory_mb=512))
    order = scheduling.Order(NOW, HOUR)
    chosen = []
    for one in farm:
        rest = [other for other in farm if other != one]
        chosen.append(chosen_id([late, small], one, rest.copy, order))
    assert sorted(map(str, chosen)) == ["None"] + ["small"] * 5


@pytest.mark.parametrize(
    ("folder", "fits"),
    [
        ("/srv/in/studio", True),
        ("/srv/in/studio/films", True),
        ("/srv/in", False),
        ("/srv/other/studio", False),
    ],
)
def test_a_root_for_each_tenant_has_the_folders_of_all(folder: str, fits: bool) -> None:
    """Which is whose its worker knows."""
    machine = replace(MACHINE, input_roots=("/srv/in/{tenant}",))
    assert scheduling.fits(Needs(input_folder=folder), machine) is fits


def test_a_job_is_left_for_another_worker_only_while_it_has_a_place() -> None:
    job = Waiting("a", Needs(), avoid_worker="a")
    for running, expected in ((0, None), (MACHINE.max_concurrent_jobs, "a")):
        other = member("b", running)
        assert chosen_id([job], member(), lambda other=other: [other], ORDER) == expected
