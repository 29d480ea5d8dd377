"""Starting one child on a PTY of its own: fork to execve, with the exact error when that fails.

The child waits until it is let go, so that its identity is on disk before its program runs.
"""

import errno
import fcntl
import json
import os
import resource
import signal
import socket
import termios
from collections.abc import Mapping
from typing import NamedTuple

from .requests import Spawn
from .run import set_window

_CHANNEL = 3
_GO = b"!"


class SpawnError(Exception):
    """The child was not started. `stage` is what was being done, `error` the errno's name."""

    def __init__(self, stage: str, error: str, path: str = "", detail: str = "") -> None:
        super().__init__(stage, error, path, detail)
        self.stage = stage
        self.error = error
        self.path = path
        self.detail = detail

    @classmethod
    def of(cls, stage: str, error: OSError, path: str = "") -> "SpawnError":
        """The refusal that an operating system error means."""
        return cls(stage, errno.errorcode.get(error.errno or 0, "EIO"), path, error.strerror or "")


class Child(NamedTuple):
    """A child that waits to be let go. `channel` then says what went wrong, or ends when the program runs."""

    pid: int
    master: int
    channel: socket.socket


def fork(spec: Spawn, nofile: tuple[int, int]) -> Child:
    """Make the child, which waits. `nofile` is the limit that it gets unless the request names one.

    Raises:
        SpawnError: nothing was left behind.
    """
    if not os.path.isabs(spec.cwd):
        raise SpawnError("cwd", "EINVAL", spec.cwd, "the working directory is no absolute path")
    if not os.path.isabs(spec.argv[0]):
        raise SpawnError("exec", "EINVAL", spec.argv[0], "the program is no absolute path")
    try:
        master, slave = os.openpty()
    except OSError as error:
        raise SpawnError.of("pty", error) from error
    ours, its = socket.socketpair()
    try:
        set_window(master, spec.window)
        pid = _fork(spec, nofile, slave, its)
    except OSError as error:
        os.close(master)
        ours.close()
        raise SpawnError.of("fork", error) from error
    finally:
        os.close(slave)
        its.close()
    ours.settimeout(0.0)
    return Child(pid, master, ours)


def let_go(child: Child) -> None:
    """Have the child go on to its program."""
    try:
        child.channel.send(_GO)
    except OSError:
        pass  # it died already, and its end will be reaped like any other


def failure(report: bytes) -> SpawnError | None:
    """What a channel that ended had said; None when the program runs."""
    if not report:
        return None
    stage, error, path, detail = json.loads(report)
    return SpawnError(stage, error, path, detail)


def _fork(spec: Spawn, nofile: tuple[int, int], slave: int, channel: socket.socket) -> int:
    # No handler of the keeper's may run in the child, nor its wake-up byte reach the keeper's loop.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        pid = os.fork()
        if pid == 0:
            try:
                _become(spec, nofile, slave, channel.fileno())
            finally:
                os._exit(127)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return pid


def _become(spec: Spawn, nofile: tuple[int, int], slave: int, channel: int) -> None:
    signal.set_wakeup_fd(-1)
    for number in (0, 1, 2):
        os.dup2(slave, number)
    if channel != _CHANNEL:
        os.dup2(channel, _CHANNEL, inheritable=False)
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    os.closerange(_CHANNEL + 1, most if most != resource.RLIM_INFINITY else 1 << 20)
    if os.read(_CHANNEL, 1) != _GO:
        return  # the keeper died; nobody knows this child
    try:
        _dress(spec, nofile)
    except SpawnError as error:
        report = json.dumps([error.stage, error.error, error.path, error.detail])
        os.write(_CHANNEL, report.encode("ascii"))


def _dress(spec: Spawn, nofile: tuple[int, int]) -> None:
    """Become what was asked for and run the program. Only returns by raising SpawnError."""
    stage, path = "setsid", ""
    try:
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        stage = "groups"
        if spec.groups and {*spec.groups, os.getegid()} != {*os.getgroups(), os.getegid()}:
            os.setgroups(spec.groups)
        stage, path = "chdir", spec.cwd
        os.chdir(_bytes(spec.cwd))
        os.umask(spec.umask)
        _default_signals()
        argv = [_bytes(item) for item in spec.argv]
        env = {_bytes(key): _bytes(value) for key, value in spec.env.items()}
        stage, path = "limits", ""
        _limit({resource.RLIMIT_NOFILE: nofile, **spec.rlimits})
        stage, path = "exec", spec.argv[0]
        os.execve(argv[0], argv, env)
    except OSError as error:
        refusal = SpawnError.of(stage, error, path)
        if stage == "exec" and error.errno == errno.ENOENT and os.path.exists(path):
            refusal.detail = "the file exists, the interpreter that its first line names does not"
        raise refusal from error


def _bytes(text: str) -> bytes:
    # Not os.fsencode: what the client meant does not depend on the locale that the keeper was started in.
    return text.encode("utf-8", "surrogateescape")


def _limit(limits: Mapping[int, tuple[int, int]]) -> None:
    for number, wanted in limits.items():
        try:
            if resource.getrlimit(number) != wanted:
                resource.setrlimit(number, wanted)
        except ValueError as error:
            # Python's own word for EPERM and EINVAL here.
            name = "EPERM" if "not allowed" in str(error) else "EINVAL"
            soft, hard = wanted
            raise SpawnError("limits", name, "", f"resource {number} to {soft}:{hard}: {error}") from error


def _default_signals() -> None:
    for signo in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(signo, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
