"""What the system says about processes: identities, descendants, marked ones, exits of other people's children.

Linux answers from /proc and pidfds. Elsewhere every function degrades to "not known".
"""

import ctypes
import fcntl
import os
import signal
import struct
from collections.abc import Iterable, Mapping
from typing import NamedTuple

MARKER = b"CLAUDECTL_RUN="
"""The variable by which a run's processes are recognised wherever they went."""

_PR_SET_CHILD_SUBREAPER = 36
_INFO = struct.Struct("=QQIIIIIIIIIIIi")
"""struct pidfd_info, first version (64 bytes): mask, cgroupid, pid, tgid, ppid, eight ids, exit_code."""
_INFO_EXIT = 1 << 3
_PIDFD_GET_INFO = (3 << 30) | (_INFO.size << 16) | (0xFF << 8) | 11


class Identity(NamedTuple):
    """A process that cannot be mistaken for a later one with the same pid."""

    boot_id: str
    pid: int
    start_ticks: int


class Process(NamedTuple):
    """One line of the process table. `exit_status` is as from wait(2), and only meaningful for a zombie."""

    pid: int
    ppid: int
    start_ticks: int
    zombie: bool
    exit_status: int


def boot_id() -> str:
    """Differs after every boot; empty where the system does not say."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return ""


def identity(pid: int) -> Identity:
    """Who `pid` is now; start ticks are 0 where the system does not say."""
    process = look_up(pid)
    return Identity(boot_id(), pid, process.start_ticks if process is not None else 0)


def look_up(pid: int) -> Process | None:
    """One process, or None when it is gone or cannot be seen."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            text = file.read()
    except OSError:
        return None
    # The name in parentheses may hold anything, so fields are counted from the last one.
    fields = text[text.rindex(b")") + 2 :].split()
    return Process(pid, int(fields[1]), int(fields[19]), fields[0] in (b"Z", b"X"), int(fields[49]))


def table() -> Mapping[int, Process]:
    """Every process that can be seen."""
    try:
        names = os.listdir("/proc")
    except OSError:
        return {}
    found = (look_up(int(name)) for name in names if name.isdigit())
    return {process.pid: process for process in found if process is not None}


def descendants(roots: Iterable[int], among: Mapping[int, Process], without: frozenset[int]) -> set[int]:
    """Pids below `roots`, not looking below those in `without`."""
    children: dict[int, list[int]] = {}
    for process in among.values():
        children.setdefault(process.ppid, []).append(process.pid)
    found: set[int] = set()
    ahead = list(roots)
    while ahead:
        for pid in children.get(ahead.pop(), ()):
            if pid not in without and pid not in found:
                found.add(pid)
                ahead.append(pid)
    return found


def is_marked(pid: int, run: str) -> bool:
    """True when the environment that `pid` was started with carries the run's marker."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            environment = file.read()
    except OSError:
        return False
    return MARKER + run.encode("ascii") in environment.split(b"\0")


def send_signal(process: Process, signo: int) -> bool:
    """Signal exactly this process, never a later one with its pid. False when it is gone or not ours."""
    try:
        if not hasattr(os, "pidfd_open"):
            os.kill(process.pid, signo)
            return True
        fd = os.pidfd_open(process.pid)
    except OSError:
        return False
    try:
        now = look_up(process.pid)
        if now is None or now.start_ticks != process.start_ticks:
            return False
        signal.pidfd_send_signal(fd, signo)
    except OSError:
        return False
    finally:
        os.close(fd)
    return True


def open_pidfd(pid: int) -> int | None:
    """A descriptor that stays with this process; None where there is no such thing or the process is gone."""
    if not hasattr(os, "pidfd_open"):
        return None
    try:
        return os.pidfd_open(pid)
    except OSError:
        return None


def pidfd_pid(fd: int) -> int | None:
    """The pid behind a pidfd, -1 once it was reaped, None when `fd` is no pidfd."""
    try:
        with open(f"/proc/self/fdinfo/{fd}", encoding="ascii") as file:
            for line in file:
                if line.startswith("Pid:"):
                    return int(line.split()[1])
    except OSError:
        return None
    return None


def exit_status(pidfd: int, process: Identity) -> int | None:
    """The wait(2) status of a process that has ended and is not our child; None when nobody says.

    The kernel tells it through the pidfd once the process was reaped (Linux 6.15); until then the zombie's own
    line has it, if we may see it.
    """
    for _ in range(2):
        told = _told_by_pidfd(pidfd)
        if told is not None:
            return told
        zombie = look_up(process.pid)
        if zombie is None or zombie.start_ticks != process.start_ticks:
            continue  # reaped between the two looks: the pidfd knows now
        # Where we may not see it the line says 0, which is not "exited well".
        return zombie.exit_status if zombie.zombie and _is_open_to_us(process.pid) else None
    return None


def _told_by_pidfd(pidfd: int) -> int | None:
    answer = bytearray(_INFO.size)
    struct.pack_into("=Q", answer, 0, _INFO_EXIT)
    try:
        fcntl.ioctl(pidfd, _PIDFD_GET_INFO, answer)
    except OSError:
        return None
    fields = _INFO.unpack(answer)
    return int(fields[-1]) if fields[0] & _INFO_EXIT else None


def _is_open_to_us(pid: int) -> bool:
    try:
        os.readlink(f"/proc/{pid}/ns/user")
    except OSError:
        return False
    return True


def become_subreaper() -> bool:
    """Inherit orphaned descendants instead of losing them to init. False where that does not exist."""
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    return prctl is not None and prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
