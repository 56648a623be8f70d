"""A server that takes one stream over RTMP: ffmpeg itself, listening."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def listening(kept: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Its URL, and its process, which ends with the stream; what came is in the file ``kept``."""
    port = free_port()
    url = f"rtmp://127.0.0.1:{port}/live/key"
    listen = ["ffmpeg", "-v", "quiet", "-nostdin", "-f", "flv", "-listen", "1", "-i", url]
    with subprocess.Popen([*listen, "-c", "copy", "-flush_packets", "1", kept]) as server:
        try:
            while f":{port:04X} 00000000:0000 0A" not in Path("/proc/net/tcp").read_text():
                assert server.poll() is None
                time.sleep(0.02)
            yield url, server
        finally:
            server.kill()


def free_port() -> int:
    """A port at which nobody listens now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
