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
begun = time.monotonic()
with ThreadPoolExecutor(width) as pool:
    list(pool.map(launch, range(launches)))
print(json.dumps({"ms": found, "per_second": launches / (time.monotonic() - begun)}))
