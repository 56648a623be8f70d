"""Which room may import which: downwards only, and the pure ones nothing that acts."""

from __future__ import annotations

import graphlib
import subprocess
import sys

import pytest

from tests.style.tree import PRODUCT, ROOT, Module, modules

OURS = {module.name: module for module in modules(*PRODUCT)}

#: They decide; they read, write, wait for and ask nothing.
PURE = (
    "ffmpeg_jobs.model",
    "ffmpeg_jobs.model.attempt",
    "ffmpeg_jobs.model.audit",
    "ffmpeg_jobs.model.fleet",
    "ffmpeg_jobs.model.job",
    "ffmpeg_jobs.model.tenant",
    "ffmpeg_jobs.contract",
    "ffmpeg_jobs.contract.attempt",
    "ffmpeg_jobs.contract.audit",
    "ffmpeg_jobs.contract.fleet",
    "ffmpeg_jobs.contract.job",
    "ffmpeg_jobs.contract.tenant",
    "ffmpeg_jobs.contract.words",
    "ffmpeg_jobs.schema",
    "ffmpeg_jobs.problems",
    "ffmpeg_worker.admission",
    "ffmpeg_worker.capacity",
    "ffmpeg_worker.rules",
    "ffmpeg_worker.plan",
    "ffmpeg_worker.preemption",
    "ffmpeg_worker.command",
    "ffmpeg_worker.roots",
    "ffmpeg_worker.sandbox",
    "ffmpeg_worker.limits",
    "ffmpeg_worker.outcome",
    "ffmpeg_worker.progress",
    "ffmpeg_worker.terms",
    "ffmpeg_jobs.destination",
    "ffmpeg_master.origin",
    "ffmpeg_master.scheduling",
    "ffmpeg_master.tenancy",
    "ffmpeg_master.store.transitions",
)
ACTING = (
    *("os", "subprocess", "socket", "threading", "asyncio", "shutil", "tempfile", "time"),
    *("requests", "dbus_next", "pystemd", "sqlalchemy", "falcon", "gevent", "gunicorn"),
)


def inner_imports(module: Module) -> set[str]:
    """Modules of ours that the module imports."""
    return {name for name in module.imports() if name in OURS and name != module.name}


@pytest.mark.parametrize("name", sorted(OURS))
def test_worker_and_master_never_meet(name: str) -> None:
    sides = {"ffmpeg_worker": "ffmpeg_master", "ffmpeg_master": "ffmpeg_worker"}
    package = name.partition(".")[0]
    forbidden = (sides[package],) if package in sides else tuple(sides)
    assert not {i for i in OURS[name].imports() if i.partition(".")[0] in forbidden}


def test_no_two_modules_import_each_other() -> None:
    packages = {name for name in OURS if OURS[name].path.name == "__init__.py"}
    graph = {name: inner_imports(module) - packages for name, module in OURS.items()}
    graphlib.TopologicalSorter(graph).prepare()


@pytest.mark.parametrize("name", PURE)
def test_who_decides_does_not_act(name: str) -> None:
    acting = {i for i in OURS[name].imports() if i.partition(".")[0] in ACTING}
    assert not acting


def test_the_holder_stands_alone() -> None:
    holder = OURS["ffmpeg_worker.holder"]
    foreign = {i.partition(".")[0] for i in holder.imports()} - set(sys.stdlib_module_names)
    assert foreign == set()
    command = [sys.executable, "-I", "-S", str(holder.path), "/nonexistent"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    assert b"No such file or directory: '/nonexistent/" in done.stderr


def test_the_nursery_stands_alone() -> None:
    nursery = OURS["ffmpeg_worker.nursery"]
    foreign = {i.partition(".")[0] for i in nursery.imports()} - set(sys.stdlib_module_names)
    assert foreign == set()


def test_the_launcher_knows_little_of_us() -> None:
    seen: set[str] = set()
    todo = {"ffmpeg_worker.launcher"}
    while todo:
        name = todo.pop()
        seen.add(name)
        todo |= inner_imports(OURS[name]) - seen
    assert seen - {"ffmpeg_worker", "ffmpeg_jobs"} == {
        "ffmpeg_worker.launcher",
        "ffmpeg_worker.authority",
        "ffmpeg_worker.bus",
        "ffmpeg_worker.firewall",
        "ffmpeg_worker.limits",
        "ffmpeg_worker.pidfd",
        "ffmpeg_worker.calls",
        "ffmpeg_worker.scopes",
        "ffmpeg_jobs.daemon",
        "ffmpeg_jobs.destination",
        "ffmpeg_jobs.settings",
    }


def test_no_room_has_a_name_that_says_nothing() -> None:
    empty = {"utils", "util", "helpers", "helper", "manager", "base", "common", "misc"}
    assert {name for name in OURS if name.rpartition(".")[2] in empty} == set()


def test_the_architecture_page_names_rooms_that_exist() -> None:
    page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    named = {word.strip("`.,;()") for word in page.split() if word.strip("`.,;()").endswith(".py")}
    existing = {module.path.name for module in OURS.values()}
    assert {name for name in named if name.rpartition("/")[2] not in existing} == set()
    assert len(page.split()) <= 700
