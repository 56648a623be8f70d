"""How an attempt ended reaches the master, whatever that says of the log."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler

import pytest

from ffmpeg_jobs.bounds import LOG_SHORT_BYTES
from ffmpeg_jobs.client import MasterClient
from ffmpeg_jobs.line import Endpoint
from ffmpeg_jobs.model import Claim, Job, Outcome, State
from ffmpeg_worker.report import report
from ffmpeg_worker.results import Results
from tests.serving import here, serving

CLAIM = Claim("a" * 12, 1, "t" * 32, 60.0, Job())


@dataclass(frozen=True)
class Master:
    """It takes results, and says of logs what it is told to say, the last thing again and again."""

    url: str
    of_logs: list[int] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)


@pytest.fixture
def master() -> Iterator[Master]:
    class Handler(BaseHTTPRequestHandler):
        master: Master

        def log_message(self, format: str, *args: object) -> None:
            pass

        def answer(self, status: int) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.master.asked.append(f"{self.path.rpartition('/')[2]} {status}")
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def do_PUT(self) -> None:
            statuses = self.master.of_logs
            self.answer(statuses[0] if len(statuses) == 1 else statuses.pop(0))

        def do_POST(self) -> None:
            self.answer(204)

    with serving(here(Handler)) as url:
        Handler.master = Master(url)
        yield Handler.master


LONG = "a line of a log\n" * LOG_SHORT_BYTES


def told(master: Master, *of_logs: int, log: str = LONG) -> list[str]:
    master.of_logs.extend(of_logs)

    async def story() -> None:
        client = MasterClient(Endpoint(master.url, "key"))
        telling = report(CLAIM, Outcome(State.COMPLETED), log, Results(client))
        await asyncio.wait_for(telling, 30)
        client.close()

    asyncio.run(story())
    return master.asked


@pytest.mark.parametrize("status", [400, 404, 409, 413, 415, 422])
def test_a_refused_log_keeps_no_result_back(master: Master, status: int) -> None:
    assert told(master, status) == [f"log {status}", "result 204"]


@pytest.mark.parametrize("status", [429, 500, 403])
def test_what_may_be_mended_is_tried_again(master: Master, status: int) -> None:
    assert told(master, status, 204) == [f"log {status}", "log 204", "result 204"]


def test_a_short_log_goes_with_the_result(master: Master) -> None:
    assert told(master, 500, log="a log\n") == ["result 204"]
