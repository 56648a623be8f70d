"""What the sandbox's command line says; tests/media_runs shows what it does."""

from __future__ import annotations

from ffmpeg_worker import holder
from ffmpeg_worker.sandbox import FILTER_DESCRIPTOR, JOB, SCRATCH_BYTES, Bind, sandboxed

BINDS = [Bind("/state/job/work", JOB, writable=True), Bind("/media/in.mp4", "/input")]
PLAIN = sandboxed(["ffmpeg", "-version"], BINDS, network=False)


def triples(words: tuple[str, ...]) -> list[tuple[str, ...]]:
    return [words[i : i + 3] for i in range(len(words))]


def test_the_command_comes_last_and_cannot_be_taken_for_an_option() -> None:
    assert PLAIN[0] == "bwrap"
    assert PLAIN[-3:] == ("--", "ffmpeg", "-version")


def test_a_place_is_read_only_unless_it_says_otherwise() -> None:
    assert ("--bind", "/state/job/work", JOB) in triples(PLAIN)
    assert ("--ro-bind", "/media/in.mp4", "/input") in triples(PLAIN)


def test_namespaces_of_its_own() -> None:
    for name in ("user", "pid", "ipc", "uts", "cgroup", "net"):
        assert f"--unshare-{name}" in PLAIN
    for word in ("--new-session", "--die-with-parent", "--clearenv"):
        assert word in PLAIN


def test_its_filter_is_where_the_holder_opens_it() -> None:
    assert holder.FILTER_DESCRIPTOR == FILTER_DESCRIPTOR
    assert PLAIN[1:3] == ("--seccomp", str(FILTER_DESCRIPTOR))


def test_what_lies_in_memory_has_a_size() -> None:
    words = sandboxed(["ffmpeg"], BINDS, network=False, devices=["/dev/dri/renderD128"])
    places = [at for at, word in enumerate(words) if word == "--tmpfs"]
    assert [words[at + 1] for at in places] == ["/dev/shm", "/tmp"]
    assert {words[at - 2 : at] for at in places} == {("--size", str(SCRATCH_BYTES))}
    assert ("--remount-ro", "/dev") in [row[:2] for row in triples(words)]


def test_the_network_brings_only_certificates() -> None:
    words = sandboxed(["ffmpeg"], BINDS, network=True)
    assert "--unshare-net" not in words
    added = set(words) - set(PLAIN)
    assert added == {
        "--ro-bind-try",
        "/etc/ssl/certs",
        "/etc/ca-certificates",
    }


def test_nothing_of_the_machine_but_usr_and_two_files() -> None:
    rows = triples(PLAIN)
    sources = {row[1] for row in rows if row[0] in ("--ro-bind", "--bind", "--dev-bind")}
    ours = {str(bind.source) for bind in BINDS}
    assert sources - ours == {"/usr", "/etc/alternatives", "/etc/ld.so.cache"}


def test_devices_by_name() -> None:
    words = sandboxed(["ffmpeg"], [], network=False, devices=["/dev/dri/renderD128"])
    device = ("--dev-bind-try", "/dev/dri/renderD128", "/dev/dri/renderD128")
    assert device in triples(words)
    assert words.index("--dev-bind-try") > words.index("--dev")


def test_a_device_brings_what_its_driver_reads_and_nothing_to_write() -> None:
    words = sandboxed(["ffmpeg"], BINDS, network=False, devices=["/dev/dri/renderD128"])
    added = [row for row in triples(words) if row not in triples(PLAIN) and row[0][:2] == "--"]
    read = {row[1]: row for row in added if row[0] == "--ro-bind-try"}
    assert {"/sys/dev/char", "/sys/class/drm", "/sys/devices", "/etc/vulkan"} <= set(read)
    assert all(row == ("--ro-bind-try", name, name) for name, row in read.items())
    assert not {row[0] for row in added} & {"--bind", "--bind-try", "--dev-bind"}


def test_without_a_device_there_is_nothing_of_sys() -> None:
    assert [word for word in PLAIN if word.startswith(("/sys", "/opt", "/dev/"))] == []
