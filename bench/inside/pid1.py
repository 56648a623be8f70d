"""What launches cost systemd itself; shared by those that launch."""

import time
from pathlib import Path

#: PID 1 is alone in it, and who may not see its /proc may read this.
STAT = Path("/sys/fs/cgroup/init.scope/cpu.stat")
#: Until it has forgotten the last scope: that is part of what a launch costs.
SETTLE_SECONDS = 0.5


def cpu_ms() -> float:
    """CPU time of PID 1 so far; usage_usec of cpu.stat (cgroup-v2.rst)."""
    return int(STAT.read_text().split()[1]) / 1000


def settled_cpu_ms() -> float:
    """The same, once it has done what it still had to do."""
    time.sleep(SETTLE_SECONDS)
    return cpu_ms()
