"""What the audit log says."""

from __future__ import annotations

from ffmpeg_jobs.contract.words import SHORT, TIME, JsonSchema
from ffmpeg_jobs.model import Action, Role
from ffmpeg_jobs.shapes import choice, fields, whole

ACTION = choice(*(action.value for action in Action))
_DETAIL: JsonSchema = {"type": "object", "description": "what was asked"}

AUDIT_ENTRY = fields(
    {
        "id": whole(1, (1 << 63) - 1, "entries"),
        "at": TIME,
        "who": SHORT,
        "action": ACTION,
        "kind": choice("job", "worker", "key", "tenant"),
        "subject": SHORT,
        "role": choice(*(role.value for role in Role)),
        "tenant": SHORT,
        "address": SHORT,
        "detail": _DETAIL,
    },
    needs="id at who action kind subject",
)
