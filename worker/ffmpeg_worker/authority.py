"""Who calls the launcher, and is the process it brings its own to give? Nothing is done here."""

from __future__ import annotations

import select
from pathlib import Path
from typing import Final

from dbus_next.aio.message_bus import MessageBus
from dbus_next.constants import MessageFlag
from dbus_next.message import Message
from dbus_next.signature import Variant

from ffmpeg_worker.scopes import ScopeError, Scopes, ask_bus, call

ALLOW_INTERACTION: Final = 1  #: CheckAuthorizationFlags (polkit's D-Bus reference)


class Refusal(Exception):
    """A call that is not allowed. ``kind`` is the last part of the D-Bus error's name."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


async def checked_pid(pidfd: int, worker_uid: int, scopes: Scopes, worker_unit: str) -> int:
    """The pid behind the pidfd, if it is a process that the worker may have scoped.

    It must be the worker's own and still in the worker's own cgroup: a job that already
    runs in a scope must not move itself into another with looser limits.
    """
    pid = _pid_of(pidfd)
    home = await scopes.control_group(worker_unit)
    try:
        owner = Path(f"/proc/{pid}").stat().st_uid
        cgroup = Path(f"/proc/{pid}/cgroup").read_text(encoding="utf-8")
    except OSError:
        raise Refusal("NotAllowed", f"process: {pid} has ended") from None
    if owner != worker_uid:
        raise Refusal("NotAllowed", f"process: {pid} belongs to uid {owner}, not to the worker")
    if not home or f"0::{home}" not in cgroup.splitlines():
        where = cgroup.strip().rpartition("::")[2]
        raise Refusal("NotAllowed", f"process: {pid} is in {where}, not in {worker_unit}")
    if has_ended(pidfd):
        raise Refusal("NotAllowed", f"process: {pid} has ended")
    return pid


def _pid_of(pidfd: int) -> int:
    """The pid behind a pidfd (proc(5), fdinfo); raises Refusal for any other descriptor."""
    for line in Path(f"/proc/self/fdinfo/{pidfd}").read_text(encoding="ascii").splitlines():
        if line.startswith("Pid:"):
            pid = int(line.split()[1])
            if pid > 1:
                return pid
    raise Refusal("NotAllowed", "process: the file descriptor is not that of a living process")


def has_ended(pidfd: int) -> bool:
    """Whether the process is a zombie or gone: its pidfd can be waited for (pidfd_open(2))."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(0))


async def authorize(bus: MessageBus, message: Message, worker_uid: int, action: str | None) -> int:
    """The caller's uid, if it may do this: root, the worker, or whom polkit lets do ``action``.

    ``action`` None is for root and the worker alone. Raises Refusal.
    """
    uid = int((await ask_bus(bus, "GetConnectionUnixUser", message.sender))[0])
    if uid in (0, worker_uid):
        return uid
    if action is None:
        raise Refusal("NotAllowed", f"{message.member}: not for uid {uid}")
    interactive = bool(message.flags & MessageFlag.ALLOW_INTERACTIVE_AUTHORIZATION)
    subject = ["system-bus-name", {"name": Variant("s", message.sender)}]
    details = {"job": str(message.body[0])}
    question = Message(
        destination="org.freedesktop.PolicyKit1",
        path="/org/freedesktop/PolicyKit1/Authority",
        interface="org.freedesktop.PolicyKit1.Authority",
        member="CheckAuthorization",
        signature="(sa{sv})sa{ss}us",
        body=[subject, action, details, ALLOW_INTERACTION if interactive else 0, ""],
    )
    try:
        allowed = bool((await call(bus, question))[0][0])
    except ScopeError as error:
        raise Refusal("NotAllowed", f"polkit did not answer: {error}") from None
    if not allowed:
        raise Refusal("NotAllowed", f"{action}: polkit does not allow it to uid {uid}")
    return uid
