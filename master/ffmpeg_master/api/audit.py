"""Read the audit log."""

from __future__ import annotations

from ffmpeg_jobs.problems import InvalidField
from ffmpeg_jobs.schema import unix_seconds
from ffmpeg_master.api.call import Answer, Call
from ffmpeg_master.api.pages import following_page
from ffmpeg_master.model import AuditFilters
from ffmpeg_master.store import audit

LIST_DEFAULT = 100


def show_page(call: Call) -> Answer:
    """GET /audit"""
    query = call.query
    limit = query.get("limit", LIST_DEFAULT)
    subjects = [(kind, query[kind]) for kind in ("job", "worker", "key") if kind in query]
    if len(subjects) > 1:
        (kind, name), (other, _) = subjects[:2]
        raise InvalidField.of(kind, name, f"one of the two, because {other} is given too")
    filters = AuditFilters(
        subjects[0] if subjects else None,
        query.get("who"),
        query.get("action"),
        _moment(call, "since"),
        _moment(call, "until"),
        query.get("cursor"),
    )
    entries, following = audit.page(call.master.store, filters, limit)
    return Answer(body=entries, headers=following_page("/audit", query, limit, following))


def _moment(call: Call, name: str) -> float | None:
    given = call.query.get(name)
    try:
        return None if given is None else unix_seconds(given)
    except (ValueError, OverflowError):
        allowed = "a time as in RFC 3339, such as 2027-01-31T18:00:00Z"
        raise InvalidField.of(name, given, allowed) from None
