"""What a job may say."""

from __future__ import annotations

from ffmpeg_jobs.bounds import (
    AUDIO_ENCODERS,
    BATCH_MAX_JOBS,
    DEPENDS_ON_MAX,
    FORMATS,
    TUNES,
    VIDEO_ENCODERS,
)
from ffmpeg_jobs.contract.words import (
    BITRATE,
    CALLBACK,
    COUNT,
    DEPENDENCY,
    FLAG,
    GROUP_NAME,
    MOMENT,
    NUMBER,
    PLACE,
    SHORT,
    SIDE,
    WORKER_NAME_PATTERN,
    JsonSchema,
)
from ffmpeg_jobs.model import Priority, Queue, State
from ffmpeg_jobs.scenarios import SCENARIOS
from ffmpeg_jobs.shapes import choice, fields, items, number, text, whole

PARAMETERS = fields(
    {
        "duration": number(0.1, 86400, "seconds"),
        "bitrate": BITRATE,
        "encoder": choice(*VIDEO_ENCODERS, "copy", "none"),
        "preset": text(
            "^[a-z0-9]{1,16}$", 16, "a preset of the encoder: lower-case letters, digits"
        ),
        "tune": choice(*TUNES),
        "crf": whole(0, 63, "CRF steps"),
        "width": SIDE,
        "height": SIDE,
        "framerate": whole(1, 240, "frames per second"),
        "audio_encoder": choice(*AUDIO_ENCODERS, "copy", "none"),
        "audio_bitrate": BITRATE,
        "format": choice(*FORMATS),
    }
)
LIMITS = fields(
    {
        "max_cpu_percent": whole(1, 102400, "percent (100 is one core)"),
        "max_memory_mb": whole(16, 4194304, "MiB"),
        "max_disk_mb": whole(1, 104857600, "MiB"),
        "timeout_sec": whole(1, 604800, "seconds"),
    }
)


def of_limits(*names: str) -> dict[str, JsonSchema]:
    """The schemas of some of a job's limits."""
    return {name: LIMITS["properties"][name] for name in names}


#: What can be asked of the limits of a job that was accepted.
NEW_LIMITS: JsonSchema = fields(of_limits("max_cpu_percent", "max_memory_mb", "timeout_sec")) | {
    "minProperties": 1,
    "description": "at least one of max_cpu_percent, max_memory_mb, timeout_sec",
}

LABELS: JsonSchema = {
    "type": "object",
    "maxProperties": 32,
    "propertyNames": text(
        WORKER_NAME_PATTERN, 63, "a name of letters, digits, '.', '_', '-', at most 63"
    ),
    "additionalProperties": SHORT,
    "description": "at most 32 names (letters, digits, '.', '_', '-', at most 63) with texts of "
    "at most 255 characters",
}

JOB = fields(
    {
        "scenario": choice(*SCENARIOS),
        "input": PLACE,
        "output": PLACE,
        "overwrite": FLAG,
        "parameters": PARAMETERS,
        "resource_limits": LIMITS,
        "queue": choice(*(q.value for q in Queue)),
        "priority": choice(*(p.value for p in Priority)),
        "labels": LABELS,
        "max_attempts": whole(1, 20, "attempts"),
        "require_enforcement": FLAG,
        "worker_labels": LABELS,
        "not_before": MOMENT,
        "deadline": MOMENT,
        "group": GROUP_NAME,
        "depends_on": items(
            DEPENDENCY, DEPENDS_ON_MAX, f"a list of at most {DEPENDS_ON_MAX} different jobs"
        )
        | {"uniqueItems": True},
        "callback_url": CALLBACK,
    }
)

#: Jobs that are accepted together or not at all.
BATCH = fields(
    {"jobs": items(JOB, BATCH_MAX_JOBS, f"a list of 1 to {BATCH_MAX_JOBS} jobs") | {"minItems": 1}},
    needs="jobs",
)

_STATES = fields({state.value: COUNT for state in State})
#: Jobs by state, all together and of each queue.
COUNTS = fields(
    {"jobs": COUNT, "states": _STATES, "queues": fields({q.value: _STATES for q in Queue})},
    needs="jobs states queues",
)

#: The jobs of one group together.
GROUP = fields(
    {
        "name": GROUP_NAME,
        "jobs": COUNT,
        "states": _STATES,
        "percent": NUMBER | {"maximum": 100},
    },
    needs="name jobs states percent",
)
