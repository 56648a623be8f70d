"""VM back end: qemu. A kernel of its own, so every limit is enforced."""

import subprocess
from collections.abc import Sequence

from lab import kvm
from lab.channel import PORTS
from lab.errors import LabError
from lab.spec import Spec

APPEND = (
    # panic=-1 with -no-reboot: a kernel that panics ends qemu, and we see it.
    "root=/dev/vda rw rootfstype=ext4 console=ttyS0 quiet panic=-1 oops=panic "
    "net.ifnames=0 mitigations=off fsck.mode=skip random.trust_cpu=on "
    "systemd.show_status=no"
)


def prepare(spec: Spec) -> None:
    """The machine's changes, apart from the image, so that they outlive a power cut."""
    command = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", spec.disk]
    done = subprocess.run(
        [*command, str(spec.place / "disk.qcow2")], check=False, capture_output=True, text=True
    )
    if done.returncode:
        raise LabError(f"cannot make the machine's disk: {done.stderr.strip()}")


def start(spec: Spec, locks: Sequence[int]) -> "subprocess.Popen[bytes]":
    """Start it on the disk that prepare() made. It holds `locks` as long as it runs."""
    for path in spec.agent.iterdir():
        path.unlink()
    with spec.console.open("ab") as console:
        return subprocess.Popen(
            arguments(spec),
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=console,
            pass_fds=tuple(locks),
            start_new_session=True,
        )


def arguments(spec: Spec) -> list[str]:
    accelerator = kvm.accelerator(spec.kernel)
    return [
        "qemu-system-x86_64",
        *("-name", spec.name),
        *("-machine", "q35"),
        *accelerator,
        *("-smp", str(spec.cpus)),
        *("-m", str(spec.memory_mb)),
        *("-display", "none"),
        *("-monitor", "none"),
        *("-serial", f"file:{spec.console}"),
        "-no-reboot",
        *("-kernel", spec.kernel),
        *("-initrd", spec.initrd),
        *("-append", f"{APPEND} systemd.hostname={spec.name}"),
        # writeback: what the guest synced survives the end of qemu.
        *("-drive", f"file={spec.place / 'disk.qcow2'},if=virtio,cache=writeback,discard=unmap"),
        *("-device", "virtio-rng-pci"),
        *_ports(spec),
        *_network(spec),
    ]


def _ports(spec: Spec) -> list[str]:
    options = ["-device", "virtio-serial-pci"]
    for number in range(PORTS):
        socket = spec.agent / f"port.{number}"
        options += ["-chardev", f"socket,id=lab{number},path={socket},server=on,wait=off"]
        options += ["-device", f"virtserialport,chardev=lab{number},name=lab.{number}"]
    return options


def _network(spec: Spec) -> list[str]:
    if not spec.network:
        return ["-net", "none"]
    forward = f",hostfwd=tcp:127.0.0.1:{spec.api_port}-:8080" if spec.api_port else ""
    return ["-nic", f"user,model=virtio-net-pci{forward}"]
