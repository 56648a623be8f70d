"""Nothing gets its name before the master was told so; what has it is told of in any case."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from ffmpeg_jobs.client import MasterClient
from ffmpeg_jobs.line import Endpoint
from ffmpeg_jobs.model import Claim, Job, Outcome, State
from ffmpeg_worker import jobdir
from ffmpeg_worker.attempt import Station, end, publish
from ffmpeg_worker.drain import Drains
from ffmpeg_worker.lease import MARGIN_SECONDS, Lease, boot_seconds
from ffmpeg_worker.outcome import AttemptError
from ffmpeg_worker.plan import Plan, make_plan
from ffmpeg_worker.publish import publish_file
from ffmpeg_worker.results import Results
from ffmpeg_worker.unmanaged import Unmanaged
from tests.serving import here, serving
from tests.unit.test_plan import CONFIG

PROBED = '{"format": {"size": "3"}, "streams": [{"codec_type": "video"}, {"codec_type": "audio"}]}'
DONE = Outcome(State.COMPLETED)


@dataclass(frozen=True)
class Master:
    """It takes whatever is told, once it has refused as often as it is to; what was asked of it,
    and whether the output lay in its place then."""

    url: str
    output: Path
    refusals: list[int] = field(default_factory=list)
    asked: list[tuple[str, bool]] = field(default_factory=list)

    def station(self, directory: Path) -> Station:
        config = replace(CONFIG, state_directory=directory, output_roots=(directory,))
        client = MasterClient(Endpoint(self.url, "key"))

        async def up() -> bool:
            return False

        placement, drains = Unmanaged(config.jobs_directory), Drains(config, up)
        return Station(config, placement, client, Results(client), drains, lambda *_: None)


@pytest.fixture
def master(tmp_path: Path) -> Iterator[Master]:
    class Handler(BaseHTTPRequestHandler):
        master: Master

        def log_message(self, format: str, *args: object) -> None:
            pass

        def answer(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"] or 0))
            what = self.path.rpartition("/")[2]
            self.master.asked.append((what, self.master.output.exists()))
            refuses = self.path.endswith("publishing=true") and self.master.refusals
            self.send_response(self.master.refusals.pop(0) if refuses else 204)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_PUT = do_POST = answer  # noqa: N815 - the library's names

    with serving(here(Handler)) as url:
        Handler.master = Master(url, tmp_path / "out.mp4")
        yield Handler.master


@pytest.fixture
def plan(master: Master, tmp_path: Path) -> Plan:
    """Of an output that is made, and has not got its name."""
    claim = Claim("abcdefghijkl", 1, "t" * 32, 60.0, Job(output=str(master.output)))
    made = make_plan(claim, master.station(tmp_path).config)
    jobdir.record(made)
    (Path(made.directory) / "probe.json").write_text(PROBED)
    (Path(made.directory) / "log").write_text("a log\n")
    Path(str(made.staged)).parent.mkdir(mode=0o700)
    Path(str(made.staged)).write_bytes(b"new")
    return made


def published(plan: Plan, lease: Lease, at: Station) -> None:
    asyncio.run(asyncio.wait_for(publish(plan, lease, at.client), 30))


@pytest.mark.parametrize(
    ("refusals", "tries"), [([], 1), ([503], 2), ([413], 2), ([422, 422], 2), ([401, 500], 3)]
)
def test_the_master_hears_of_it_first(
    master: Master, plan: Plan, tmp_path: Path, refusals: list[int], tries: int
) -> None:
    master.refusals.extend(refusals)
    at, lease = master.station(tmp_path), Lease(boot_seconds() + 60)
    published(plan, lease, at)
    assert master.asked == [("log?publishing=true", False)] * tries
    assert master.output.read_bytes() == b"new"
    asyncio.run(end(plan, DONE, None, lease, at))
    # The log is not told twice.
    assert master.asked[tries:] == [("result", True)]


def test_what_is_heard_with_it_confirms_the_lease(
    master: Master, plan: Plan, tmp_path: Path
) -> None:
    lease = Lease(boot_seconds() + MARGIN_SECONDS + 5)
    published(plan, lease, master.station(tmp_path))
    assert lease.sure_seconds > 30


@pytest.mark.parametrize("refusal", [404, 409])
def test_an_attempt_that_is_not_ours_any_more_is_not_published(
    master: Master, plan: Plan, tmp_path: Path, refusal: int
) -> None:
    master.refusals.append(refusal)
    lease = Lease(boot_seconds() + 60)
    with pytest.raises(AttemptError):
        published(plan, lease, master.station(tmp_path))
    assert not master.output.exists()


def test_what_an_earlier_worker_published_is_told_of_without_a_lease(
    master: Master, plan: Plan, tmp_path: Path
) -> None:
    """It died before it wrote the outcome down, and the lease is lost meanwhile."""
    assert publish_file(plan, lambda: True)
    lease, at = Lease(), master.station(tmp_path)
    lease.ask_stop("lost")
    published(plan, lease, at)
    asyncio.run(end(plan, DONE, None, lease, at))
    assert master.asked == [("result", True)]  # its log, which is short, with it


def test_what_was_given_up_at_the_last_moment_is_not_taken_for_published(
    master: Master, plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker dies while it takes the attempt's files away."""
    assert not publish_file(plan, lambda: False)
    at, lease = master.station(tmp_path), Lease()
    lease.ask_stop("lost")
    monkeypatch.setattr(jobdir, "remove", lambda _directory: None)
    asyncio.run(end(plan, Outcome(State.CANCELED), "lost", lease, at))
    assert not Path(str(plan.staged)).exists()
    assert not jobdir.was_published(plan)
