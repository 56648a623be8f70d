"""What launches cost systemd itself; shared by those that launch."""

import time

from cgroups import INIT, cpu_seconds

#: Until it has forgotten the last scope: that is part of what a launch costs.
SETTLE_SECONDS = 0.5


def cpu_ms() -> float:
    """CPU time of PID 1 so far, which is alone in its cgroup; who may not see its /proc may read
    this."""
    return cpu_seconds(INIT) * 1000


def settled_cpu_ms() -> float:
    """The same, once it has done what it still had to do."""
    time.sleep(SETTLE_SECONDS)
    return cpu_ms()
