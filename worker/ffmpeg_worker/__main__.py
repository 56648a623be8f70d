"""``ffmpeg-worker``, without what it never needs."""

from __future__ import annotations

import sys
from typing import Final

#: Where they are installed, structlog loads the one, for tracebacks in colour, and requests the
#: other, for texts of unknown encoding: a sixth of the memory of a worker that waits.
UNUSED: Final = ("rich", "chardet")


def main() -> int:
    """The program; its exit status."""
    for name in UNUSED:
        sys.modules[name] = None  # type: ignore[assignment]  # as if it were not installed
    from ffmpeg_worker.main import main as run  # noqa: PLC0415 - not before

    return run()


if __name__ == "__main__":
    sys.exit(main())
