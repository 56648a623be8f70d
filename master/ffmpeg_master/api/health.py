"""How the master is: for people, load balancers and Prometheus."""

from __future__ import annotations

from ffmpeg_jobs import __version__, problems
from ffmpeg_jobs.problems import TYPE_PREFIX, Unavailable
from ffmpeg_master import metrics
from ffmpeg_master.api.call import TEXT, Answer, Call
from ffmpeg_master.store import jobs, workers
from ffmpeg_master.store.troubles import Locked


def health(call: Call) -> Answer:
    """GET /health: 503 while the database does not answer, or takes nothing. What there is to do,
    who has a key is told: of all tenants or its own."""
    store = call.master.store
    to_do: dict[str, int] = {}
    try:
        if call.key is not None:
            queued, running = jobs.counts(store, call.sees)
            to_do = {"queued": queued, "running": running}
        online = workers.online(store, call.master.config.lease_seconds)
    except Unavailable as problem:
        return _broken(problem)
    if store.troubles.last is not None:  # it can be read, but not written
        return _broken(store.troubles.last)
    return Answer(
        body={
            "status": "ok",
            "version": __version__,
            "database": "ok",
            **to_do,
            "workers_online": online,
        }
    )


def _broken(problem: Unavailable) -> Answer:
    database = "locked" if isinstance(problem, Locked) else "broken"
    return Answer(503, {"status": "broken", "version": __version__, "database": database})


def explain_problem(call: Call) -> Answer:
    """GET /problems/{kind}"""
    problem = problems.BY_KIND[call.path["kind"]]
    words = f"{TYPE_PREFIX}{problem.kind}\n{problem.status} {problem.title}\n\n{problem.remedy}\n"
    return Answer(body=words.encode(), media=TEXT)


def show_metrics(call: Call) -> Answer:
    """GET /metrics"""
    return Answer(body=call.master.metrics.text(call.sees), media=metrics.CONTENT_TYPE)
