"""Launch the same program as others would: launch_peer.py WIDTH LAUNCHES COMMAND...

In COMMAND, STAMP stands for a folder of the launch's own, in which it leaves ``began``.
"""

import json
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pid1 import cpu_ms, settled_cpu_ms

width, launches, command = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
found: list[float] = []
lock = threading.Lock()


def launch(_number: int) -> None:
    """One launch, its time noted."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        Path(folder).chmod(0o777)
        argv = [part.replace("STAMP", folder) for part in command]
        decided = time.time_ns()
        subprocess.run(argv, stdin=subprocess.DEVNULL, check=True)
        began = int(Path(folder, "began").read_text())
    with lock:
        found.append((began - decided) / 1e6)


launch(0)
found.clear()
before, begun = cpu_ms(), time.monotonic()
with ThreadPoolExecutor(width) as pool:
    list(pool.map(launch, range(launches)))
seconds = time.monotonic() - begun
pid1_ms = (settled_cpu_ms() - before) / launches
print(json.dumps({"ms": found, "per_second": launches / seconds, "pid1_ms": pid1_ms}))
