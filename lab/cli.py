"""The lab by hand: lab/run."""

import argparse
import os
import signal
import sys
from collections.abc import Sequence

from lab import base, terminal
from lab.errors import CommandTimeout, LabError
from lab.machine import Machine, attach, best_backend, boot, build_images, machines, stop
from lab.progress import say
from lab.spec import Backend

LAB_FAILED = 125
TIMED_OUT = 124
EPILOG = """\
examples:
  lab/run                                        a shell in Debian 12
  lab/run --suite trixie -- systemctl status     one command, then the machine is gone
  lab/run --vm --deb dist/*.deb -- systemctl status ffmpeg-worker
  lab/run --best --deb dist/*.deb -- 'systemctl start x && journalctl -u x'
  lab/run --copy-in ./t.py:/root/t.py --copy-out /root/result:./result -- python3 t.py
  tar -c tests | lab/run -- tar -xv              standard input goes along
  lab/run --keep --name try --deb dist/*.deb     leave it running ...
  lab/run --enter try                            ... go in ...
  lab/run --stop try                             ... and throw it away

A COMMAND of one word with spaces in it is a line for bash, several words are run
as they are. Its exit status is ours; 128 + N if signal N killed it, 124 if it took
longer than --timeout, 125 if the lab itself failed.

The container boots in a second and runs at native speed, but it enforces limits
only if the host has cgroup v2 with all controllers. The VM always does; without
hardware virtualisation it boots in half a minute. --best takes the container where
that enforces limits. Neither has a network unless asked: packages and what they
depend on come from a repository inside the machine.

Images are made on first use, in $FFMPEG_LAB_CACHE (/var/cache/ffmpeg-lab).
"""


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="lab/run",
        description="Boot a throwaway Debian with real systemd and run a command in it.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = made.add_argument
    add("--suite", choices=base.SUITES, help="which Debian (default: bookworm)")
    backend = made.add_mutually_exclusive_group()
    for name, text in (
        ("container", "systemd-nspawn (default)"),
        ("vm", "qemu: a kernel of its own, every limit enforced"),
        ("best", "whichever enforces limits at the least cost"),
    ):
        backend.add_argument(
            f"--{name}", dest="backend", action="store_const", const=name, help=text
        )
    add("--deb", nargs="+", action="extend", default=[], metavar="FILE", help="install these")
    add("--copy-in", action="append", default=[], metavar="SRC:DST", help="before the command")
    add("--copy-out", action="append", default=[], metavar="SRC:DST", help="after the command")
    add("--network", action="store_true", help="container: the host's; vm: outwards, and port 8080")
    add("--memory-mb", type=int, default=2048, metavar="MB", help="of a vm (default: 2048)")
    add("--cpus", type=int, default=2, metavar="N", help="of a vm (default: 2)")
    add("--timeout", type=float, metavar="SECONDS", help="kill the command after this")
    add("--name", default="", help="what to call the machine")
    add("--keep", action="store_true", help="leave it running, and tell how to enter it")
    other = made.add_argument_group("instead of booting one")
    only = other.add_mutually_exclusive_group()
    only.add_argument("--enter", metavar="NAME", help="run the command in a running machine")
    only.add_argument("--list", action="store_true", help="machines on this host")
    only.add_argument("--stop", nargs="+", metavar="NAME", help="throw machines away")
    only.add_argument("--build-images", action="store_true", help="make what is made on first use")
    add("command", nargs="*", metavar="COMMAND", help="without one: a shell")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status."""
    options = parser().parse_args(arguments)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    if os.geteuid() != 0:
        say("must be run as root: it mounts, and makes containers")
        return LAB_FAILED
    try:
        return _act(options)
    except CommandTimeout as error:
        say(str(error).splitlines()[0])
        return TIMED_OUT
    except (LabError, OSError) as error:
        say(f"error: {error}")
        return LAB_FAILED
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


def _act(options: argparse.Namespace) -> int:
    if options.list:
        _list()
    elif options.stop:
        for name in options.stop:
            stop(name)
    elif options.build_images:
        build_images([options.suite] if options.suite else base.SUITES)
    elif options.enter:
        return _inside(attach(options.enter), options)
    else:
        return _boot(options)
    return 0


def _list() -> None:
    for spec, running in machines():
        state = "running" if running else "ended"
        port = f"http://127.0.0.1:{spec.api_port}" if spec.api_port else ""
        print(f"{spec.name:<20} {spec.suite:<10} {spec.backend:<10} {state:<8} {port}".rstrip())


def _boot(options: argparse.Namespace) -> int:
    chosen: Backend = options.backend or "container"
    if options.backend == "best":
        chosen = best_backend()
    with boot(
        options.suite or "bookworm",
        chosen,
        debs=options.deb,
        name=options.name,
        network=options.network,
        memory_mb=options.memory_mb,
        cpus=options.cpus,
        keep=options.keep,
    ) as machine:
        code = 0
        try:
            if options.command or not options.keep:
                code = _inside(machine, options)
        finally:
            if options.keep:
                _tell_kept(machine)
        return code


def _inside(machine: Machine, options: argparse.Namespace) -> int:
    for pair in options.copy_in:
        source, target = _pair(pair)
        machine.push(source, target)
    words = options.command
    command = (words[0] if len(words) == 1 else words) if words else ["bash", "-l"]
    code = terminal.run(machine, command, options.timeout)
    for pair in options.copy_out:
        source, target = _pair(pair)
        machine.pull(source, target)
    return code


def _pair(text: str) -> tuple[str, str]:
    source, colon, target = text.partition(":")
    if not (source and colon and target):
        raise LabError(f"{text!r} is not SOURCE:DESTINATION")
    return source, target


def _tell_kept(machine: Machine) -> None:
    say(f"{machine.name} is left running: lab/run --enter {machine.name}")
    if machine.spec.api_port:
        host, port = machine.address
        say(f"its port 8080 is at http://{host}:{port}")
    say(f"throw it away with: lab/run --stop {machine.name}")
