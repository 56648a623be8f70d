"""``ffmpeg-worker``, without what it never needs."""

from __future__ import annotations

import sys
from typing import Final

#: Where it is installed, structlog loads it for tracebacks in colour: a tenth of the memory of a
#: worker that waits. chardet stays: without it, Debian 12's requests warns on stderr.
UNUSED: Final = ("rich",)


def main() -> int:
    """The program; its exit status."""
    for name in UNUSED:
        sys.modules[name] = None  # type: ignore[assignment]  # as if it were not installed
    from ffmpeg_worker.main import main as run  # noqa: PLC0415 - not before

    return run()


if __name__ == "__main__":
    sys.exit(main())
