"""Reading the operating system: processes, limits, cgroups, terminals. Where it does not say, the answer is None.

Linux says most of it in /proc and /sys; the roots are arguments so that a test can make its own.
"""

import os
import sys
from collections.abc import Iterator, Mapping

from claudectl.doctor.facts import Groups, Process, Processes, Terminals
from claudectl_protocol.endpoint import NoHome, state_directory

PROC = "/proc"
GROUPS = "/sys/fs/cgroup"
_LINGER = "/var/lib/systemd/linger"
_KEEPER_COPIES = "keeper"


def processes(state: str, uid: int, proc: str = PROC) -> Processes | None:
    """The daemons and keepers of the state directory `state`; None without /proc.

    A process between fork and exec still looks like its parent, so children of a match are none.
    """
    if not os.path.isdir(os.path.join(proc, "self")):
        return None
    real = os.path.realpath(state)
    daemons: dict[int, str] = {}
    keepers: dict[int, str] = {}
    for pid, argv in _own(uid, proc):
        code = _keeper_code(argv, real)
        if code is not None:
            keepers[pid] = code
        elif _is_daemon(argv) and _state_of(pid, uid, proc) == real:
            daemons[pid] = ""
    return Processes(daemons=_processes(daemons, proc), keepers=_processes(keepers, proc))


def is_daemon(pid: int, proc: str = PROC) -> bool:
    """Whether a daemon lives under this pid, as far as the system tells: pids are used again."""
    if os.path.isdir(os.path.join(proc, "self")):
        try:
            return _is_daemon(_argv(pid, proc))
        except OSError:
            return False
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True


def terminals(proc: str = PROC) -> Terminals | None:
    """How many pseudo-terminals there may be and are."""
    if not sys.platform.startswith("linux"):
        most = _sysctl("kern.tty.ptmx_max")
        return None if most is None else Terminals(most=most)
    try:
        directory = os.path.join(proc, "sys", "kernel", "pty")
        return Terminals(
            most=int(_read(os.path.join(directory, "max"))), used=int(_read(os.path.join(directory, "nr")))
        )
    except (OSError, ValueError):
        return None


def groups(uid: int, root: str = GROUPS) -> Groups | None:
    """What the user's service manager may limit; None where there are no cgroups at all."""
    if not os.path.isdir(root):
        return None
    if not os.path.exists(os.path.join(root, "cgroup.controllers")):
        return Groups(unified=False)
    manager = os.path.join(root, "user.slice", f"user-{uid}.slice", f"user@{uid}.service")
    try:
        return Groups(
            unified=True, controllers=tuple(_read(os.path.join(manager, "cgroup.controllers")).split())
        )
    except OSError:
        return Groups(unified=True)


def boot_at(proc: str = PROC) -> float | None:
    """When the machine was started, seconds since 1970."""
    try:
        for line in _read(os.path.join(proc, "stat")).splitlines():
            if line.startswith("btime "):
                return float(line.split()[1])
    except (OSError, ValueError):
        pass
    return None


def lingering(user: str, directory: str = _LINGER) -> bool | None:
    """True when logind was told to keep the user's services without a login; otherwise only logind itself knows."""
    return os.path.exists(os.path.join(directory, user)) or None


def _own(uid: int, proc: str) -> Iterator[tuple[int, list[str]]]:
    for name in os.listdir(proc):
        if not name.isdigit():
            continue
        try:
            if os.stat(os.path.join(proc, name)).st_uid != uid:
                continue
            argv = _argv(int(name), proc)
        except OSError:
            continue  # it has just ended
        yield int(name), argv


def _argv(pid: int, proc: str) -> list[str]:
    return _read(os.path.join(proc, str(pid), "cmdline")).rstrip("\0").split("\0")


def _is_daemon(argv: list[str]) -> bool:
    """True for `python -m claudectld run` and `claudectld run`, however python was called."""
    for number, word in enumerate(argv[:-1]):
        if os.path.basename(word) == "claudectld" and argv[number + 1] == "run":
            return True
    return False


def _keeper_code(argv: list[str], state: str) -> str | None:
    """The copy that a keeper of `state` runs from; None for any other process."""
    for word in argv if "--state" in argv else ():
        directory, name = os.path.split(word)
        if os.path.isabs(word) and os.path.realpath(directory) == os.path.join(state, _KEEPER_COPIES):
            return name
    return None


def _state_of(pid: int, uid: int, proc: str) -> str | None:
    try:
        variables = _read(os.path.join(proc, str(pid), "environ")).split("\0")
        env: Mapping[str, str] = dict(word.split("=", 1) for word in variables if "=" in word)
        return os.path.realpath(state_directory(env, uid))
    except (OSError, NoHome):
        return None


def _parent(pid: int, proc: str) -> int:
    try:
        # The command name may hold spaces and parentheses.
        return int(_read(os.path.join(proc, str(pid), "stat")).rpartition(")")[2].split()[1])
    except (OSError, ValueError, IndexError):
        return 0


def _processes(codes: Mapping[int, str], proc: str) -> tuple[Process, ...]:
    first = [pid for pid in sorted(codes) if _parent(pid, proc) not in codes]
    return tuple(_process(pid, codes[pid], proc) for pid in first)


def _process(pid: int, code: str, proc: str) -> Process:
    soft, hard = _file_limits(pid, proc)
    return Process(
        pid=pid,
        group=_group(pid, proc),
        files_open=_count(os.path.join(proc, str(pid), "fd")),
        files_soft=soft,
        files_hard=hard,
        code=code,
    )


def _group(pid: int, proc: str) -> str | None:
    """The path in the unified tree, else in systemd's own."""
    try:
        lines = [line.split(":", 2) for line in _read(os.path.join(proc, str(pid), "cgroup")).splitlines()]
    except OSError:
        return None
    by_tree = {fields[1]: fields[2] for fields in lines if len(fields) == 3}
    own = by_tree.get("name=systemd", "/")
    return own if own != "/" else by_tree.get("")


def _file_limits(pid: int, proc: str) -> tuple[int | None, int | None]:
    try:
        for line in _read(os.path.join(proc, str(pid), "limits")).splitlines():
            if line.startswith("Max open files"):
                soft, hard = line.split()[3:5]
                return _limit(soft), _limit(hard)
    except (OSError, ValueError):
        pass
    return None, None


def _limit(word: str) -> int | None:
    return int(word) if word.isdigit() else None


def _count(directory: str) -> int | None:
    try:
        return len(os.listdir(directory))
    except OSError:
        return None


def _sysctl(name: str) -> int | None:
    import subprocess  # only where there is no file to read

    try:
        done = subprocess.run(["sysctl", "-n", name], capture_output=True, timeout=5, check=False)
        return int(done.stdout)
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None


def _read(path: str) -> str:
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        return file.read()
