"""What Prometheus reads of the master. Names are those of the operations guide."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, cast

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric

from ffmpeg_jobs.model import FINAL_STATES, JobStatus, Reason, State
from ffmpeg_master.store import jobs, workers
from ffmpeg_master.store.engine import Store

#: Seconds; from a clip's thumbnail to a film.
_BUCKETS: Final = (1, 5, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600)
CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


class _Ended:
    """Counts the jobs that end: all, or a tenant's."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry(auto_describe=False)
        self._ended = Counter("jobs", "Jobs that ended", registry=self.registry)
        # Without labels, as jobs_total: the guide divides one by the other.
        self._failed = Counter("jobs_failed", "Jobs that ended as failed", registry=self.registry)
        self._reasons = Counter(
            "jobs_failures_by_reason", "Why jobs failed", ["reason"], registry=self.registry
        )
        for reason in Reason:
            self._reasons.labels(reason.value)  # a rate needs the zero before the first failure
        self._duration = Histogram(
            "jobs_duration_seconds",
            "Time from the start of a job's last attempt to its end",
            ["scenario"],
            buckets=_BUCKETS,
            registry=self.registry,
        )

    def count(self, status: JobStatus, seconds: float | None) -> None:
        """One that is in a final state; ``seconds`` its last attempt took."""
        self._ended.inc()
        if status.state is State.FAILED:
            self._failed.inc()
            if status.reason is not None:
                self._reasons.labels(status.reason.value).inc()
        if seconds is not None:
            self._duration.labels(status.job.scenario or "").observe(seconds)


class Metrics:
    """Counts what ends, all together and each tenant's, and asks the store for the rest when it is
    read."""

    def __init__(self, store: Store) -> None:
        self._store = store
        #: By tenant; None: all.
        self._ended: defaultdict[str | None, _Ended] = defaultdict(_Ended)

    def ended(self, status: JobStatus, seconds: float | None) -> None:
        """Count a job, if it is in a final state; ``seconds`` its last attempt took."""
        if status.state in FINAL_STATES:
            for whose in (None, status.tenant) if status.tenant else (None,):
                self._ended[whose].count(status, seconds)

    def text(self, tenant: str | None) -> bytes:
        """What there is of a tenant, None: of all, in Prometheus' text format."""
        shown = CollectorRegistry(auto_describe=False)
        shown.register(cast(Any, _Now(self._store, tenant)))
        of_now: bytes = generate_latest(shown)
        of_ended: bytes = generate_latest(self._ended[tenant].registry)
        return of_ended + of_now


@dataclass(frozen=True)
class _Now:
    """What the store knows when it is read."""

    store: Store
    tenant: str | None

    def collect(self) -> Iterator[Metric]:
        """Called by the registry."""
        queued, running = jobs.counts(self.store, self.tenant)
        yield GaugeMetricFamily("jobs_queued_total", "Jobs that wait now", value=queued)
        yield GaugeMetricFamily("jobs_running", "Jobs that workers hold now", value=running)
        heard = GaugeMetricFamily(
            "worker_last_heartbeat_timestamp",
            "When each worker was heard last, in Unix seconds",
            labels=["worker"],
        )
        for name, seconds in workers.heartbeats(self.store).items():
            heard.add_metric([name], seconds)
        yield heard
