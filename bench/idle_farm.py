"""What workers that wait for jobs cost their master, and how soon one of them starts a job.

The workers are those of ``ffmpeg-jobs simulate``, in this process. Each holds a claim open and
has a second connection for its heartbeats.
"""

import argparse
import asyncio
import tempfile
from pathlib import Path

from bench import table
from bench.master import Running, master
from ffmpeg_jobs.line import Endpoint
from ffmpeg_jobs.simulation.farm import Farm, Load

#: With so many workers.
AIMED_AT = 5000
AIMS = ("< 512 MiB, < 20 %, start <= 50 ms",)
JOBS = 20
RATE = 2.0  #: jobs a second: each comes to a farm that waits
#: Until each worker has made its second claim, and memory has become what it stays.
SETTLE_SECONDS = 60.0
#: Two rounds of claims and of heartbeats, which come in waves: part of one would tell of a wave.
ROUNDS_SECONDS = 90.0
HEAD = ("workers", "MiB", "% of a core", "requests/s", "ms to start", "95 %", "longest", "aim")


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--workers", type=int, nargs="+", default=[10, 100, 1000, AIMED_AT])
    options.add_argument("--seconds", type=float, default=ROUNDS_SECONDS)
    options.add_argument("--database", help="SQLAlchemy's URL; a new SQLite file without")
    asked = options.parse_args()
    rows = []
    for count in asked.workers:
        with tempfile.TemporaryDirectory() as place:
            url = asked.database or f"sqlite:///{place}/master.db"
            with master(Path(place), url) as running:
                rows.append(asyncio.run(_measure(running, count, asked.seconds)))
    table.show(f"Workers that wait, over {asked.seconds:.0f} s", HEAD, rows)


async def _measure(running: Running, workers: int, seconds: float) -> tuple[object, ...]:
    load = Load(workers, JOBS, rate=RATE, submitters=1)
    async with Farm(Endpoint(running.url, running.key), load) as farm:
        await farm.register()
        await asyncio.sleep(SETTLE_SECONDS)
        before = farm.figures.requests
        cpu = await asyncio.to_thread(running.cpu_percent, seconds)
        requests = (farm.figures.requests - before) / seconds
        memory = running.memory_mib()
        await farm.work()
        if farm.figures.errors:
            print(dict(farm.figures.errors))
        start = farm.figures.latencies()["start"]
    wait = (start.median * 1000, start.p95 * 1000, start.longest * 1000)
    aim = AIMS[0] if workers == AIMED_AT else ""
    return (workers, memory, cpu, requests, *wait, aim)


if __name__ == "__main__":
    main()
