"""What can go wrong in the lab."""


class LabError(Exception):
    """The lab itself failed; the text says what to do or where to look."""


class BootError(LabError):
    """The machine did not come up, even when tried again."""


class MachineGone(LabError):
    """The machine stopped while a command was running or before it could start."""


class CommandTimeout(LabError):
    """A command ran out of time and was killed; what it wrote is kept."""

    def __init__(self, command: str, timeout_seconds: float, stdout: bytes, stderr: bytes) -> None:
        super().__init__(
            f"killed after {timeout_seconds:g} s: {command}\n"
            f"{stdout.decode(errors='replace')}{stderr.decode(errors='replace')}"
        )
        self.stdout = stdout
        self.stderr = stderr


class CommandFailed(LabError):
    """A command that had to succeed ended with another exit status."""

    def __init__(self, command: str, returncode: int, stdout: str, stderr: str) -> None:
        super().__init__(f"exit status {returncode}: {command}\n{stdout}{stderr}")
        self.returncode = returncode
        self.stdout = stdout
        self.stderr = stderr
