"""The JSON Schema of each noun that crosses the wire, once.

Validation (``schema.py``), the OpenAPI document and the reference in ``docs/`` are all
made of these tables (JSON Schema 2020-12, as OpenAPI 3.1 uses it). A ``description``
says what is allowed in words, because it is what a refusal shows to a person.
"""

from __future__ import annotations

from typing import Any, Final

from ffmpeg_jobs.model import Order, Priority, Queue, Reason, State
from ffmpeg_jobs.scenarios import SCENARIOS

JsonSchema = dict[str, Any]

#: An attempt's log is cut to its last part of this size; 1 MiB is about 10,000 lines.
LOG_MAX_BYTES: Final = 1 << 20
#: A request's body; a job is under 8 KiB, a heartbeat of 100 attempts under 64 KiB.
BODY_MAX_BYTES: Final = 1 << 20
#: The longest a claim is held open, in seconds; proxies commonly cut at 60.
CLAIM_WAIT_MAX_SECONDS: Final = 50

VIDEO_ENCODERS: Final = ["libx264", "libx265", "libsvtav1", "libaom-av1", "libvpx", "libvpx-vp9", "mpeg4", "prores_ks", "ffv1", "h264_nvenc", "hevc_nvenc", "av1_nvenc", "h264_qsv", "hevc_qsv", "av1_qsv", "vp9_qsv", "h264_vaapi", "hevc_vaapi", "av1_vaapi", "vp8_vaapi", "vp9_vaapi", "h264_amf", "hevc_amf", "av1_amf"]
AUDIO_ENCODERS: Final = ["aac", "libopus", "libmp3lame", "libvorbis", "ac3", "eac3", "flac", "pcm_s16le"]
FORMATS: Final = ["mp4", "mov", "matroska", "webm", "mpegts", "flv", "ogg", "mp3", "flac", "wav"]
TUNES: Final = ["film", "animation", "grain", "stillimage", "psnr", "ssim", "fastdecode", "zerolatency", "hq", "ll", "ull", "lossless", "fast_decode", "vmaf"]

JOB_ID_PATTERN: Final = "^[a-z2-7]{12}$"
WORKER_NAME_PATTERN: Final = "^[A-Za-z0-9]([A-Za-z0-9._-]{0,62})$"
# A URL of a scheme we carry, or an absolute path; printable, no white space in a URL.
INPUT_PATTERN: Final = (
    r"^(https?://[^\s\x00-\x1f\x7f]+|rtmps?://[^\s\x00-\x1f\x7f]+|/[^\x00-\x1f\x7f]+)$"
)
_BITRATE_WORDS = 'bits per second, such as "4M", "800k" or "96000"'


def _whole(low: int, high: int, unit: str) -> JsonSchema:
    return {
        "type": "integer",
        "minimum": low,
        "maximum": high,
        "description": f"a whole number of {unit}, {low} to {high}",
    }


def _choice(*values: str) -> JsonSchema:
    return {"type": "string", "enum": list(values), "description": "one of " + ", ".join(values)}


def _text(pattern: str, longest: int, words: str) -> JsonSchema:
    return {"type": "string", "pattern": pattern, "maxLength": longest, "description": words}


def _object(properties: dict[str, JsonSchema], *required: str, words: str = "") -> JsonSchema:
    schema: JsonSchema = {
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
        "description": words or "an object with the fields " + ", ".join(properties),
    }
    if required:
        schema["required"] = list(required)
    return schema


def _list(items: JsonSchema, longest: int, words: str) -> JsonSchema:
    return {"type": "array", "items": items, "maxItems": longest, "description": words}


_number: JsonSchema = {"type": "number", "minimum": 0, "description": "a number, 0 or more"}
_count = _whole(0, 1 << 62, "units")
_sentence = _text(r"^[^\x00]*$", 4096, "a sentence of at most 4096 characters")
_flag: JsonSchema = {"type": "boolean", "description": "true or false"}
_time = _text(r"^\d{4}-\d\d-\d\dT.*Z$", 32, "a time as in RFC 3339, UTC")
_job_id = _text(JOB_ID_PATTERN, 12, "a job id: 12 of the characters a-z and 2-7")
_token = _text("^[A-Za-z0-9_-]{16,64}$", 64, "the token that came with the claim")
_worker_name = _text(
    WORKER_NAME_PATTERN, 63, "a worker's name: letters, digits, '.', '_', '-', at most 63"
)
_attempt = _whole(1, 1000, "attempts")

PARAMETERS = _object(
    {
        "duration": {
            "type": "number",
            "minimum": 0.1,
            "maximum": 86400,
            "description": "a number of seconds, 0.1 to 86400",
        },
        "bitrate": _text("^[1-9][0-9]{0,8}[kM]?$", 10, _BITRATE_WORDS),
        "encoder": _choice(*VIDEO_ENCODERS, "copy", "none"),
        "preset": _text(
            "^[a-z0-9]{1,16}$", 16, "a preset of the encoder: lower-case letters, digits"
        ),
        "tune": _choice(*TUNES),
        "crf": _whole(0, 63, "CRF steps"),
        "width": _whole(16, 8192, "pixels") | {"multipleOf": 2},
        "height": _whole(16, 8192, "pixels") | {"multipleOf": 2},
        "framerate": _whole(1, 240, "frames per second"),
        "audio_encoder": _choice(*AUDIO_ENCODERS, "copy", "none"),
        "audio_bitrate": _text("^[1-9][0-9]{0,8}[kM]?$", 10, _BITRATE_WORDS),
        "format": _choice(*FORMATS),
    }
)
for _side in ("width", "height"):
    PARAMETERS["properties"][_side]["description"] = "an even number of pixels, 16 to 8192"

LIMITS = _object(
    {
        "max_cpu_percent": _whole(1, 102400, "percent (100 is one core)"),
        "max_memory_mb": _whole(16, 4194304, "MiB"),
        "max_disk_mb": _whole(1, 104857600, "MiB"),
        "timeout_sec": _whole(1, 604800, "seconds"),
    }
)

LABELS: JsonSchema = {
    "type": "object",
    "maxProperties": 32,
    "propertyNames": _text(
        "^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$",
        63,
        "a name of letters, digits, '.', '_', '-', at most 63",
    ),
    "additionalProperties": _text(r"^[^\x00]*$", 255, "a text of at most 255 characters"),
    "description": "at most 32 names (letters, digits, '.', '_', '-', at most 63) with texts of "
    "at most 255 characters",
}

JOB = _object(
    {
        "scenario": _choice(*SCENARIOS),
        "input": _text(
            INPUT_PATTERN, 4096, "an http, https, rtmp or rtmps URL, or an absolute path"
        ),
        "output": _text(
            INPUT_PATTERN, 4096, "an http, https, rtmp or rtmps URL, or an absolute path"
        ),
        "parameters": PARAMETERS,
        "resource_limits": LIMITS,
        "queue": _choice(*(q.value for q in Queue)),
        "priority": _choice(*(p.value for p in Priority)),
        "labels": LABELS,
        "max_attempts": _whole(1, 20, "attempts"),
        "require_enforcement": _flag,
    }
)

PROGRESS = _object(
    {
        "percent": _number | {"maximum": 100},
        "frame": _count,
        "fps": _number,
        "speed": _number,
        "out_time_seconds": _number,
        "size_bytes": _count,
        "eta_seconds": _number,
    }
)

USAGE = _object(
    {
        "cpu_seconds": _number,
        "cpu_user_seconds": _number,
        "cpu_system_seconds": _number,
        "throttled_seconds": _number,
        "memory_peak_bytes": _count,
        "read_bytes": _count,
        "written_bytes": _count,
        "wall_seconds": _number,
    }
)

_short = _text(r"^[^\x00]*$", 255, "a text of at most 255 characters")
MEDIA = _object(
    {
        "size_bytes": _count,
        "duration_seconds": _number,
        "format": _short,
        "video": _short,
        "audio": _short,
        "input_duration_seconds": _number,
        "input_size_bytes": _count,
        "frames": _count,
        "average_speed": _number,
    },
    "size_bytes",
)
_log_line = _text(r"^[^\x00]*$", 2000, "a line of at most 2000 characters")
_exit_status: JsonSchema = {
    "type": "integer",
    "minimum": -64,
    "maximum": 255,
    "description": "an exit status, or minus the signal",
}

OUTCOME = _object(
    {
        "state": _choice(State.COMPLETED.value, State.FAILED.value, State.CANCELED.value),
        "reason": _choice(*(r.value for r in Reason)),
        "error": _sentence,
        "log_tail": _list(_log_line, 20, "at most 20 lines"),
        "exit_status": _exit_status,
        "usage": USAGE,
        "media": MEDIA,
        "enforced": _flag,
    },
    "state",
)

RESULT = _object({"token": _token, "outcome": OUTCOME}, "token", "outcome")

CLAIM_REQUEST = _object(
    {
        "worker": _worker_name,
        "wait_seconds": {
            "type": "number",
            "minimum": 0,
            "maximum": CLAIM_WAIT_MAX_SECONDS,
            "description": f"a number of seconds, 0 to {CLAIM_WAIT_MAX_SECONDS}",
        },
    },
    "worker",
)

CLAIM = _object(
    {
        "job_id": _job_id,
        "attempt": _attempt,
        "token": _token,
        "lease_seconds": _number,
        "job": JOB,
    },
    "job_id",
    "attempt",
    "token",
    "lease_seconds",
    "job",
)

MACHINE = _object(
    {
        "cpus": _whole(1, 65536, "cores"),
        "memory_mb": _whole(1, 1 << 31, "MiB"),
        "disk_free_mb": _whole(0, 1 << 40, "MiB"),
        "max_concurrent_jobs": _whole(1, 10000, "jobs"),
        "encoders": _list(_choice(*VIDEO_ENCODERS), 64, "encoders that work on the machine"),
        "manager": _choice("system", "user", "none"),
        "enforced": _list(_choice("cpu", "memory", "pids", "io"), 4, "limits the kernel enforces"),
        "version": _text(r"^[^\x00]*$", 64, "a version"),
    },
    "cpus",
    "memory_mb",
    "disk_free_mb",
    "max_concurrent_jobs",
)

HEARTBEAT = _object(
    {
        "running": _list(
            _object(
                {
                    "job_id": _job_id,
                    "attempt": _attempt,
                    "token": _token,
                    "progress": PROGRESS,
                    "usage": USAGE,
                },
                "job_id",
                "attempt",
                "token",
            ),
            10000,
            "a report of each running attempt",
        ),
        "disk_free_mb": _whole(0, 1 << 40, "MiB"),
        "draining": _flag,
    }
)

HEARTBEAT_ANSWER = _object(
    {
        "orders": _list(
            _object(
                {
                    "job_id": _job_id,
                    "attempt": _attempt,
                    "order": _choice(*(o.value for o in Order)),
                },
                "job_id",
                "attempt",
                "order",
            ),
            10000,
            "an order for each reported attempt",
        ),
        "lease_seconds": _number,
        "heartbeat_seconds": _number,
    },
    "orders",
    "lease_seconds",
    "heartbeat_seconds",
)

JOB_STATUS = _object(
    {
        "id": _job_id,
        "state": _choice(*(s.value for s in State)),
        "job": JOB,
        "created_at": _time,
        "updated_at": _time,
        "attempt": _whole(0, 1000, "attempts"),
        "worker": _worker_name,
        "started_at": _time,
        "finished_at": _time,
        "cancel_requested": _flag,
        "reason": _choice(*(r.value for r in Reason)),
        "error": _sentence,
        "log_tail": _list(_log_line, 20, "at most 20 lines"),
        "exit_status": _exit_status,
        "progress": PROGRESS,
        "usage": USAGE,
        "media": MEDIA,
        "enforced": _flag,
    },
    "id",
    "state",
    "job",
    "created_at",
    "updated_at",
)

WORKER_STATUS = _object(
    {
        "name": _worker_name,
        "online": _flag,
        "machine": MACHINE,
        "running": _list(_job_id, 10000, "ids of jobs"),
        "registered_at": _time,
        "last_heartbeat_at": _time,
    },
    "name",
    "online",
    "machine",
    "running",
    "registered_at",
    "last_heartbeat_at",
)
