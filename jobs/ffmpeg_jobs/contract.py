"""The JSON Schema of each noun that crosses the wire, once.

Validation (``schema.py``), the OpenAPI document and the reference in ``docs/`` are all
made of these tables (JSON Schema 2020-12, as OpenAPI 3.1 uses it). A ``description``
says what is allowed in words, because it is what a refusal shows to a person.
"""

from __future__ import annotations

from typing import Final

from ffmpeg_jobs import shapes
from ffmpeg_jobs.model import Order, Priority, Queue, Reason, State
from ffmpeg_jobs.scenarios import SCENARIOS
from ffmpeg_jobs.shapes import choice, fields, items, number, text, whole

JsonSchema = shapes.JsonSchema

#: An attempt's log is cut to its last part of this size; 1 MiB is about 10,000 lines.
LOG_MAX_BYTES: Final = 1 << 20
#: A request's body; a job is under 8 KiB, a heartbeat of 100 attempts under 64 KiB.
BODY_MAX_BYTES: Final = 1 << 20
#: The longest a claim is held open, in seconds; proxies commonly cut at 60.
CLAIM_WAIT_MAX_SECONDS: Final = 50

# fmt: off
VIDEO_ENCODERS: Final = [
    "libx264", "libx265", "libsvtav1", "libaom-av1", "libvpx", "libvpx-vp9",
    "mpeg4", "prores_ks", "ffv1",
    "h264_nvenc", "hevc_nvenc", "av1_nvenc",
    "h264_qsv", "hevc_qsv", "av1_qsv", "vp9_qsv",
    "h264_vaapi", "hevc_vaapi", "av1_vaapi", "vp8_vaapi", "vp9_vaapi",
    "h264_amf", "hevc_amf", "av1_amf",
]
AUDIO_ENCODERS: Final = [
    "aac", "libopus", "libmp3lame", "libvorbis", "ac3", "eac3", "flac", "pcm_s16le",
]
FORMATS: Final = ["mp4", "mov", "matroska", "webm", "mpegts", "flv", "ogg", "mp3", "flac", "wav"]
TUNES: Final = [
    "film", "animation", "grain", "stillimage", "psnr", "ssim", "fastdecode", "zerolatency",
    "hq", "ll", "ull", "lossless",
    "fast_decode", "vmaf",
]
# fmt: on

JOB_ID_PATTERN: Final = "^[a-z2-7]{12}$"
WORKER_NAME_PATTERN: Final = "^[A-Za-z0-9]([A-Za-z0-9._-]{0,62})$"
# A URL of a scheme we carry, or an absolute path; printable, no white space in a URL.
INPUT_PATTERN: Final = (
    r"^(https?://[^\s\x00-\x1f\x7f]+|rtmps?://[^\s\x00-\x1f\x7f]+|/[^\x00-\x1f\x7f]+)$"
)

_number: JsonSchema = {"type": "number", "minimum": 0, "description": "a number, 0 or more"}
_count = whole(0, 1 << 62, "units")
_flag: JsonSchema = {"type": "boolean", "description": "true or false"}
_sentence = text(r"^[^\x00]*$", 4096, "a sentence of at most 4096 characters")
_short = text(r"^[^\x00]*$", 255, "a text of at most 255 characters")
_log_line = text(r"^[^\x00]*$", 2000, "a line of at most 2000 characters")
_time = text(r"^\d{4}-\d\d-\d\dT.*Z$", 32, "a time as in RFC 3339, UTC")
_job_id = text(JOB_ID_PATTERN, 12, "a job id: 12 of the characters a-z and 2-7")
_token = text("^[A-Za-z0-9_-]{16,64}$", 64, "the token that came with the claim")
_worker_name = text(
    WORKER_NAME_PATTERN, 63, "a worker's name: letters, digits, '.', '_', '-', at most 63"
)
_attempt = whole(1, 1000, "attempts")
_place = text(INPUT_PATTERN, 4096, "an http, https, rtmp or rtmps URL, or an absolute path")
_bitrate = text("^[1-9][0-9]{0,8}[kM]?$", 10, 'bits per second, such as "4M", "800k" or "96000"')
_side = whole(16, 8192, "pixels") | {
    "multipleOf": 2,
    "description": "an even number of pixels, 16 to 8192",
}
_exit_status = whole(-64, 255, "an exit status") | {
    "description": "an exit status, or minus the signal"
}

PARAMETERS = fields(
    {
        "duration": number(0.1, 86400, "seconds"),
        "bitrate": _bitrate,
        "encoder": choice(*VIDEO_ENCODERS, "copy", "none"),
        "preset": text(
            "^[a-z0-9]{1,16}$", 16, "a preset of the encoder: lower-case letters, digits"
        ),
        "tune": choice(*TUNES),
        "crf": whole(0, 63, "CRF steps"),
        "width": _side,
        "height": _side,
        "framerate": whole(1, 240, "frames per second"),
        "audio_encoder": choice(*AUDIO_ENCODERS, "copy", "none"),
        "audio_bitrate": _bitrate,
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


def _of_limits(*names: str) -> dict[str, JsonSchema]:
    return {name: LIMITS["properties"][name] for name in names}


#: What can be asked of the limits of a job that was accepted.
NEW_LIMITS: JsonSchema = fields(_of_limits("max_cpu_percent", "max_memory_mb", "timeout_sec")) | {
    "minProperties": 1,
    "description": "at least one of max_cpu_percent, max_memory_mb, timeout_sec",
}
#: How an attempt is held, wanted or in force.
TERMS = fields({"paused": _flag} | _of_limits("max_cpu_percent", "max_memory_mb"))

LABELS: JsonSchema = {
    "type": "object",
    "maxProperties": 32,
    "propertyNames": text(
        WORKER_NAME_PATTERN, 63, "a name of letters, digits, '.', '_', '-', at most 63"
    ),
    "additionalProperties": _short,
    "description": "at most 32 names (letters, digits, '.', '_', '-', at most 63) with texts of "
    "at most 255 characters",
}

JOB = fields(
    {
        "scenario": choice(*SCENARIOS),
        "input": _place,
        "output": _place,
        "parameters": PARAMETERS,
        "resource_limits": LIMITS,
        "queue": choice(*(q.value for q in Queue)),
        "priority": choice(*(p.value for p in Priority)),
        "labels": LABELS,
        "max_attempts": whole(1, 20, "attempts"),
        "require_enforcement": _flag,
    }
)

PROGRESS = fields(
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

USAGE = fields(
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

MEDIA = fields(
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
    needs="size_bytes",
)
OUTCOME = fields(
    {
        "state": choice(State.COMPLETED.value, State.FAILED.value, State.CANCELED.value),
        "reason": choice(*(r.value for r in Reason)),
        "error": _sentence,
        "log_tail": items(_log_line, 20, "at most 20 lines"),
        "exit_status": _exit_status,
        "usage": USAGE,
        "media": MEDIA,
        "enforced": _flag,
    },
    needs="state",
)

RESULT = fields({"token": _token, "outcome": OUTCOME}, needs="token outcome")

CLAIM_REQUEST = fields(
    {
        "worker": _worker_name,
        "wait_seconds": number(0, CLAIM_WAIT_MAX_SECONDS, "seconds"),
    },
    needs="worker",
)

CLAIM = fields(
    {
        "job_id": _job_id,
        "attempt": _attempt,
        "token": _token,
        "lease_seconds": _number,
        "job": JOB,
    },
    needs="job_id attempt token lease_seconds job",
)

MACHINE = fields(
    {
        "cpus": whole(1, 65536, "cores"),
        "memory_mb": whole(1, 1 << 31, "MiB"),
        "disk_free_mb": whole(0, 1 << 40, "MiB"),
        "max_concurrent_jobs": whole(1, 10000, "jobs"),
        "encoders": items(choice(*VIDEO_ENCODERS), 64, "encoders that work on the machine"),
        "manager": choice("system", "user", "none"),
        "enforced": items(choice("cpu", "memory", "pids", "io"), 4, "limits the kernel enforces"),
        "version": text(r"^[^\x00]*$", 64, "a version"),
    },
    needs="cpus memory_mb disk_free_mb max_concurrent_jobs",
)

HEARTBEAT = fields(
    {
        "running": items(
            fields(
                {
                    "job_id": _job_id,
                    "attempt": _attempt,
                    "token": _token,
                    "progress": PROGRESS,
                    "usage": USAGE,
                    "in_force": TERMS,
                    "unmet": _sentence,
                },
                needs="job_id attempt token",
            ),
            10000,
            "a report of each running attempt",
        ),
        "disk_free_mb": whole(0, 1 << 40, "MiB"),
        "draining": _flag,
    }
)

HEARTBEAT_ANSWER = fields(
    {
        "orders": items(
            fields(
                {
                    "job_id": _job_id,
                    "attempt": _attempt,
                    "order": choice(*(o.value for o in Order)),
                    "wanted": TERMS,
                },
                needs="job_id attempt order",
            ),
            10000,
            "an order for each reported attempt",
        ),
        "lease_seconds": _number,
        "heartbeat_seconds": _number,
    },
    needs="orders lease_seconds heartbeat_seconds",
)

JOB_STATUS = fields(
    {
        "id": _job_id,
        "state": choice(*(s.value for s in State)),
        "job": JOB,
        "created_at": _time,
        "updated_at": _time,
        "attempt": whole(0, 1000, "attempts"),
        "worker": _worker_name,
        "started_at": _time,
        "finished_at": _time,
        "cancel_requested": _flag,
        "pause_requested": _flag,
        "in_force": TERMS,
        "unmet": _sentence,
        "reason": choice(*(r.value for r in Reason)),
        "error": _sentence,
        "log_tail": items(_log_line, 20, "at most 20 lines"),
        "exit_status": _exit_status,
        "progress": PROGRESS,
        "usage": USAGE,
        "media": MEDIA,
        "enforced": _flag,
    },
    needs="id state job created_at updated_at",
)

WORKER_STATUS = fields(
    {
        "name": _worker_name,
        "online": _flag,
        "machine": MACHINE,
        "running": items(_job_id, 10000, "ids of jobs"),
        "registered_at": _time,
        "last_heartbeat_at": _time,
    },
    needs="name online machine running registered_at last_heartbeat_at",
)
