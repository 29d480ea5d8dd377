"""Pretended reboots: commands that see a boot id of the test's choice, and how a machine ends its processes."""

import os
import shutil
import signal
import subprocess
import tempfile
import uuid
from collections.abc import Sequence
from enum import Enum
from pathlib import Path

from tests.e2e.world import World, wait_gone

_BOOT_ID = "/proc/sys/kernel/random/boot_id"


class Boot:
    """A boot of a pretended machine. Its id lies over the kernel's for every command run by `argv`, in a mount
    namespace of that command's own, and for all that such a command starts.
    """

    def __init__(self, directory: Path) -> None:
        self._id = directory / "boot-id"
        self.next()

    def next(self) -> None:
        """The machine has booted again. Nothing of the last boot may be left."""
        self._id.write_text(f"{uuid.uuid4()}\n")

    def argv(self, command: Sequence[str]) -> list[str]:
        """How to run a command in this boot."""
        script = f'mount --bind "$0" {_BOOT_ID} && exec "$@"'
        return ["unshare", "-m", "--propagation", "private", "sh", "-c", script, str(self._id), *command]

    @property
    def id(self) -> str:
        """The boot id."""
        return self._id.read_text().strip()


def refusal() -> str:
    """Why boots cannot be pretended here; empty when they can."""
    with tempfile.TemporaryDirectory() as directory:
        boot = Boot(Path(directory))
        try:
            done = subprocess.run(boot.argv(["cat", _BOOT_ID]), capture_output=True, text=True, check=False)
        except OSError as error:
            return f"unshare: {error.strerror}"
        return (
            "" if done.stdout.strip() == boot.id else done.stderr.strip() or "the boot id cannot be covered"
        )


class PowerOff(Enum):
    """In which order a machine ends its processes, and how."""

    AT_ONCE = "everything is killed at once"
    DAEMON_FIRST = "daemon and keeper are killed, then their children"
    CHILDREN_FIRST = "the children are killed, then keeper and daemon"
    ASKED_DAEMON_FIRST = "daemon and keeper are asked to end, then their children, and who stays is killed"
    ASKED_CHILDREN_FIRST = "the children are asked to end, then keeper and daemon, and who stays is killed"


def power_off(world: World, how: PowerOff) -> None:
    """End every process of a world as a machine does that goes down, and empty its runtime directory."""
    ours = [world.daemon_pid(), world.keeper_pid()]
    children = [pid for pid in world.processes() if pid not in ours]
    match how:
        case PowerOff.AT_ONCE:
            _signal([*ours, *children], signal.SIGKILL)
        case PowerOff.DAEMON_FIRST:
            _signal(ours, signal.SIGKILL)
            wait_gone(ours)
        case PowerOff.CHILDREN_FIRST:
            _signal(children, signal.SIGKILL)
            wait_gone(children)
        case PowerOff.ASKED_DAEMON_FIRST:
            _signal(ours, signal.SIGTERM)
            wait_gone(ours[:1])
            _signal(children, signal.SIGTERM)
            wait_gone(children)
        case PowerOff.ASKED_CHILDREN_FIRST:
            _signal(children, signal.SIGTERM)
            wait_gone(children)
            _signal(ours, signal.SIGTERM)
            wait_gone(ours)
    # Whatever came into being meanwhile goes too.
    while left := world.processes():
        _signal(left, signal.SIGKILL)
        wait_gone(left)
    shutil.rmtree(Path(world.socket).parent)


def _signal(pids: Sequence[int], number: signal.Signals) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass
