"""What workers say of themselves, and what the master answers."""

from __future__ import annotations

from ffmpeg_jobs.bounds import VIDEO_ENCODERS
from ffmpeg_jobs.contract.attempt import PROGRESS, TERMS, USAGE
from ffmpeg_jobs.contract.job import LABELS
from ffmpeg_jobs.contract.words import (
    ATTEMPT,
    FLAG,
    FOLDER,
    JOB_ID,
    NUMBER,
    SENTENCE,
    SERIAL,
    TIME,
    TOKEN,
    WORKER_NAME,
)
from ffmpeg_jobs.model import Order
from ffmpeg_jobs.shapes import choice, fields, items, text, whole

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
        "jobs_cpu_percent": whole(0, 6553600, "percent"),
        "jobs_memory_mb": whole(0, 1 << 31, "MiB"),
        "jobs_disk_mb": whole(0, 1 << 40, "MiB"),
        "preempts": FLAG,
        "require_enforcement": FLAG,
        "labels": LABELS,
        "input_roots": items(FOLDER, 1000, "folders that it reads inputs from now"),
        "output_roots": items(FOLDER, 1000, "folders that it writes outputs to now"),
    },
    needs="cpus memory_mb disk_free_mb max_concurrent_jobs",
)

FREE = fields(
    {
        "cpu_percent": whole(0, 6553600, "percent"),
        "memory_mb": whole(0, 1 << 31, "MiB"),
        "disk_mb": whole(0, 1 << 40, "MiB"),
        "slots": whole(0, 10000, "jobs"),
    },
    needs="cpu_percent memory_mb disk_mb slots",
)

HEARTBEAT = fields(
    {
        "running": items(
            fields(
                {
                    "job_id": JOB_ID,
                    "attempt": ATTEMPT,
                    "token": TOKEN,
                    "progress": PROGRESS,
                    "usage": USAGE,
                    "in_force": TERMS,
                    "unmet": SENTENCE,
                },
                needs="job_id attempt token",
            ),
            10000,
            "a report of each running attempt",
        ),
        "disk_free_mb": whole(0, 1 << 40, "MiB"),
        "draining": FLAG,
        "free": FREE,
        "held_back": SENTENCE,
        "claim_serial": SERIAL,
        "serial": SERIAL,
        "recall": FLAG,
    }
)

HEARTBEAT_ANSWER = fields(
    {
        "orders": items(
            fields(
                {
                    "job_id": JOB_ID,
                    "attempt": ATTEMPT,
                    "order": choice(*(o.value for o in Order)),
                    "wanted": TERMS,
                },
                needs="job_id attempt order",
            ),
            10000,
            "an order for each reported attempt",
        ),
        "lease_seconds": NUMBER,
        "heartbeat_seconds": NUMBER,
        "drain": FLAG,
        "drain_seconds": NUMBER,
        "serial": SERIAL,
    },
    needs="orders lease_seconds heartbeat_seconds",
)

DRAIN = fields({"timeout_seconds": whole(0, 604800, "seconds")})

WORKER_STATUS = fields(
    {
        "name": WORKER_NAME,
        "online": FLAG,
        "machine": MACHINE,
        "running": items(JOB_ID, 10000, "ids of jobs"),
        "registered_at": TIME,
        "last_heartbeat_at": TIME,
        "free": FREE,
        "held_back": SENTENCE,
        "cordoned": FLAG,
        "draining": FLAG,
    },
    needs="name online machine running registered_at last_heartbeat_at",
)
