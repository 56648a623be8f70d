"""What is said of one attempt, and of a job as the API shows it."""

from __future__ import annotations

from ffmpeg_jobs.bounds import CLAIM_MAX_JOBS, CLAIM_WAIT_MAX_SECONDS, LOG_SHORT_BYTES
from ffmpeg_jobs.contract.job import JOB, of_limits
from ffmpeg_jobs.contract.words import (
    ATTEMPT,
    COUNT,
    EXIT_STATUS,
    FLAG,
    JOB_ID,
    LOG_LINE,
    NUMBER,
    SENTENCE,
    SERIAL,
    SHORT,
    TENANT_NAME,
    TIME,
    TOKEN,
    WORKER_NAME,
)
from ffmpeg_jobs.model import CallbackState, Reason, State
from ffmpeg_jobs.shapes import choice, fields, items, number, text, whole

#: How an attempt is held, wanted or in force.
TERMS = fields({"paused": FLAG} | of_limits("max_cpu_percent", "max_memory_mb"))

PROGRESS = fields(
    {
        "percent": NUMBER | {"maximum": 100},
        "frame": COUNT,
        "fps": NUMBER,
        "speed": NUMBER,
        "out_time_seconds": NUMBER,
        "size_bytes": COUNT,
        "eta_seconds": NUMBER,
    }
)

USAGE = fields(
    {
        "cpu_seconds": NUMBER,
        "cpu_user_seconds": NUMBER,
        "cpu_system_seconds": NUMBER,
        "throttled_seconds": NUMBER,
        "memory_peak_bytes": COUNT,
        "read_bytes": COUNT,
        "written_bytes": COUNT,
        "wall_seconds": NUMBER,
    }
)

MEDIA = fields(
    {
        "size_bytes": COUNT,
        "duration_seconds": NUMBER,
        "format": SHORT,
        "video": SHORT,
        "audio": SHORT,
        "input_duration_seconds": NUMBER,
        "input_size_bytes": COUNT,
        "compression_ratio": NUMBER,
        "frames": COUNT,
        "average_speed": NUMBER,
    },
    needs="size_bytes",
)
OUTCOME = fields(
    {
        "state": choice(State.COMPLETED.value, State.FAILED.value, State.CANCELED.value),
        "reason": choice(*(r.value for r in Reason)),
        "error": SENTENCE,
        "log_tail": items(LOG_LINE, 20, "at most 20 lines"),
        "exit_status": EXIT_STATUS,
        "usage": USAGE,
        "media": MEDIA,
        "enforced": FLAG,
        "final": FLAG,
    },
    needs="state",
)

SHORT_LOG = text(r"^[^\x00]*$", LOG_SHORT_BYTES, "ffmpeg's log, if it is short")

RESULT = fields({"token": TOKEN, "outcome": OUTCOME, "log": SHORT_LOG}, needs="token outcome")

RELEASE = fields({"token": TOKEN, "why": SENTENCE}, needs="token why")

CLAIM = fields(
    {
        "job_id": JOB_ID,
        "attempt": ATTEMPT,
        "token": TOKEN,
        "lease_seconds": NUMBER,
        "job": JOB,
        "tenant": TENANT_NAME,
    },
    needs="job_id attempt token lease_seconds job",
)

CLAIM_REQUEST = fields(
    {
        "worker": WORKER_NAME,
        "wait_seconds": number(0, CLAIM_WAIT_MAX_SECONDS, "seconds"),
        "serial": SERIAL,
        "most": whole(1, CLAIM_MAX_JOBS, "jobs"),
        "places": whole(0, 10000, "jobs"),
        "leaving": items(
            fields({"job_id": JOB_ID, "attempt": ATTEMPT}, needs="job_id attempt"),
            10000,
            "the attempts that hold no place any more",
        ),
        "results": items(
            fields(
                {
                    "job_id": JOB_ID,
                    "attempt": ATTEMPT,
                    "token": TOKEN,
                    "outcome": OUTCOME,
                    "log": SHORT_LOG,
                },
                needs="job_id attempt token outcome",
            ),
            CLAIM_MAX_JOBS,
            f"how up to {CLAIM_MAX_JOBS} attempts ended",
        ),
    },
    needs="worker",
)

CLAIMED = fields(
    {
        "claims": items(CLAIM, CLAIM_MAX_JOBS, "an attempt each"),
        "refused": items(
            fields(
                {"job_id": JOB_ID, "attempt": ATTEMPT, "detail": SENTENCE},
                needs="job_id attempt detail",
            ),
            CLAIM_MAX_JOBS,
            "results that are not wanted",
        ),
    },
    needs="claims refused",
)

ATTEMPT_STATUS = fields(
    {
        "attempt": ATTEMPT,
        "worker": WORKER_NAME,
        "started_at": TIME,
        "ended_at": TIME,
        "given_back": FLAG,
        "outcome": OUTCOME,
    },
    needs="attempt worker started_at",
)

#: What a job's callback_url was told last.
CALLBACK_STATUS = fields(
    {
        "id": SHORT,
        "type": choice("job.started", "job.completed", "job.failed", "job.canceled"),
        "timestamp": TIME,
        "state": choice(*(s.value for s in CallbackState)),
        "tries": COUNT,
        "last_error": SENTENCE,
    },
    needs="id type timestamp state",
)

JOB_STATUS = fields(
    {
        "id": JOB_ID,
        "state": choice(*(s.value for s in State)),
        "job": JOB,
        "created_at": TIME,
        "updated_at": TIME,
        "attempt": whole(0, 1000, "attempts"),
        "worker": WORKER_NAME,
        "started_at": TIME,
        "finished_at": TIME,
        "cancel_requested": FLAG,
        "pause_requested": FLAG,
        "in_force": TERMS,
        "unmet": SENTENCE,
        "waiting_for": SENTENCE,
        "reason": choice(*(r.value for r in Reason)),
        "error": SENTENCE,
        "log_tail": items(LOG_LINE, 20, "at most 20 lines"),
        "exit_status": EXIT_STATUS,
        "progress": PROGRESS,
        "usage": USAGE,
        "media": MEDIA,
        "enforced": FLAG,
        "given_back": whole(0, 1000, "attempts"),
        "max_attempts": whole(1, 1000, "attempts"),
        "awaited": FLAG,
        "callback": CALLBACK_STATUS,
        "tenant": TENANT_NAME,
    },
    needs="id state job created_at updated_at",
)
