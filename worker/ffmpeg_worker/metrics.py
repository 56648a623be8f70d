"""What the worker shows to Prometheus on /metrics, and to people on /health."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterable
from math import nan
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any, Final
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import Counter, Gauge, Histogram, make_wsgi_app

from ffmpeg_jobs.model import Claim, Outcome, Reason, State
from ffmpeg_worker.disk import free_mb
from ffmpeg_worker.upkeep import Look

_CPU: Final = Histogram(
    "jobs_cpu_percent",
    "CPU that a job used on average, in percent of one core",
    ["scenario"],
    buckets=(25, 50, 100, 150, 200, 300, 400, 800, 1600, 3200),
)
_MEMORY: Final = Histogram(
    "jobs_memory_mb",
    "Most memory that a job used, in MiB",
    ["scenario"],
    buckets=(64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384),
)
_DURATION: Final = Histogram(
    "jobs_duration_seconds",
    "How long a job ran, in seconds",
    ["scenario"],
    buckets=(1, 5, 15, 60, 300, 900, 1800, 3600, 7200, 21600),
)
_ENDED: Final = Counter("jobs", "Attempts that ended on this worker")
#: Without labels, as jobs_total: the operations guide divides one by the other.
_FAILED: Final = Counter("jobs_failed", "Attempts that failed on this worker")
_REASONS: Final = Counter("jobs_failures_by_reason", "Why attempts failed here", ["reason"])
for _reason in Reason:
    _REASONS.labels(_reason.value)  # a rate needs the zero before the first failure
_RUNNING: Final = Gauge("jobs_running", "Attempts that this worker holds now")
_DRAINING: Final = Gauge("draining", "1 while the worker is drained, else 0")
_DISK: Final = Gauge("disk_space_available_mb", "Free space for jobs, in MiB")
_ENFORCED: Final = Gauge("limits_enforced", "1 where the kernel enforces it, else 0", ["limit"])

_FREE: Final = {
    name: Gauge(f"free_{name}", words)
    for name, words in (
        ("cpu_percent", "CPU that the limits of running jobs leave, in percent of one core"),
        ("memory_mb", "Memory that the limits of running jobs leave, in MiB"),
        ("disk_mb", "Disk that the limits of running jobs leave, in MiB"),
        ("slots", "Jobs that may still begin"),
    )
}
_HELD_BACK: Final = Gauge("held_back", "1 while no new job is taken, else 0")
_SICK: Final = Gauge("sick", "1 while it cannot do its work, or is on trial, else 0")
_PRESSURE: Final = Gauge(
    "pressure_percent",
    "For how much of the last 10 seconds some job waited for it; NaN: the kernel does not say",
    ["resource"],
)


def observe(claim: Claim, outcome: Outcome) -> None:
    """Count an attempt that ended."""
    _ENDED.inc()
    if outcome.state is State.FAILED:
        _FAILED.inc()
        if outcome.reason is not None:
            _REASONS.labels(outcome.reason.value).inc()
    scenario = claim.job.scenario or "none"
    usage = outcome.usage
    if usage.wall_seconds:
        _DURATION.labels(scenario).observe(usage.wall_seconds)
        if usage.cpu_seconds is not None:
            _CPU.labels(scenario).observe(100 * usage.cpu_seconds / usage.wall_seconds)
    if usage.memory_peak_bytes is not None:
        _MEMORY.labels(scenario).observe(usage.memory_peak_bytes / (1 << 20))


def set_running(count: int, *, draining: bool = False) -> None:
    """How many attempts the worker holds now, and whether it takes no new ones."""
    _RUNNING.set(count)
    _DRAINING.set(draining)


def set_held_back(why: str | None, *, sick: bool) -> None:
    """Whether no job is taken, and whether that is, or was, for how the last ones ended."""
    _HELD_BACK.set(why is not None)
    _SICK.set(sick)


def set_seen(seen: Look) -> None:
    """What was seen of the machine."""
    for name, gauge in _FREE.items():
        gauge.set(getattr(seen.free, name))
    for name, percent in seen.pressure.percent.items():
        _PRESSURE.labels(name).set(nan if percent is None else percent)


def serve(
    address: str, health: Callable[[], dict[str, Any]], directory: Path, enforced: Iterable[str]
) -> int:
    """Answer on ``host:port`` in threads; the port, which is a free one for 0.

    Raises OSError where it cannot, ValueError for another form of address.
    """
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdigit() or int(port) > 65535:
        raise ValueError(f"{address} is not HOST:PORT, such as 127.0.0.1:9091")
    _DISK.set_function(lambda: free_mb(directory))
    for limit in ("cpu", "memory", "pids", "io"):
        _ENFORCED.labels(limit).set(limit in enforced)
    host = host.strip("[]")
    kind = _ServerOverIPv6 if ":" in host else _Server
    server = make_server(host, int(port), _application(health), kind, _Quiet)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return int(server.server_port)


def _application(health: Callable[[], dict[str, Any]]) -> Any:
    metrics = make_wsgi_app()

    def application(environ: dict[str, Any], start_response: Any) -> Any:
        path = environ.get("PATH_INFO", "")
        if path == "/metrics":
            return metrics(environ, start_response)
        if path != "/health":
            start_response("404 Not Found", [("Content-Type", "text/plain")])
            return [b"there are /metrics and /health\n"]
        start_response("200 OK", [("Content-Type", "application/json")])
        return [json.dumps(health()).encode() + b"\n"]

    return application


class _Server(ThreadingMixIn, WSGIServer):
    """A thread per request, so that a slow client holds up nobody."""

    daemon_threads = True


class _ServerOverIPv6(_Server):
    address_family = socket.AF_INET6


class _Quiet(WSGIRequestHandler):
    """A scrape each few seconds is not news."""

    timeout = 10  # seconds that a client may be silent

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""
