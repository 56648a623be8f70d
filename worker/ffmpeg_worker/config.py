"""The settings of worker.toml: one row each, and the frozen Config that they make."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from ffmpeg_jobs.destination import Policy
from ffmpeg_jobs.settings import (
    FLAG,
    PATH,
    TEXT,
    TEXTS,
    URLS,
    ConfigError,
    Kind,
    Setting,
    choice,
    load,
    whole,
)
from ffmpeg_worker.admission import Thresholds
from ffmpeg_worker.capacity import Rules, capacity
from ffmpeg_worker.key import read_key
from ffmpeg_worker.machine import cores, memory_mb, resources
from ffmpeg_worker.rights import OUTPUT_SETTINGS, Rights, rights
from ffmpeg_worker.roots import ROOTS, check_apart
from ffmpeg_worker.rules import CAPACITY_SETTINGS, MACHINE_SETTINGS, PRESSURE_SETTINGS
from ffmpeg_worker.surroundings import manager_for, worker_uid

CONFIG_FILE: Final = Path("/etc/ffmpeg-worker/worker.toml")


def _as_labels(value: object) -> tuple[str, ...]:
    items = TEXTS.read(value)
    if not all(re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}=[^\x00]{0,255}", i) for i in items):
        raise ValueError
    return tuple(items)


LABELS: Final = Kind('a list of names with texts, such as ["zone=a", "gpu=l4"]', _as_labels)

SETTINGS: Final = (
    Setting(
        "",
        "master",
        URLS,
        "http://127.0.0.1:8080",
        "where the master answers, or those that share a database",
        flag="--master",
        env="FFMPEG_WORKER_MASTER",
    ),
    Setting(
        "",
        "api_key_file",
        PATH,
        None,
        "the file that holds this worker's API key; systemd's credential api-key is used "
        "when it is not set",
        flag="--api-key-file",
    ),
    Setting("", "ca", PATH, None, "PEM file of the CA that signed the master", flag="--ca"),
    Setting(
        "",
        "client_cert",
        PATH,
        None,
        "PEM file of a certificate to show the master, where it asks for one",
        flag="--client-cert",
    ),
    Setting("", "client_key", PATH, None, "PEM file of its key", flag="--client-key"),
    Setting(
        "",
        "insecure_skip_verify",
        FLAG,
        False,
        "do not check the master's certificate (development only)",
        flag="--insecure-skip-verify",
    ),
    Setting("", "name", TEXT, None, "this worker's name; the host name when it is not set"),
    Setting("", "labels", LABELS, (), "what jobs may ask of their worker by worker_labels"),
    Setting(
        "",
        "max_concurrent_jobs",
        whole(1, 10000, "jobs"),
        None,
        "how many jobs run at once; what ffmpeg-worker capacity computes when it is not set",
        flag="--max-concurrent-jobs",
    ),
    Setting(
        "",
        "state_directory",
        PATH,
        Path("/var/lib/ffmpeg-worker"),
        "where job directories live",
    ),
    Setting(
        "",
        "input_roots",
        ROOTS,
        (Path("/var/lib/ffmpeg-worker/input"),),
        "folders that a job's input may be in; {tenant} gives each tenant its own, as in "
        '["/srv/in/{tenant}"]',
    ),
    Setting(
        "",
        "output_roots",
        ROOTS,
        (Path("/var/lib/ffmpeg-worker/output"),),
        "folders that a job's output may be written to; {tenant} likewise",
    ),
    Setting(
        "",
        "manager",
        choice("system", "user", "none", "auto"),
        "system",
        "who holds jobs: systemd through our launcher (system), this account's own systemd --user "
        "(user), nobody (none: one job at a time, limits are not enforced), or the first of these "
        "that is here (auto)",
    ),
    Setting(
        "",
        "require_enforcement",
        FLAG,
        True,
        "refuse jobs whose limits the kernel does not enforce here",
    ),
    Setting(
        "",
        "log_level",
        choice("debug", "info", "warning", "error"),
        "info",
        "the least that is logged",
    ),
    Setting(
        "",
        "live_preempts_batch",
        FLAG,
        False,
        "when all places are taken, take jobs of the queue live all the same, and let batch jobs "
        "stand still meanwhile",
    ),
    Setting(
        "limits",
        "max_cpu_percent",
        whole(1, 102400, "percent"),
        None,
        "the most CPU one job may ask (100 is one core); no cap when it is not set",
    ),
    Setting(
        "limits",
        "max_memory_mb",
        whole(16, 4194304, "MiB"),
        None,
        "the most memory one job may ask; the machine's when it is not set",
    ),
    Setting(
        "limits", "timeout_sec", whole(1, 604800, "seconds"), 604800, "the longest one job may run"
    ),
    *OUTPUT_SETTINGS,
    *MACHINE_SETTINGS,
    Setting(
        "spot",
        "notice_file",
        PATH,
        None,
        "when this file appears, the cloud takes the machine back: no new jobs, and those that "
        "run are given back after grace_seconds",
    ),
    Setting(
        "spot",
        "grace_seconds",
        whole(0, 86400, "seconds"),
        60,
        "how long jobs may go on after the cloud's notice, or after SIGUSR2",
    ),
    Setting(
        "metrics",
        "address",
        TEXT,
        "127.0.0.1:9091",
        "where Prometheus finds /metrics, and people /health",
    ),
)


@dataclass(frozen=True)
class Config:
    """What the worker was told, with the machine's own values filled in."""

    master: str
    api_key: str
    ca: str | None
    client_cert: str | None
    client_key: str | None
    insecure_skip_verify: bool
    name: str
    cpus: int
    max_concurrent_jobs: int
    state_directory: Path
    input_roots: tuple[Path, ...]
    output_roots: tuple[Path, ...]
    require_enforcement: bool
    log_level: str
    max_cpu_percent: int
    max_memory_mb: int
    max_timeout_seconds: int
    metrics_address: str
    spot_notice_file: Path | None = None
    spot_grace_seconds: int = 60
    live_preempts_batch: bool = False
    labels: tuple[str, ...] = ()  #: NAME=TEXT
    manager: str = "system"  #: system, user or none
    rights: Rights = field(default_factory=Rights)  #: of outputs
    network: Policy = field(default_factory=Policy)
    capacity: Rules = field(default_factory=Rules)
    pressure: Thresholds = field(default_factory=Thresholds)

    @property
    def jobs_directory(self) -> Path:
        """Where each attempt has its directory."""
        return self.state_directory / "jobs"

    @property
    def encoders_file(self) -> Path:
        """Where it is remembered which encoders in software work."""
        return self.state_directory / "encoders.json"

    @property
    def control_directory(self) -> Path:
        """Where people ask things of the worker."""
        return self.state_directory / "control"


def read_config(
    file: Path, flags: Mapping[str, Any], environ: Mapping[str, str], *, key_needed: bool = True
) -> Config:
    """The configuration; without ``key_needed`` the API key is left empty. Raises ConfigError."""
    values = load(SETTINGS, file, flags, environ, needed=file != CONFIG_FILE)
    check_apart(input_roots=values["input_roots"], output_roots=values["output_roots"])
    rules = Rules(**{row.name: values[row.name] for row in CAPACITY_SETTINGS})
    uid = os.getuid() if key_needed else worker_uid(values["state_directory"])
    manager = manager_for(values["manager"], uid)
    recommended = capacity(resources(values["state_directory"], manager), rules).max_concurrent_jobs
    return Config(
        manager=manager,
        master=values["master"],
        api_key=read_key(values["api_key_file"], environ) if key_needed else "",
        ca=str(values["ca"]) if values["ca"] else None,
        client_cert=str(values["client_cert"]) if values["client_cert"] else None,
        client_key=str(values["client_key"]) if values["client_key"] else None,
        insecure_skip_verify=values["insecure_skip_verify"],
        name=values["name"] or socket.gethostname(),
        cpus=cores(),
        max_concurrent_jobs=_places(values["max_concurrent_jobs"], recommended, manager),
        state_directory=values["state_directory"],
        input_roots=values["input_roots"],
        output_roots=values["output_roots"],
        require_enforcement=values["require_enforcement"],
        log_level=values["log_level"],
        max_cpu_percent=values["max_cpu_percent"] or 102400,
        max_memory_mb=values["max_memory_mb"] or memory_mb(),
        max_timeout_seconds=values["timeout_sec"],
        metrics_address=values["address"],
        spot_notice_file=values["notice_file"],
        spot_grace_seconds=values["grace_seconds"],
        live_preempts_batch=values["live_preempts_batch"],
        labels=values["labels"],
        rights=rights(*(values[row.name] for row in OUTPUT_SETTINGS)),
        network=Policy(values["allow"], values["deny"], "[network] allow in worker.toml"),
        capacity=rules,
        pressure=Thresholds(**{row.name: values[row.name] for row in PRESSURE_SETTINGS}),
    )


def _places(asked: int | None, recommended: int, manager: str) -> int:
    """How many jobs run at once; without anybody to hold them, it is one."""
    if manager != "none":
        return asked or recommended
    if asked not in (None, 1):
        raise ConfigError(
            f'max_concurrent_jobs: {asked} is not possible with manager = "none"; it must be 1, '
            "because nothing keeps jobs from each other's memory and CPU"
        )
    return 1
