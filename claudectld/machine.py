"""The machine the daemon runs on: clock, boot, and which processes exist. Linux reads /proc, others ask psutil."""

import os
import select
import sys
import time
from collections.abc import Sequence

import psutil

from claudectl_protocol.sessions import RunId
from claudectld.core.session import ProcessIdentity

MARKER = "CLAUDECTL_RUN"
"""The environment variable by which everything a run has started can be found."""


class LocalMachine:
    """The real clock and the real processes."""

    def now(self) -> float:
        """Seconds since the epoch."""
        return time.time()

    def boot_id(self) -> str:
        """The kernel's boot id; where there is none, the boot time to the second."""
        try:
            with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
                return file.read().strip()
        except OSError:
            return f"boot-{psutil.boot_time():.0f}"

    def is_alive(self, process: ProcessIdentity) -> bool:
        """False only when the process is proven gone: another boot, no such pid, a zombie, or a later start."""
        if process.boot_id != self.boot_id():
            return False
        if not sys.platform.startswith("linux"):
            return psutil.pid_exists(process.pid)
        try:
            return start_ticks(process.pid) == process.start_ticks
        except OSError:
            return True

    def marked(self, runs: Sequence[RunId]) -> tuple[RunId, ...]:
        """Those of `runs` whose marker a process of ours carries in its environment."""
        if not runs:
            return ()
        if not sys.platform.startswith("linux"):
            carried = {_environment(pid).get(MARKER) for pid in psutil.pids()}
            return tuple(run for run in runs if run in carried)
        marker = f"{MARKER}=".encode()
        found: set[bytes] = set()
        for name in os.listdir("/proc"):
            if not name.isdigit():
                continue
            try:
                with open(f"/proc/{name}/environ", "rb") as file:
                    environment = file.read()
            except OSError:
                continue
            # A zombie's environment is empty, so the dead do not count.
            found.update(each for each in environment.split(b"\0") if each.startswith(marker))
        return tuple(run for run in runs if marker + run.encode() in found)

    def wait_gone(self, pids: tuple[int, ...], timeout_s: float) -> bool:
        """Block until all the processes have ended or the time is over; True if all have ended."""
        deadline = time.monotonic() + timeout_s
        if not hasattr(os, "pidfd_open"):
            _, alive = psutil.wait_procs(
                [psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)], timeout=timeout_s
            )
            return not alive
        for pid in pids:
            try:
                pidfd = os.pidfd_open(pid)
            except ProcessLookupError:
                continue
            try:
                left = max(0.0, deadline - time.monotonic())
                if not select.select([pidfd], [], [], left)[0]:
                    return False
            finally:
                os.close(pidfd)
        return True


def start_ticks(pid: int) -> int | None:
    """When a live process started (field 22 of /proc/PID/stat); None for one that has ended, a zombie included.

    Raises OSError when the system does not tell.
    """
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            stat = file.read()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The command name may hold spaces and parentheses: fields are counted after the last ')'.
    fields = stat[stat.rindex(b")") + 2 :].split()
    return None if fields[0] in (b"Z", b"X") else int(fields[19])


def _environment(pid: int) -> dict[str, str]:
    try:
        return psutil.Process(pid).environ()
    except (psutil.Error, OSError):
        return {}
