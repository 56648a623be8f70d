"""Read the audit log."""

from __future__ import annotations

from ffmpeg_jobs.problems import InvalidField
from ffmpeg_master.api.call import Answer, Call
from ffmpeg_master.api.pages import following_page, moment
from ffmpeg_master.model import AuditFilters
from ffmpeg_master.store import audit

LIST_DEFAULT = 100


def show_page(call: Call) -> Answer:
    """GET /audit"""
    query = call.query
    limit = query.get("limit", LIST_DEFAULT)
    subjects = [(kind, query[kind]) for kind in ("job", "worker", "key", "tenant") if kind in query]
    if len(subjects) > 1:
        (kind, name), (other, _) = subjects[:2]
        raise InvalidField.of(kind, name, f"one of the two, because {other} is given too")
    filters = AuditFilters(
        subjects[0] if subjects else None,
        query.get("who"),
        query.get("action"),
        moment(query, "since"),
        moment(query, "until"),
        query.get("cursor"),
    )
    entries, following = audit.page(call.master.store, filters, limit)
    return Answer(body=entries, headers=following_page("/audit", query, limit, following))
