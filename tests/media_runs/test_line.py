"""An attempt without its scope: plan, prepare, the real holder, conclude, publish."""

from __future__ import annotations

import asyncio
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from ffmpeg_jobs.client import MasterClient
from ffmpeg_jobs.line import Endpoint
from ffmpeg_jobs.model import Claim, Media, Outcome, Reason, State
from ffmpeg_jobs.schema import parse_job
from ffmpeg_worker import attempt, jobdir
from ffmpeg_worker.config import Config
from ffmpeg_worker.facts import Facts
from ffmpeg_worker.lease import Lease, boot_seconds
from ffmpeg_worker.outcome import AttemptError, conclude
from ffmpeg_worker.plan import Plan, make_plan, opening
from ffmpeg_worker.prepare import prepare
from ffmpeg_worker.publish import deliver, verified
from ffmpeg_worker.staging import forget
from tests.media_runs.conftest import CLIP, PATIENCE_SECONDS, as_held, make
from tests.serving import here, serving

QUICK = {"preset": "ultrafast", "crf": 35, "width": 320, "height": 180, "duration": 1}


def run(config: Config, **submitted: Any) -> tuple[Plan, Outcome]:
    """From a submitted job to the outcome of its ffmpeg."""
    job = parse_job({"resource_limits": {"max_disk_mb": 100}} | submitted)
    plan = make_plan(Claim("abcdefghijkl", 1, "t" * 32, 60.0, job), config)
    jobdir.record(plan)
    with prepare(plan, threading.Event()) as opened:
        subprocess.run(
            **as_held(plan, opened),
            input=opening(plan),
            stderr=subprocess.DEVNULL,
            timeout=PATIENCE_SECONDS,
            check=True,
        )
    ended = jobdir.holder_facts(plan)
    assert ended is not None
    lines = tuple(jobdir.tail(plan, "log").splitlines())
    return plan, conclude(Facts(ended.exit_status, "success", stderr_tail=lines))


def publish(plan: Plan) -> Media | None:
    """As the attempt does it while its lease is sure."""
    media = verified(plan)
    assert deliver(plan, threading.Event(), lambda: True)
    return media


def test_a_file_becomes_a_verified_file(config: Config) -> None:
    final = config.output_roots[0] / "new" / "out.mp4"
    plan, outcome = run(config, input=str(CLIP), output=str(final), parameters=QUICK)
    assert outcome.state is State.COMPLETED, outcome.error
    assert not final.exists()
    media = publish(plan)
    assert media is not None
    assert media.video == "h264 320x180 25 fps"
    assert media.duration_seconds == pytest.approx(1, abs=0.1)
    assert (media.input_duration_seconds, media.frames) == (5.31, 25)
    assert media.input_size_bytes == CLIP.stat().st_size
    whole_bytes = media.size_bytes * 5.31 / (media.duration_seconds or 0)
    assert media.compression_ratio == pytest.approx(whole_bytes / CLIP.stat().st_size, abs=1e-4)
    assert final.stat().st_size == media.size_bytes
    # The next worker may come to this point again.
    assert publish(plan) == media
    forget(plan)
    assert list(final.parent.iterdir()) == [final]


def test_without_an_output_it_is_encoded_verified_and_discarded(config: Config) -> None:
    plan, outcome = run(config, parameters=QUICK)
    assert outcome.state is State.COMPLETED, outcome.error
    media = publish(plan)
    assert media is not None
    assert media.input_duration_seconds is None
    assert list(config.output_roots[0].iterdir()) == []


@pytest.mark.parametrize("scenario", ["preview", "remux", "480p-h264"])
def test_scenarios_run_as_they_are(config: Config, scenario: str) -> None:
    plan, outcome = run(config, scenario=scenario, input=str(CLIP))
    assert outcome.state is State.COMPLETED, outcome.error
    assert isinstance(publish(plan), Media)


def test_an_input_that_is_no_media_leaves_no_output(config: Config) -> None:
    final = config.output_roots[0] / "out.mp4"
    source = CLIP.parent / "ATTRIBUTION"
    _, outcome = run(config, input=str(source), output=str(final), parameters=QUICK)
    assert outcome.reason is Reason.INPUT_ERROR
    assert not final.exists()


@dataclass(frozen=True)
class Bucket:
    """A server that has the clip and keeps what it is sent."""

    url: str
    kept: dict[str, bytes] = field(default_factory=dict)


@pytest.fixture
def bucket() -> Iterator[Bucket]:
    class Handler(BaseHTTPRequestHandler):
        bucket: Bucket

        def log_message(self, format: str, *args: object) -> None:
            pass

        def do_GET(self) -> None:
            content = CLIP.read_bytes()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def do_PUT(self) -> None:
            self.bucket.kept[self.path] = self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

    with serving(here(Handler)) as url:
        Handler.bucket = Bucket(url)
        yield Handler.bucket


def test_from_a_url_to_a_url(config: Config, bucket: Bucket) -> None:
    plan, outcome = run(
        config,
        input=f"{bucket.url}/in.mp4?key=1",
        output=f"{bucket.url}/out.mkv?signature=2",
        parameters=QUICK,
    )
    assert outcome.state is State.COMPLETED, outcome.error
    media = publish(plan)
    assert media is not None
    assert (media.format, media.frames) == ("matroska,webm", 25)
    assert {path: len(body) for path, body in bucket.kept.items()} == {
        "/out.mkv?signature=2": media.size_bytes
    }


def test_an_output_that_shrank_is_not_published(config: Config) -> None:
    final = config.output_roots[0] / "out.mp4"
    plan, _ = run(config, input=str(CLIP), output=str(final), parameters=QUICK)
    probed = Path(plan.directory) / "probe.json"
    probed.write_text(probed.read_text().replace('"duration": "1.0', '"duration": "9.0'))
    with pytest.raises(AttemptError, match="cut short or damaged"):
        publish(plan)
    assert not final.exists()


CHAPTER = "[CHAPTER]\nTIMEBASE=1/1000\nSTART={0}\nEND={1}\ntitle=" + "t" * 60 + "\n"


@pytest.mark.parametrize(
    ("described", "lie", "refusal"),
    [
        # Of an input, its metadata are told before its length, its chapters before its streams.
        (
            "".join(f"key{number}={'c' * 500}\n" for number in range(100)),
            ('"duration": "1.0', '"duration": "9.0'),
            "should be 1.00 s",
        ),
        (
            "".join(CHAPTER.format(number, number + 1) for number in range(1000)),
            ('"codec_type": "audio"', '"codec_type": "data"'),
            "no audio stream",
        ),
    ],
)
def test_an_input_that_is_described_at_length_is_verified_too(
    config: Config, tmp_path: Path, described: str, lie: tuple[str, str], refusal: str
) -> None:
    (tmp_path / "words").write_text(f";FFMETADATA1\n{described}\n")
    words = ("-i", str(CLIP), "-i", str(tmp_path / "words"), "-map_metadata", "1")
    source = make(tmp_path / "described.mkv", *words, "-map", "0", "-c", "copy")
    plan, outcome = run(
        replace(config, input_roots=(tmp_path,)), input=str(source), parameters=QUICK
    )
    assert outcome.state is State.COMPLETED, outcome.error
    media = publish(plan)
    assert media is not None
    assert media.input_duration_seconds == pytest.approx(5.31, abs=0.1)
    probed = Path(plan.directory) / "probe.json"
    assert lie[0] in probed.read_text()
    probed.write_text(probed.read_text().replace(*lie))
    with pytest.raises(AttemptError, match=refusal):
        publish(plan)


@pytest.mark.parametrize("by", ["volume", "drain"])
def test_a_whole_output_waits_for_the_master_whatever_is_asked(config: Config, by: str) -> None:
    """It is away, and the disk is full, or the time of a drain is over."""
    final = config.output_roots[0] / "out.mp4"
    plan, _ = run(config, input=str(CLIP), output=str(final), parameters=QUICK)

    class Master(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(204)
            self.end_headers()

    async def story(client: MasterClient) -> Media | None:
        lease = Lease()
        lease.ask_stop(by)
        publishing = asyncio.ensure_future(attempt.publish(plan, lease, client))
        await asyncio.sleep(0.5)
        assert not publishing.done()
        assert not final.exists()
        lease.extend(boot_seconds(), 60)
        return await asyncio.wait_for(publishing, PATIENCE_SECONDS)

    with serving(here(Master)) as url, closing(MasterClient(Endpoint(url, "key"))) as client:
        assert isinstance(asyncio.run(story(client)), Media)
    assert final.exists()
