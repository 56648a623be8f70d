"""The launcher: the one part of ours that is root, and it does five things.

``org.ffmpeg_worker.Launcher1`` on the system bus: StartJob, StopJob, SetLimits, Freeze, Thaw.
It has uid 0, because systemd lets only that start transient units, and an empty capability
set, no network, no shell. Name, slice and every property of a scope are its own constants;
a caller brings a process (as a pidfd), a job id and numbers for the limits it knows.
"""

from __future__ import annotations

import asyncio
import pwd
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import structlog
from dbus_next.constants import BusType, RequestNameReply
from dbus_next.errors import AuthError
from dbus_next.message import Message

from ffmpeg_jobs import destination
from ffmpeg_jobs.daemon import set_up_logging
from ffmpeg_jobs.destination import Policy
from ffmpeg_jobs.settings import EX_CONFIG, TEXT, ConfigError, Setting, example, load, whole
from ffmpeg_worker import firewall
from ffmpeg_worker.authority import Authority, Refusal
from ffmpeg_worker.bus import close_descriptors
from ffmpeg_worker.calls import ScopeError, Unanswered
from ffmpeg_worker.limits import NETWORK, properties_of, unit_name
from ffmpeg_worker.pidfd import has_ended
from ffmpeg_worker.scopes import SCOPE_PROPERTIES, Scopes

NAME: Final = "org.ffmpeg_worker.Launcher1"
PATH: Final = "/org/ffmpeg_worker/Launcher1"
ERROR: Final = "org.ffmpeg_worker.Error."
SLICE: Final = "ffmpeg.slice"
CONFIG_FILE: Final = Path("/etc/ffmpeg-worker/launcher.toml")
#: The launcher ends when it was not called for this long; D-Bus starts it again.
IDLE_SECONDS: Final = 60.0

SETTINGS: Final = (
    Setting("", "worker_user", TEXT, "ffmpeg-worker", "the account that may start jobs"),
    Setting("", "worker_unit", TEXT, "ffmpeg-worker.service", "the unit that jobs are born in"),
    Setting(
        "caps", "cpu_percent", whole(1, 102400, "percent"), 102400, "the most CPU one job may have"
    ),
    Setting(
        "caps", "memory_mb", whole(16, 4194304, "MiB"), 4194304, "the most memory one job may have"
    ),
    Setting(
        "caps",
        "timeout_seconds",
        whole(1, 604800, "seconds"),
        604800,
        "the longest one job may run",
    ),
    *destination.settings("network", "streams (RTMP)", "; the worker needs it, too"),
)

INTROSPECTION: Final = f"""<!DOCTYPE node PUBLIC
 "-//freedesktop//DTD D-BUS Object Introspection 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/introspect.dtd">
<node><interface name="{NAME}">
<method name="StartJob"><arg name="process" type="h" direction="in"/>
<arg name="job_id" type="s" direction="in"/><arg name="limits" type="a{{st}}" direction="in"/>
</method>
<method name="StopJob"><arg name="job_id" type="s" direction="in"/></method>
<method name="SetLimits"><arg name="job_id" type="s" direction="in"/>
<arg name="limits" type="a{{st}}" direction="in"/></method>
<method name="Freeze"><arg name="job_id" type="s" direction="in"/></method>
<method name="Thaw"><arg name="job_id" type="s" direction="in"/></method>
</interface></node>"""

log = structlog.get_logger()


@dataclass(frozen=True)
class Caps:
    """Who may start jobs, and the most that one of them may ask."""

    worker_uid: int
    worker_unit: str
    most: Mapping[str, int]
    network: Policy = field(default_factory=Policy)  #: of jobs that have the machine's network


@dataclass(frozen=True)
class Method:
    """One row of the interface: its arguments, its polkit action, what it does."""

    signature: str
    action: str | None  #: None: only the worker's account and root, whatever polkit says
    run: Callable[[Launcher, Message], Awaitable[None]]

    def mismatch(self, message: Message) -> str | None:
        """What of a call it does not take: other arguments, or descriptors that it did not ask
        for."""
        if message.signature != self.signature:
            return f"{message.member} takes {self.signature}, not {message.signature!r}"
        most = self.signature.count("h")
        if len(message.unix_fds) > most:
            came = len(message.unix_fds)
            return f"{message.member} takes {most} file descriptors, not {came}"
        return None


class Launcher:
    """The interface's state: systemd, and the caps."""

    def __init__(self, scopes: Scopes, caps: Caps) -> None:
        self.scopes = scopes
        self.caps = caps
        self.authority = Authority(scopes, caps.worker_uid, caps.worker_unit)
        self.busy = 0
        self.last_use = asyncio.get_running_loop().time()

    async def start_job(self, message: Message) -> None:
        """Put the process behind the pidfd into its scope, with its limits."""
        index, job_id, limits = message.body
        limits = dict(limits)
        shares_network = limits.pop(NETWORK, 0) != 0
        unit = _unit(job_id)
        if not 0 <= index < len(message.unix_fds):  # lost on the way, where we have no room for it
            raise Refusal("Failed", "process: no file descriptor came with the call")
        pidfd = message.unix_fds[index]
        pid = await self.authority.checked_pid(pidfd)
        properties = [*self._properties(limits, live=False), *SCOPE_PROPERTIES]
        if shares_network:
            properties += firewall.properties(self.caps.network, firewall.own_addresses())
        properties += [("Slice", "s", SLICE), ("Description", "s", f"ffmpeg job {job_id}")]
        # Stopped before it when the machine goes down: the worker sees how the job ends, and
        # gives it back while there is still a network.
        properties.append(("After", "as", [self.caps.worker_unit]))
        await self.scopes.start(unit, pid, pidfd, properties)
        # A process that died in between leaves a scope that never ends (no process, no event).
        if has_ended(pidfd):
            await self._end(unit)
            raise Refusal("NotAllowed", f"process: {pid} ended before it was in its scope")

    async def stop_job(self, message: Message) -> None:
        """End the scope's processes and drop what systemd remembers of it. Repeats do nothing."""
        await self._end(_unit(message.body[0]))

    async def set_limits(self, message: Message) -> None:
        """Change the limits of a running scope."""
        job_id, limits = message.body
        await self.scopes.set_properties(_unit(job_id), self._properties(limits, live=True))

    async def freeze(self, message: Message) -> None:
        """Freeze the scope's processes."""
        await self.scopes.freeze(_unit(message.body[0]))

    async def thaw(self, message: Message) -> None:
        """Let a frozen scope go on."""
        await self.scopes.thaw(_unit(message.body[0]))

    async def _end(self, unit: str) -> None:
        await self.scopes.stop(unit)
        await self.scopes.forget(unit)

    def _properties(self, limits: Mapping[str, int], *, live: bool) -> list[tuple[str, str, Any]]:
        for name, value in limits.items():
            most = self.caps.most.get(name)
            if most is not None and value > most:
                raise Refusal(
                    "LimitTooHigh", f"{name}: {value} is over this machine's cap of {most}"
                )
        missing = self.caps.most.keys() - limits.keys()
        if missing and not live:
            raise Refusal("InvalidLimit", f"{min(missing)}: missing; a job needs every limit")
        try:
            return properties_of(limits, live=live)
        except ValueError as error:
            raise Refusal("InvalidLimit", str(error)) from None


METHODS: Final[Mapping[str, Method]] = {
    "StartJob": Method("hsa{st}", None, Launcher.start_job),
    "StopJob": Method("s", "org.ffmpeg_worker.stop-job", Launcher.stop_job),
    "SetLimits": Method("sa{st}", "org.ffmpeg_worker.set-limits", Launcher.set_limits),
    "Freeze": Method("s", "org.ffmpeg_worker.freeze-job", Launcher.freeze),
    "Thaw": Method("s", "org.ffmpeg_worker.freeze-job", Launcher.thaw),
}


def _unit(job_id: str) -> str:
    try:
        return unit_name(job_id)
    except ValueError as error:
        raise Refusal("InvalidJobId", f"job_id: {error}") from None


async def _answer(launcher: Launcher, message: Message) -> Message:
    """Run one call; its answer, or the error it ends with."""
    method = METHODS[message.member]
    try:
        uid = await launcher.authority.authorize(message, method.action)
        await method.run(launcher, message)
    except Refusal as refusal:
        log.warning("refused", method=message.member, sender=message.sender, reason=str(refusal))
        return Message.new_error(message, ERROR + refusal.kind, str(refusal))
    except ScopeError as error:
        log.error("systemd_refused", method=message.member, reason=str(error))
        kind = "Unanswered" if isinstance(error, Unanswered) else "SystemdRefused"
        return Message.new_error(message, ERROR + kind, str(error))
    job = next((part for part in message.body if isinstance(part, str)), "")
    log.info("done", method=message.member, job=job, uid=uid)
    return Message.new_method_return(message)


def _serve(launcher: Launcher) -> None:
    """Answer calls to our interface as they come, each in its own task."""
    bus = launcher.scopes.bus
    tasks: set[asyncio.Task[None]] = set()

    async def reply(message: Message) -> None:
        launcher.busy += 1
        try:
            await bus.send(await _answer(launcher, message))
        except Exception as error:  # the outermost loop: a fault of ours must not hang the caller
            log.exception("call_failed", method=message.member)
            await bus.send(Message.new_error(message, ERROR + "Failed", str(error)))
        finally:
            launcher.busy -= 1
            launcher.last_use = asyncio.get_running_loop().time()
            close_descriptors(message)

    def on_call(message: Message) -> Message | bool | None:
        if message.path != PATH:
            return None
        if message.interface == "org.freedesktop.DBus.Introspectable":
            return Message.new_method_return(message, "s", [INTROSPECTION])
        if message.interface != NAME or message.member not in METHODS:
            return None  # the library answers UnknownMethod
        mismatch = METHODS[message.member].mismatch(message)
        if mismatch is not None:
            return Message.new_error(message, "org.freedesktop.DBus.Error.InvalidArgs", mismatch)
        task = asyncio.create_task(reply(message))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        return True

    launcher.scopes.on_call = on_call


async def _idle(launcher: Launcher, stop: asyncio.Event) -> None:
    """Return when told to stop, or when nobody calls."""
    loop = asyncio.get_running_loop()
    while not stop.is_set():
        try:
            await asyncio.wait_for(stop.wait(), IDLE_SECONDS / 4)
        except TimeoutError:
            idle = loop.time() - launcher.last_use > IDLE_SECONDS
            if idle and not launcher.busy:
                return


async def run(caps: Caps) -> int:
    """Offer the interface until idle or told to stop; the exit status."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    try:
        scopes = await Scopes.connect(BusType.SYSTEM)
        await scopes.subscribe()
    except (OSError, EOFError, AuthError, ScopeError) as error:
        log.error("no_systemd", reason=str(error))
        return 1
    launcher = Launcher(scopes, caps)
    _serve(launcher)
    if await scopes.bus.request_name(NAME) is not RequestNameReply.PRIMARY_OWNER:
        log.error("name_taken", name=NAME)
        return 1
    idle = asyncio.create_task(_idle(launcher, stop))
    await asyncio.wait({scopes.bus.ended, idle}, return_when=asyncio.FIRST_COMPLETED)
    return 0


def main() -> int:
    """Start from launcher.toml; exit status 78 when it cannot be used."""
    if sys.argv[1:] == ["--print-example-config"]:
        sys.stdout.write(
            example(
                SETTINGS,
                "ffmpeg-worker's launcher: who may start jobs, caps, where jobs may connect to.",
            )
        )
        return 0
    set_up_logging()
    try:
        values = load(SETTINGS, CONFIG_FILE, {}, {}, needed=False)
        uid = pwd.getpwnam(values["worker_user"]).pw_uid
    except ConfigError as error:
        sys.stderr.write(f"ffmpeg-worker-launcher: {error}\n")
        return EX_CONFIG
    except KeyError:
        sys.stderr.write(
            f'launcher.toml: worker_user: "{values["worker_user"]}" is not an account here\n'
        )
        return EX_CONFIG
    most = {row.name: values[row.name] for row in SETTINGS if row.table == "caps"}
    network = Policy(values["allow"], values["deny"], "[network] allow in launcher.toml")
    return asyncio.run(run(Caps(uid, values["worker_unit"], most, network)))


if __name__ == "__main__":
    sys.exit(main())
