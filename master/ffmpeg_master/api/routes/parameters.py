"""What may stand in a path's braces and in a query."""

from __future__ import annotations

from typing import Final

from ffmpeg_jobs import contract, problems
from ffmpeg_jobs.contract import JsonSchema
from ffmpeg_jobs.shapes import choice, text

STATUS: Final = contract.JOB_STATUS["properties"]
WORKER_NAME: Final = contract.WORKER_STATUS["properties"]["name"]


def number(low: int, high: int, words: str) -> JsonSchema:
    """A whole number from ``low`` to ``high``; ``words`` say so."""
    return {"type": "integer", "minimum": low, "maximum": high, "description": words}


def table(properties: dict[str, JsonSchema]) -> JsonSchema:
    """An object with these properties and no others."""
    return {
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
        "description": "the parameters " + ", ".join(properties),
    }


ATTEMPT: Final = number(1, 1000, "a whole number of attempts, 1 to 1000")

#: What stands in a path's braces.
PATH: Final = table(
    {
        "job_id": STATUS["id"],
        "attempt": ATTEMPT,
        "name": WORKER_NAME,
        "group": contract.GROUP_NAME,
        "tenant": contract.TENANT_NAME,
        "kind": choice(*problems.BY_KIND),
    }
)

_WHICH: Final = {
    "queue": contract.JOB["properties"]["queue"],
    "worker": WORKER_NAME,
    "group": contract.GROUP_NAME,
    "label": {
        "type": "string",
        "pattern": r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}=[^\x00]{0,255}$",
        "description": "a label and its value, as NAME=VALUE",
    },
    "since": contract.MOMENT,
    "until": contract.MOMENT,
}
COUNT_QUERY: Final = table(_WHICH)
LIST_QUERY: Final = table(
    {
        "state": STATUS["state"],
        "status": STATUS["state"],
        **_WHICH,
        "limit": number(1, 1000, "a whole number of jobs, 1 to 1000"),
        "cursor": number(0, (1 << 63) - 1, "the cursor of the Link header of the page before"),
    }
)
AUDIT_QUERY: Final = table(
    {
        "job": STATUS["id"],
        "worker": WORKER_NAME,
        "key": text(contract.WORKER_NAME_PATTERN, 63, "a key's name"),
        "tenant": contract.TENANT_NAME,
        "who": text(r"^[^\x00]{1,63}$", 63, "the name of a key, or of an account"),
        "action": contract.ACTION,
        "since": contract.MOMENT,
        "until": contract.MOMENT,
        "limit": number(1, 1000, "a whole number of entries, 1 to 1000"),
        "cursor": number(0, (1 << 63) - 1, "the cursor of the Link header of the page before"),
    }
)
LOG_QUERY: Final = table({"attempt": ATTEMPT})
PUBLISHING_QUERY: Final = table({"publishing": choice("true")})
#: What leads from a page of a list to the next.
NEXT_PAGE: Final = {"Link": "where the next page is, unless this is the last (RFC 8288)"}
NO_QUERY: Final = table({})
