"""Who calls the launcher, and is the process it brings its own to give? Nothing is done here."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from dbus_next.aio.message_bus import MessageBus
from dbus_next.constants import MessageFlag
from dbus_next.message import Message
from dbus_next.signature import Variant

from ffmpeg_worker.calls import ScopeError, ask_bus, call
from ffmpeg_worker.pidfd import has_ended, pid_of
from ffmpeg_worker.scopes import Scopes

ALLOW_INTERACTION: Final = 1  #: CheckAuthorizationFlags (polkit's D-Bus reference)
#: How many questions of strangers polkit has at once; each may wait for a person's password, and a
#: bus keeps at most 128 unanswered calls of ours (max_replies_per_connection in dbus-daemon(1)).
ASKED_AT_ONCE: Final = 16
#: Whoever calls often is one of few; a flood of strangers is not remembered.
REMEMBERED_CALLERS: Final = 64


class Refusal(Exception):
    """A call that is not allowed. ``kind`` is the last part of the D-Bus error's name."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class Authority:
    """Who may call, and bring which process. What cannot change is asked only once."""

    def __init__(self, scopes: Scopes, worker_uid: int, worker_unit: str) -> None:
        self._scopes = scopes
        self._worker_uid = worker_uid
        self._worker_unit = worker_unit
        self._home = ""  #: the worker's cgroup, as systemd told it last
        self._uids: dict[str, int] = {}  #: a bus never gives a unique name twice
        self._asking = 0

    async def checked_pid(self, pidfd: int) -> int:
        """The pid behind the pidfd, if it is a process that the worker may have scoped.

        It must be the worker's own and still in the worker's own cgroup: a job that already
        runs in a scope must not move itself into another with looser limits. Raises Refusal, and
        OSError where the machine is out of something.
        """
        pid = pid_of(pidfd)
        if pid is None or pid == 1:
            raise Refusal(
                "NotAllowed", "process: the file descriptor is not that of a living process"
            )
        try:
            owner = Path(f"/proc/{pid}").stat().st_uid
            cgroup = Path(f"/proc/{pid}/cgroup").read_text(encoding="utf-8")
        except (FileNotFoundError, ProcessLookupError):
            raise Refusal("NotAllowed", f"process: {pid} has ended") from None
        if owner != self._worker_uid:
            raise Refusal("NotAllowed", f"process: {pid} belongs to uid {owner}, not to the worker")
        if not await self._is_home(cgroup):
            where = cgroup.strip().rpartition("::")[2]
            raise Refusal("NotAllowed", f"process: {pid} is in {where}, not in {self._worker_unit}")
        if has_ended(pidfd):
            raise Refusal("NotAllowed", f"process: {pid} has ended")
        return pid

    async def _is_home(self, cgroup: str) -> bool:
        if self._home and lives_in(cgroup, self._home):
            return True
        self._home = await self._scopes.control_group(self._worker_unit)
        return bool(self._home) and lives_in(cgroup, self._home)

    async def authorize(self, message: Message, action: str | None) -> int:
        """The caller's uid, if it may do this: root, the worker, or whom polkit lets do it.

        ``action`` None is for root and the worker alone. Raises Refusal.
        """
        uid = await self._uid_of(message.sender)
        if uid in (0, self._worker_uid):
            return uid
        if action is None:
            raise Refusal("NotAllowed", f"{message.member}: not for uid {uid}")
        if self._asking >= ASKED_AT_ONCE:
            raise Refusal("Busy", f"{action}: {self._asking} calls wait for polkit already")
        self._asking += 1
        try:
            allowed = await _polkit_allows(self._scopes.bus, message, action)
        finally:
            self._asking -= 1
        if not allowed:
            raise Refusal("NotAllowed", f"{action}: polkit does not allow it to uid {uid}")
        return uid

    async def _uid_of(self, sender: str) -> int:
        if sender not in self._uids:
            if len(self._uids) >= REMEMBERED_CALLERS:
                self._uids.clear()
            answer = await ask_bus(self._scopes.bus, "GetConnectionUnixUser", sender)
            self._uids[sender] = int(answer[0])
        return self._uids[sender]


def lives_in(cgroup: str, home: str) -> bool:
    """Whether /proc/PID/cgroup says that a unit's cgroup is the process's: that of version 2, or
    where there is none, that of systemd's own hierarchy of version 1 (cgroups(7))."""
    rows = dict(line.split(":", 2)[1:] for line in cgroup.splitlines())
    return rows.get("", rows.get("name=systemd")) == home


async def _polkit_allows(bus: MessageBus, message: Message, action: str) -> bool:
    """Whether polkit lets the caller do it, after asking a person where that was allowed."""
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
        return bool((await call(bus, question))[0][0])
    except ScopeError as error:
        raise Refusal("NotAllowed", f"polkit did not answer: {error}") from None
