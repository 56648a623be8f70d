"""What of systemd is here for us: the system's manager, the account's own, or nothing."""

from __future__ import annotations

import asyncio
import os
import pwd
import socket
import time
from pathlib import Path
from typing import Final

from ffmpeg_worker.cgroup import CGROUPS, offered_controllers
from ffmpeg_worker.limits import CONTROLLERS

#: sd_booted(3): systemd is the system's manager.
SYSTEMD_RUNS: Final = Path("/run/systemd/system")
LAUNCHER_SERVICE: Final = Path(
    "/usr/share/dbus-1/system-services/org.ffmpeg_worker.Launcher1.service"
)
LINGER: Final = Path("/var/lib/systemd/linger")
#: Between two looks for a bus that is to come.
LOOK_SECONDS: Final = 0.2


def manager_for(asked: str, uid: int) -> str:
    """``system``, ``user`` or ``none``: what was asked, or for ``auto`` the best that is here for
    the account. One that lingers has a manager, if not yet while the machine starts."""
    if asked != "auto":
        return asked
    if SYSTEMD_RUNS.exists():
        if LAUNCHER_SERVICE.exists():
            return "system"
        if (LINGER / account(uid)).exists():
            return "user"
    return "user" if has_user_bus(uid) else "none"


def has_user_bus(uid: int) -> bool:
    """Whether somebody listens at the account's bus: who ended may leave the socket's name."""
    with socket.socket(socket.AF_UNIX) as bus:
        try:
            bus.connect(str(user_bus(uid)))
        except OSError:
            return False
    return True


def check_user_bus(uid: int, *, ask: bool) -> None:
    """Raises ConnectionError where the account's bus is not there any more. Its manager may have
    been started anew since: a service whose /run/user/UID is bound sees that only when it is
    started anew itself. ``ask``: somebody must listen, too; not for the event loop."""
    if not user_bus(uid).exists() or (ask and not has_user_bus(uid)):
        raise ConnectionError(f"systemd --user went away: {without_user_bus(uid)}")


async def user_bus_comes(uid: int, wait_seconds: float) -> bool:
    """Wait for the bus of the account's manager, which may be starting as we are."""
    until = time.monotonic() + wait_seconds
    while not has_user_bus(uid):
        if time.monotonic() > until:
            return False
        await asyncio.sleep(LOOK_SECONDS)
    return True


def without_user_bus(uid: int) -> str:
    """What is missing where the bus does not come, with the cure."""
    name = account(uid)
    return (
        f'manager: "user" needs the systemd --user of {name}, and its bus {user_bus(uid)} is not '
        f"there; install dbus-user-session and libpam-systemd, then, as root: "
        f"loginctl enable-linger {name}"
    )


def user_warnings(uid: int) -> list[str]:
    """What an account's manager lacks to hold jobs as they should be held, with the cure."""
    found = []
    name = account(uid)
    if not (LINGER / name).exists():
        found.append(
            f"jobs end when {name} logs out for the last time; as root: "
            f"loginctl enable-linger {name}"
        )
    cgroup = user_cgroup(uid)
    offered = () if cgroup is None else offered_controllers(cgroup)
    missing = [each for each in CONTROLLERS if each not in offered]
    if missing:
        found.append(
            f"systemd --user of {name} was not given {', '.join(missing)}; as root: "
            f"systemctl edit user@{uid}.service, with Delegate=cpu cpuset io memory pids"
        )
    return found


def worker_uid(state_directory: Path) -> int:
    """Whose worker it is, where root or an operator asks; our own while there was none yet."""
    try:
        return state_directory.stat().st_uid
    except OSError:
        return os.getuid()


def account(uid: int) -> str:
    """The account's name; its number where it has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def user_bus(uid: int) -> Path:
    """Where the bus of the account's manager is (pam_systemd(8))."""
    told = os.environ.get("XDG_RUNTIME_DIR") if uid == os.getuid() else None
    return Path(told or f"/run/user/{uid}") / "bus"


def user_cgroup(uid: int) -> Path | None:
    """The cgroup of the account's manager: in its usual place, or in a slice beside it."""
    unit = f"user@{uid}.service"
    places = (CGROUPS / "user.slice" / f"user-{uid}.slice" / unit, CGROUPS / "ffmpeg.slice" / unit)
    return next((place for place in places if place.exists()), None)


def jobs_cgroup(manager: str) -> Path:
    """The cgroup that all jobs of this machine are in (systemd.slice(5)), or would be."""
    own = user_cgroup(os.getuid()) if manager == "user" else None
    return own or CGROUPS / "ffmpeg.slice"
