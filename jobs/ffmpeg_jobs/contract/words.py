"""The words that the schemas are made of: bounds, names, patterns."""

from __future__ import annotations

from typing import Final

from ffmpeg_jobs import shapes
from ffmpeg_jobs.shapes import text, whole

JsonSchema = shapes.JsonSchema

JOB_ID_PATTERN: Final = "^[a-z2-7]{12}$"
WORKER_NAME_PATTERN: Final = "^[A-Za-z0-9]([A-Za-z0-9._-]{0,62})$"
# A URL of a scheme we carry, or an absolute path; printable, no white space in a URL.
INPUT_PATTERN: Final = (
    r"^(https?://[^\s\x00-\x1f\x7f]+|rtmps?://[^\s\x00-\x1f\x7f]+|/[^\x00-\x1f\x7f]+)$"
)

NUMBER: JsonSchema = {"type": "number", "minimum": 0, "description": "a number, 0 or more"}
COUNT = whole(0, 1 << 62, "units")
FLAG: JsonSchema = {"type": "boolean", "description": "true or false"}
SENTENCE = text(r"^[^\x00]*$", 4096, "a sentence of at most 4096 characters")
SHORT = text(r"^[^\x00]*$", 255, "a text of at most 255 characters")
LOG_LINE = text(r"^[^\x00]*$", 2000, "a line of at most 2000 characters")
TIME = text(r"^\d{4}-\d\d-\d\dT.*Z$", 32, "a time as in RFC 3339, UTC")
MOMENT = text(
    # 31 February fits; what reads it knows better.
    r"^[1-9][0-9]{3}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
    r"T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,6})?"
    r"(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$",
    32,
    "a time as in RFC 3339, such as 2027-01-31T18:00:00Z",
)
JOB_ID = text(JOB_ID_PATTERN, 12, "a job id: 12 of the characters a-z and 2-7")
#: In a batch, a job that stands before this one has no id yet: "#0" is the first.
DEPENDENCY = text(
    "^([a-z2-7]{12}|#(0|[1-9][0-9]{0,2}))$",
    12,
    'the id of a job that may still complete, or in a batch "#0" for its first job',
)
TOKEN = text("^[A-Za-z0-9_-]{16,64}$", 64, "the token that came with the claim")
WORKER_NAME = text(
    WORKER_NAME_PATTERN, 63, "a worker's name: letters, digits, '.', '_', '-', at most 63"
)
GROUP_NAME = text(
    WORKER_NAME_PATTERN, 63, "a group's name: letters, digits, '.', '_', '-', at most 63"
)
#: One folder's name, too: it begins with a letter or digit, so it is neither "." nor "..".
TENANT_NAME = text(
    WORKER_NAME_PATTERN, 63, "a tenant's name: letters, digits, '.', '_', '-', at most 63"
)
ATTEMPT = whole(1, 1000, "attempts")
#: A worker numbers its claims, upwards over restarts too: Unix time in milliseconds will do.
SERIAL = whole(0, (1 << 53) - 1, "the number of a claim or a heartbeat")
PLACE = text(INPUT_PATTERN, 4096, "an http, https, rtmp or rtmps URL, or an absolute path")
FOLDER = text(r"^/[^\x00]*$", 4096, "an absolute path")
CALLBACK = text(
    r"^https?://[^\s\x00-\x1f\x7f]+$",
    2048,
    "an http or https URL with a host and no user, at most 2048 characters",
)
BITRATE = text("^[1-9][0-9]{0,8}[kM]?$", 10, 'bits per second, such as "4M", "800k" or "96000"')
SIDE = whole(16, 8192, "pixels") | {
    "multipleOf": 2,
    "description": "an even number of pixels, 16 to 8192",
}
EXIT_STATUS = whole(-64, 255, "an exit status") | {
    "description": "an exit status, or minus the signal"
}
