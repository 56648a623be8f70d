"""What of systemd is here for us: the system's manager, the account's own, or nothing."""

from __future__ import annotations

import os
import pwd
from pathlib import Path
from typing import Final

from ffmpeg_jobs.settings import ConfigError
from ffmpeg_worker.cgroup import CGROUPS, offered_controllers
from ffmpeg_worker.limits import CONTROLLERS

#: sd_booted(3): systemd is the system's manager.
SYSTEMD_RUNS: Final = Path("/run/systemd/system")
LAUNCHER_SERVICE: Final = Path(
    "/usr/share/dbus-1/system-services/org.ffmpeg_worker.Launcher1.service"
)
LINGER: Final = Path("/var/lib/systemd/linger")


def manager_for(asked: str, uid: int) -> str:
    """``system``, ``user`` or ``none``: what was asked, or for ``auto`` the best that is here.

    Raises ConfigError where the one that was asked for cannot work, and says what mends it.
    """
    if asked == "auto":
        if SYSTEMD_RUNS.exists() and LAUNCHER_SERVICE.exists():
            return "system"
        return "user" if user_bus(uid).exists() else "none"
    if asked == "user" and not user_bus(uid).exists():
        name = account(uid)
        raise ConfigError(
            f'manager: "user" needs the systemd --user of {name}, and its bus {user_bus(uid)} is '
            f"not there; install dbus-user-session and libpam-systemd, then, as root: "
            f"loginctl enable-linger {name}"
        )
    return asked


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


def account(uid: int) -> str:
    """The account's name; its number where it has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def user_bus(uid: int) -> Path:
    """Where the bus of the account's manager is (pam_systemd(8))."""
    return Path(os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{uid}") / "bus"


def user_cgroup(uid: int) -> Path | None:
    """The cgroup of the account's manager: in its usual place, or in a slice beside it."""
    unit = f"user@{uid}.service"
    places = (CGROUPS / "user.slice" / f"user-{uid}.slice" / unit, CGROUPS / "ffmpeg.slice" / unit)
    return next((place for place in places if place.exists()), None)
