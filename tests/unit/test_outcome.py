"""Facts to outcome. ``stderr/VERSION/NAME.txt`` are the exit status and the log of real ends:
ffmpeg 5.1.9 (Debian 12) and 7.1.5 (Debian 13) in the sandbox, with the worker's command line."""

from __future__ import annotations

import errno
import os
import re
from dataclasses import replace
from pathlib import Path

import pytest

from ffmpeg_jobs import contract
from ffmpeg_jobs.model import Outcome, Reason, State, Usage
from ffmpeg_jobs.schema import check, to_json
from ffmpeg_worker.facts import Facts, ended_by_itself
from ffmpeg_worker.outcome import AttemptError, conclude, given_up, outcome_of_error, stopped
from ffmpeg_worker.trouble import output_trouble

CAPTURED = Path(__file__).parent / "stderr"

#: Name of a capture: its reason, and words that its sentence must have.
ENDS = {
    "no_such_file": (Reason.INPUT_ERROR, "No such file or directory"),
    "not_media": (Reason.INPUT_ERROR, "Invalid data found"),
    "empty_input": (Reason.INPUT_ERROR, "Invalid data found"),
    "moov_missing": (Reason.INPUT_ERROR, "moov atom not found"),
    "subtitles_only": (Reason.INPUT_ERROR, "does not contain any stream"),
    "permission_denied": (Reason.INPUT_ERROR, "Permission denied"),
    "unknown_encoder": (Reason.ENCODER_ERROR, "Unknown encoder 'libnothere'"),
    "amf_no_device": (Reason.ENCODER_ERROR, "Unknown encoder 'h264_amf'"),
    "unknown_preset": (Reason.ENCODER_ERROR, "preset/tune quick"),
    "unknown_tune": (Reason.ENCODER_ERROR, "preset/tune medium/hq"),
    "unknown_preset_x265": (Reason.ENCODER_ERROR, "preset/tune quick"),
    "unknown_preset_svtav1": (Reason.ENCODER_ERROR, "'quick'"),
    "unknown_preset_vp9": (Reason.ENCODER_ERROR, "'fast'"),
    "audio_bitrate_too_high": (Reason.ENCODER_ERROR, "between 500 and 1536000"),
    "vp8_not_in_mp4": (Reason.ENCODER_ERROR, "codec vp8"),
    "codec_not_in_container": (Reason.ENCODER_ERROR, "codec ffv1"),
    "h264_not_in_webm": (Reason.ENCODER_ERROR, "supported for WebM"),
    "vaapi_no_device": (Reason.ENCODER_ERROR, "no device on this machine: No VA display"),
    "qsv_no_device": (Reason.ENCODER_ERROR, "no device on this machine: No VA display"),
    "nvenc_no_device": (Reason.ENCODER_ERROR, "no device on this machine: Cannot load libcuda"),
    "disk_full": (Reason.DISK_FULL, "the disk is full"),
    "last_bytes_full_mpegts": (Reason.DISK_FULL, "the disk is full"),
    "last_bytes_full_matroska": (Reason.DISK_FULL, "the disk is full"),
    "last_bytes_full_flv": (Reason.DISK_FULL, "the disk is full"),
    "output_not_writable": (Reason.OUTPUT_ERROR, "Read-only file system"),
    "rtmp_in_refused": (Reason.NETWORK_ERROR, "Connection refused"),
    "rtmp_in_reset": (Reason.NETWORK_ERROR, "RTMP handshake"),
    "rtmp_in_eof": (Reason.NETWORK_ERROR, "RTMP handshake"),
    "rtmp_in_not_rtmp": (Reason.NETWORK_ERROR, "RTMP handshake"),
    "rtmp_in_silent": (Reason.NETWORK_ERROR, "RTMP handshake"),
    "rtmp_in_no_host": (Reason.NETWORK_ERROR, "Failed to resolve hostname nosuchhost.invalid"),
    "rtmp_in_no_route": (Reason.NETWORK_ERROR, "No route to host"),
    "rtmp_out_refused": (Reason.NETWORK_ERROR, "Connection refused"),
    "rtmp_out_reset": (Reason.NETWORK_ERROR, "RTMP handshake"),
    "rtmp_out_eof": (Reason.NETWORK_ERROR, "RTMP handshake"),
    "rtmp_out_broken_off": (Reason.NETWORK_ERROR, "Connection reset by peer"),
    "rtmps_refused": (Reason.NETWORK_ERROR, "Connection refused"),
    "rtmps_not_tls": (Reason.NETWORK_ERROR, "Cannot open connection"),
    "terminated": (Reason.WORKER_LOST, "somebody on the machine ended it with signal 15"),
    "sandbox_lacks_a_file": (Reason.INTERNAL_ERROR, "Can't find source path /nonexistent/file"),
    "sandbox_lacks_ffmpeg": (Reason.INTERNAL_ERROR, "execvp ffmpeg-not-there"),
    "cut_short": (None, ""),
}


def captured(version: str, name: str) -> Facts:
    first, *lines = (CAPTURED / version / f"{name}.txt").read_text().splitlines()
    return Facts(int(first.split()[1]), "success", stderr_tail=tuple(lines), disk_free_percent=50.0)


@pytest.mark.parametrize("version", ["5.1", "7.1"])
@pytest.mark.parametrize("name", ENDS)
def test_what_ffmpeg_said_is_understood(version: str, name: str) -> None:
    reason, words = ENDS[name]
    outcome = conclude(captured(version, name))
    assert outcome.reason is reason, outcome.error
    assert words in (outcome.error or "")
    assert "0x" not in (outcome.error or "")


@pytest.mark.parametrize(
    "cause", ["Input/output error", "Read-only file system", "Stale file handle", "File too large"]
)
@pytest.mark.parametrize("version", ["5.1", "7.1"])
@pytest.mark.parametrize("name", ["disk_full", "last_bytes_full_mpegts"])
def test_a_volume_that_fails_is_another_machine_s_chance(
    version: str, name: str, cause: str
) -> None:
    full = captured(version, name)
    lines = (line.replace("No space left on device", cause) for line in full.stderr_tail)
    outcome = conclude(replace(full, stderr_tail=tuple(lines)))
    assert (outcome.reason, outcome.final) == (Reason.OUTPUT_ERROR, None)
    assert cause in (outcome.error or "")


def test_viewers_have_seen_a_stream_that_breaks_off_at_its_last_byte() -> None:
    line = "[error] Error writing trailer of rtmp://example.org/live: Input/output error"
    assert conclude(Facts(0, "success", stderr_tail=(line,))).state is State.COMPLETED


def test_an_input_that_cannot_be_read_is_no_trouble_of_the_output() -> None:
    for words in ("file:/input: Input/output error", "file:/input: Permission denied"):
        failed = Facts(1, "success", stderr_tail=(f"[error] {words}",))
        assert conclude(failed).reason is Reason.INPUT_ERROR


@pytest.mark.parametrize(
    ("number", "reason", "final"),
    [
        (errno.ENOSPC, Reason.DISK_FULL, False),
        (errno.EDQUOT, Reason.DISK_FULL, False),
        (errno.EROFS, Reason.OUTPUT_ERROR, False),
        (errno.EACCES, Reason.OUTPUT_ERROR, False),
        (errno.EIO, Reason.OUTPUT_ERROR, False),
        (errno.ESTALE, Reason.OUTPUT_ERROR, False),
        (errno.ENAMETOOLONG, Reason.OUTPUT_ERROR, True),
        (errno.ELOOP, Reason.OUTPUT_ERROR, True),
        (errno.EEXIST, Reason.OUTPUT_ERROR, True),
    ],
)
def test_what_the_system_refuses_at_the_output(number: int, reason: Reason, final: bool) -> None:
    found = output_trouble(OSError(number, os.strerror(number)), "output: cannot write in /x")
    assert (found.reason, found.final) == (reason, final)
    assert str(found) == f"output: cannot write in /x: {os.strerror(number)}"


def test_its_own_limit_is_told_with_both_figures_and_is_no_chance_for_another_machine() -> None:
    over = Facts(-9, None, stop_asked_by="disk", disk_used_mb=61, disk_limit_mb=50)
    outcome = conclude(over)
    assert (outcome.reason, outcome.final) == (Reason.DISK_FULL, True)
    assert "used 61 MB of disk, and its max_disk_mb is 50 MB" in (outcome.error or "")
    check(contract.OUTCOME, to_json(outcome))
    assert stopped("disk").final


@pytest.mark.parametrize("version", ["5.1", "7.1"])
def test_every_capture_is_in_the_table(version: str) -> None:
    assert {path.stem for path in (CAPTURED / version).iterdir()} == set(ENDS)


FAILED = Facts(
    1, "success", stderr_tail=("[error] file:/input: Invalid data found when processing input",)
)
KILLED = Facts(-9, "success", memory_limit_mb=256, timeout_sec=60, disk_free_percent=50.0)


@pytest.mark.parametrize(
    ("facts", "reason", "words"),
    [
        (replace(KILLED, oom_kills=1), Reason.OUT_OF_MEMORY, "256 MB.*raise max_memory_mb"),
        (replace(KILLED, scope_result="oom-kill"), Reason.OUT_OF_MEMORY, "256 MB"),
        (replace(KILLED, exit_status=None, scope_result="oom-kill"), Reason.OUT_OF_MEMORY, "256"),
        (replace(KILLED, exit_status=255, timed_out=True), Reason.TIMEOUT, "60 s.*timeout_sec"),
        (replace(KILLED, exit_status=None, scope_result="timeout"), Reason.TIMEOUT, "60 seconds"),
        (
            replace(KILLED, oom_kills=1, met_its_limit=False),
            Reason.WORKER_LOST,
            "machine, or all its jobs together.* 256 MB was not reached",
        ),
        (replace(KILLED, exit_status=234, terminated=True), Reason.WORKER_LOST, "with signal 15"),
        (replace(KILLED, exit_status=None, scope_result="disobeyed"), Reason.WORKER_LOST, "killed"),
        (replace(KILLED, oom_kills=1, timed_out=True), Reason.OUT_OF_MEMORY, "256 MB"),
        (KILLED, Reason.WORKER_LOST, "somebody on the machine ended it with signal 9"),
        (replace(KILLED, exit_status=-15), Reason.WORKER_LOST, "with signal 15"),
        (replace(KILLED, exit_status=None), Reason.WORKER_LOST, "killed from outside"),
        (replace(KILLED, exit_status=None, scope_result=None), Reason.WORKER_LOST, "restarted"),
        (replace(KILLED, exit_status=-11), Reason.ENCODER_ERROR, "ffmpeg crashed with signal 11"),
        (replace(KILLED, exit_status=127), Reason.INTERNAL_ERROR, "bwrap.* could not be started"),
        (replace(FAILED, disk_free_percent=0.0), Reason.DISK_FULL, "the disk is full"),
        (replace(FAILED, disk_free_percent=0.9), Reason.DISK_FULL, "the disk is full"),
        (replace(FAILED, disk_free_percent=1.1), Reason.INPUT_ERROR, "input: Invalid data"),
        (replace(FAILED, disk_free_percent=None), Reason.INPUT_ERROR, "Invalid data"),
        (replace(FAILED, stop_asked_by="cancel"), Reason.CANCELED, "canceled"),
        (replace(KILLED, stop_asked_by="lost"), Reason.CANCELED, "canceled"),
        (replace(KILLED, stop_asked_by="disk"), Reason.DISK_FULL, "max_disk_mb"),
        (replace(KILLED, stop_asked_by="volume"), Reason.DISK_FULL, "volume .* nearly full"),
        (replace(KILLED, stop_asked_by="drain"), Reason.WORKER_LOST, "drain"),
        (replace(FAILED, stderr_tail=()), Reason.ENCODER_ERROR, "failed with exit status 1$"),
    ],
)
def test_the_first_cause_decides(facts: Facts, reason: Reason, words: str) -> None:
    outcome = conclude(facts)
    assert outcome.reason is reason
    assert outcome.state is (State.CANCELED if reason is Reason.CANCELED else State.FAILED)
    assert outcome.exit_status == facts.exit_status
    assert re.search(words, outcome.error or "")


@pytest.mark.parametrize(
    ("facts", "itself"),
    [
        (KILLED, False),
        (replace(KILLED, exit_status=-15), False),
        (replace(KILLED, exit_status=None), False),
        (replace(KILLED, exit_status=None, scope_result="disobeyed"), False),
        (replace(FAILED, terminated=True), False),
        (FAILED, True),
        (Facts(0, "success"), True),
        (replace(KILLED, exit_status=-11), True),
        (replace(KILLED, oom_kills=1, terminated=True), True),
        (replace(KILLED, exit_status=None, scope_result="oom-kill"), True),
        (replace(KILLED, scope_result="timeout", terminated=True), True),
        (replace(KILLED, timed_out=True, terminated=True), True),
    ],
)
def test_who_ended_it(facts: Facts, itself: bool) -> None:
    assert ended_by_itself(facts) is itself


@pytest.mark.parametrize("by", ["volume", "drain", "unsure"])
def test_what_ended_well_before_its_stop_completed(by: str) -> None:
    assert conclude(Facts(0, "success", stop_asked_by=by)).state is State.COMPLETED


def test_a_job_that_ended_well_completed_even_where_a_child_met_its_memory_limit() -> None:
    usage = Usage(cpu_seconds=1.5)
    outcome = conclude(Facts(0, "success", oom_kills=1, usage=usage, enforced=False))
    assert outcome == Outcome(State.COMPLETED, exit_status=0, usage=usage, enforced=False)


def test_what_ffmpeg_only_mentions_is_no_complaint() -> None:
    title = "[info]     title           : How I fixed No space left on device"
    cause = "[libopus @ 0x55f0] [error] The sample rate 5 is odd"
    later = "[error] Something that followed"
    outcome = conclude(Facts(234, "success", stderr_tail=(title, cause, later)))
    assert outcome.reason is Reason.ENCODER_ERROR
    assert outcome.error == "ffmpeg failed with exit status 234: The sample rate 5 is odd"


def test_an_outcome_fits_the_contract_however_long_the_lines_are() -> None:
    endless = "[error] \0" + "x" * 10_000
    outcome = conclude(Facts(1, "success", stderr_tail=(endless,) * 50))
    check(contract.OUTCOME, to_json(outcome))
    assert len(outcome.log_tail) == 20
    assert len(outcome.error or "") > 4000
    long_step = AttemptError(Reason.INPUT_ERROR, f"https://example.org/{'x' * 5000} is not there")
    check(contract.OUTCOME, to_json(outcome_of_error(long_step)))


def test_a_step_s_error_is_an_outcome() -> None:
    failed = outcome_of_error(AttemptError(Reason.DISK_FULL, "no room", final=True))
    assert failed == Outcome(State.FAILED, Reason.DISK_FULL, "no room", final=True)
    canceled = outcome_of_error(AttemptError(Reason.CANCELED, "canceled"))
    assert (canceled.state, canceled.final) == (State.CANCELED, None)


def test_of_what_never_ran_nobody_says_that_it_was_held_to_its_limits() -> None:
    failed = to_json(outcome_of_error(AttemptError(Reason.INPUT_ERROR, "it is not there")))
    assert "enforced" not in failed


def test_what_a_later_step_gives_up_keeps_what_is_known() -> None:
    lines = tuple(f"[info] line {n}" for n in range(30))
    facts = Facts(0, "success", usage=Usage(cpu_seconds=2.0), stderr_tail=lines, enforced=False)
    outcome = given_up(facts, AttemptError(Reason.INPUT_ERROR, "cut short"))
    assert (outcome.state, outcome.reason) == (State.FAILED, Reason.INPUT_ERROR)
    assert outcome.log_tail == lines[-20:]
    assert (outcome.exit_status, outcome.usage, outcome.enforced) == (0, facts.usage, False)
