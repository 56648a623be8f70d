"""docs/several-masters.md lets through what a master takes."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # falcon 3.1 imports cgi
    from ffmpeg_master.api.routes import ROUTES

PAGE = Path(__file__).parents[2] / "docs/several-masters.md"


def test_the_balancer_takes_the_longest_body() -> None:
    (limit_mib,) = re.findall(r"client_max_body_size (\d+)m;", PAGE.read_text(encoding="utf-8"))
    assert int(limit_mib) << 20 > max(route.body_max_bytes for route in ROUTES)
