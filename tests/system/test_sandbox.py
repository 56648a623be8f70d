"""What a job can see of the machine it runs on: next to nothing."""

from __future__ import annotations

import pytest

from tests.system.farm import Farm, in_place_of_ffmpeg

pytestmark = pytest.mark.lab

SPY = r"""#!/bin/sh
try() { if out=$(eval "$2" 2>&1); then echo "SPY $1 yes"; else echo "SPY $1 no"; fi; }
try usr-bin          'ls /usr/bin/ffprobe'
try own-directory    'touch /job/x'
try config           'ls /etc/ffmpeg-worker'
try api-key          'cat /etc/ffmpeg-worker/api-key'
try credentials      'ls /run/credentials'
try system-bus       'ls /run/dbus/system_bus_socket'
try any-of-run       'ls /run'
try other-jobs       'ls /var/lib/ffmpeg-worker'
try home             'ls /home /root'
try write-usr        'touch /usr/bin/x'
try write-input      'echo x >> /input'
try network          'grep -v "^ *lo:" /proc/net/dev | grep -q :'
try other-processes  'test $(ls -d /proc/[0-9]* | wc -l) -gt 12'
try worker-cgroup    'ls /sys/fs/cgroup'
try any-of-sys       'ls /sys'
try any-device       'find /dev -type b -o -type c | grep -Evq "null|zero|full|random|tty|pts"'
try host-name        'test "$(cat /proc/sys/kernel/hostname)" = "@HOST@"'
try user-namespace   'unshare --user true'
try mount            'mount -t tmpfs none /tmp'
try local-socket     'python3 -c "import socket; socket.socket(socket.AF_UNIX)"'
try other-device     'touch /dev/x'
try endless-memory   'head -c 70M /dev/zero > /tmp/x'
try filter-is-hidden '! grep -q "^Seccomp_filters:.[1-9]" /proc/self/status'
exit 3
"""

ALLOWED = {"usr-bin", "own-directory"}


@pytest.fixture
def seen(container: Farm) -> dict[str, bool]:
    """What a job could do: name of the try to whether it worked."""
    clip = "/var/lib/ffmpeg-worker/input/clip.mp4"
    host = container.run("hostname").stdout.strip()
    with in_place_of_ffmpeg(container, SPY.replace("@HOST@", host)):
        job = container.submit("--scenario", "preview", "--input", clip)
        container.wait_for(job)
    lines = container.run(["ffmpeg-jobs", "logs", job]).stdout.splitlines()
    tries = [line.split()[1:] for line in lines if line.startswith("SPY ")]
    return {name: verdict == "yes" for name, verdict in tries}


def test_a_job_sees_its_own_directory_and_nothing_else(seen: dict[str, bool]) -> None:
    assert len(seen) == SPY.count("\ntry ")
    assert {what for what, could in seen.items() if could} == ALLOWED
