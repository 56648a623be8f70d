"""What Prometheus reads of the master. Names are those of the operations guide."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, cast

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric

from ffmpeg_jobs.model import FINAL_STATES, JobStatus, Reason, State
from ffmpeg_master.store import jobs, workers
from ffmpeg_master.store.engine import Store

#: Seconds; from a clip's thumbnail to a film.
_BUCKETS: Final = (1, 5, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600)
CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """Counts what ends, and asks the store for the rest when it is read."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._registry = CollectorRegistry(auto_describe=False)
        self._ended = Counter("jobs", "Jobs that ended", registry=self._registry)
        # Without labels, as jobs_total: the guide divides one by the other.
        self._failed = Counter("jobs_failed", "Jobs that ended as failed", registry=self._registry)
        self._reasons = Counter(
            "jobs_failures_by_reason", "Why jobs failed", ["reason"], registry=self._registry
        )
        for reason in Reason:
            self._reasons.labels(reason.value)  # a rate needs the zero before the first failure
        self._duration = Histogram(
            "jobs_duration_seconds",
            "Time from the start of a job's last attempt to its end",
            ["scenario"],
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self._registry.register(cast(Any, self))

    def ended(self, status: JobStatus, seconds: float | None) -> None:
        """Count a job, if it is in a final state; ``seconds`` its last attempt took."""
        if status.state not in FINAL_STATES:
            return
        self._ended.inc()
        if status.state is State.FAILED:
            self._failed.inc()
            if status.reason is not None:
                self._reasons.labels(status.reason.value).inc()
        if seconds is not None:
            self._duration.labels(status.job.scenario or "").observe(seconds)

    def collect(self) -> Iterator[Metric]:
        """What the store knows at this moment (called by the registry)."""
        queued, running = jobs.counts(self._store)
        yield GaugeMetricFamily("jobs_queued_total", "Jobs that wait now", value=queued)
        yield GaugeMetricFamily("jobs_running", "Jobs that workers hold now", value=running)
        heard = GaugeMetricFamily(
            "worker_last_heartbeat_timestamp",
            "When each worker was heard last, in Unix seconds",
            labels=["worker"],
        )
        for name, seconds in workers.heartbeats(self._store).items():
            heard.add_metric([name], seconds)
        yield heard

    def text(self) -> bytes:
        """All of it in Prometheus' text format."""
        text: bytes = generate_latest(self._registry)
        return text
