"""The keeper's command line and life: become a daemon, take the lock, bind, serve until told to leave."""

import fcntl
import getopt
import os
import resource
import signal
import sys
from collections.abc import Sequence
from typing import NamedTuple

from . import endpoint, processes
from .endpoint import AlreadyRunning, Endpoint, Lock, Unsafe
from .log import Log
from .loop import Loop
from .server import Server

USAGE = "usage: keeper --state DIR --socket PATH [--foreground] [--ready-fd N]"
READY = "ready"


class Options(NamedTuple):
    """The command line."""

    state: str
    socket: str
    foreground: bool
    ready_fd: int | None


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the keeper, or start it in the background and return when it serves.

    Returns 0 when a keeper serves (this or another one), 1 when none does, 2 for a wrong command line.
    """
    try:
        options = _parse(sys.argv[1:] if arguments is None else arguments)
    except (getopt.GetoptError, ValueError) as error:
        sys.stderr.write(f"keeper: {error}\n{USAGE}\n")
        return 2
    _close_inherited(options.ready_fd)
    if options.foreground:
        return _serve_and_report(options, [2])
    read, write = os.pipe()
    if os.fork() != 0:
        os.close(write)
        return _relay(read)
    os.close(read)
    os.setsid()
    if os.fork() != 0:
        os._exit(0)
    return _serve_and_report(options, [write])


def _parse(arguments: Sequence[str]) -> Options:
    found, rest = getopt.getopt(list(arguments), "", ["state=", "socket=", "foreground", "ready-fd="])
    values = dict(found)
    if rest or "--state" not in values or "--socket" not in values:
        raise ValueError("--state and --socket are needed, and nothing else is taken")
    ready = values.get("--ready-fd")
    return Options(
        state=os.path.abspath(values["--state"]),
        socket=values["--socket"],
        foreground="--foreground" in values,
        ready_fd=None if ready is None else int(ready),
    )


def _close_inherited(kept: int | None) -> None:
    """Whatever the starter left open is not for children, and not for days."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    end = most if most != resource.RLIM_INFINITY else 1 << 20
    if kept is None:
        os.closerange(3, end)
        return
    fcntl.fcntl(kept, fcntl.F_SETFD, fcntl.FD_CLOEXEC)
    os.closerange(3, kept)
    os.closerange(kept + 1, end)


def _relay(read: int) -> int:
    """Wait for the keeper's word, and pass it on to who started us."""
    with os.fdopen(read, encoding="utf-8") as pipe:
        word = pipe.read().strip()
    if word == READY:
        return 0
    sys.stderr.write(f"keeper: {word or 'it died at its start'}\n")
    return 0 if word.startswith("already running") else 1


def _serve_and_report(options: Options, reports: list[int]) -> int:
    if options.ready_fd is not None:
        reports.append(options.ready_fd)
    try:
        keeper = Keeper(options)
    except AlreadyRunning as error:
        _report(reports, str(error))
        return 0
    except (Unsafe, OSError) as error:
        _report(reports, str(error))
        return 1
    _report([fd for fd in reports if fd != 2], READY)
    keeper.serve()
    return 0


def _report(fds: Sequence[int], word: str) -> None:
    for fd in fds:
        try:
            os.write(fd, word.encode("utf-8", "backslashreplace") + b"\n")
        except OSError:
            pass  # the starter has gone; the keeper stays
        if fd > 2:
            os.close(fd)


class Keeper:
    """Everything one keeper process owns."""

    def __init__(self, options: Options) -> None:
        """Lock, bind and listen. Raises AlreadyRunning, Unsafe, OSError."""
        self._options = options
        os.umask(0o077)
        state = options.state
        for directory in ("", "locks", "logs", "records"):
            os.makedirs(os.path.join(state, directory), mode=0o700, exist_ok=True)
        os.chdir("/")
        self._lock = Lock(os.path.join(state, "locks", "keeper.lock"))
        self._endpoint = Endpoint(options.socket)
        self._identity = processes.identity(os.getpid())
        nofile = resource.getrlimit(resource.RLIMIT_NOFILE)
        _raise_nofile(nofile[1])
        processes.become_subreaper()
        _detach_input()
        self._log = Log(os.path.join(state, "logs", "keeper.log"))
        self._loop = Loop()
        self._server = Server(state, nofile, self._loop, self._log)
        self._leaving = False
        self._loop.on_signals(
            {
                signal.SIGCHLD: self._server.runs.reap,
                signal.SIGTERM: self._leave,
                signal.SIGINT: self._leave,
                signal.SIGUSR1: self._rebind,
                signal.SIGHUP: lambda: None,
            }
        )
        # Whoever reads this may signal us, so only now.
        endpoint.write_identity(state, self._identity, options.socket)
        self._listen()
        self._log.line("serving", pid=os.getpid(), socket=options.socket)

    def serve(self) -> None:
        """Serve until told to leave and no child is left."""
        while not (self._leaving and self._server.runs.is_childless):
            self._loop.turn()
        self._loop.give_up(self._endpoint.listener.fileno())
        self._endpoint.close()
        try:
            os.unlink(os.path.join(self._options.state, "keeper.json"))
        except OSError:
            pass  # the state directory has gone before us
        self._log.line("left", pid=os.getpid())
        self._loop.close()
        self._lock.release()

    def _listen(self) -> None:
        listener = self._endpoint.listener
        self._loop.on_read(listener.fileno(), lambda: self._server.accept(listener))

    def _leave(self) -> None:
        self._log.line("leaving", pid=os.getpid())
        self._leaving = True
        self._server.runs.leave()

    def _rebind(self) -> None:
        """Put the socket back where somebody removed it; connections go on."""
        if self._endpoint.is_in_place:
            return
        try:
            new = Endpoint(self._options.socket)
            endpoint.write_identity(self._options.state, self._identity, self._options.socket)
        except (Unsafe, OSError) as error:
            self._log.line("rebind_failed", error=str(error))
            return
        self._loop.give_up(self._endpoint.listener.fileno())
        self._endpoint.listener.close()
        self._endpoint = new
        self._listen()
        self._log.line("rebound", socket=self._options.socket)


def _raise_nofile(hard: int) -> None:
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (ValueError, OSError):
        pass  # macOS refuses "no limit"; what there is has to do


def _detach_input() -> None:
    fd = os.open(os.devnull, os.O_RDONLY)
    os.dup2(fd, 0)
    os.close(fd)
