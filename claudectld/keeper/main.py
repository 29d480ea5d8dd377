"""The keeper's command line and life: become a daemon, take the lock, bind, serve until told to leave or until other
code goes on in this process.
"""

import fcntl
import getopt
import os
import resource
import signal
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from . import endpoint, handover, processes
from .crash import crash_point
from .endpoint import AlreadyRunning, Endpoint, Lock, Unsafe
from .handover import KeeperState, Unreadable
from .log import Log
from .loop import Loop
from .notify import notify, take_address
from .requests import Upgrade
from .server import Caller, Server
from .upgrade import READABLE, Upgrader
from .wire import PROTOCOL

USAGE = "usage: keeper --state DIR --socket PATH [--foreground] [--ready-fd N] [--resume FD [--check]]"
READY = "ready"

_NAMES = ("state=", "socket=", "foreground", "ready-fd=", "resume=", "check")


class Options(NamedTuple):
    """The command line."""

    state: str
    socket: str
    foreground: bool
    ready_fd: int | None
    resume_fd: int | None = None
    """The state that this process had before its exec, or, with `check`, that another has."""
    check: bool = False


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the keeper, or start it in the background and return when it serves.

    Returns 0 when a keeper serves (this or another one), 1 when none does, 2 for a wrong command line.

    Raises:
        Unreadable: the state that was handed over cannot be gone on from, though a trial said so.
    """
    try:
        options = _parse(sys.argv[1:] if arguments is None else arguments)
    except (getopt.GetoptError, ValueError) as error:
        sys.stderr.write(f"keeper: {error}\n{USAGE}\n")
        return 2
    if options.resume_fd is not None:
        return _check(options.resume_fd) if options.check else _resume(options, options.resume_fd)
    _close_inherited(() if options.ready_fd is None else (options.ready_fd,))
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
    found, rest = getopt.getopt(list(arguments), "", [*_NAMES])
    values = dict(found)
    if rest or "--state" not in values or "--socket" not in values:
        raise ValueError("--state and --socket are needed, and nothing else is taken")
    ready, resume = values.get("--ready-fd"), values.get("--resume")
    return Options(
        state=os.path.abspath(values["--state"]),
        socket=values["--socket"],
        foreground="--foreground" in values,
        ready_fd=None if ready is None else int(ready),
        resume_fd=None if resume is None else int(resume),
        check="--check" in values,
    )


def _close_inherited(kept: Iterable[int]) -> None:
    """Whatever the starter left open is not for children, and not for days."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    start = 3
    for fd in sorted({*kept}):
        fcntl.fcntl(fd, fcntl.F_SETFD, fcntl.FD_CLOEXEC)
        os.closerange(start, fd)
        start = fd + 1
    os.closerange(start, most if most != resource.RLIM_INFINITY else 1 << 20)


def _check(fd: int) -> int:
    """Say whether this code could go on from a state."""
    try:
        handover.read(fd)
    except (Unreadable, OSError) as error:
        sys.stdout.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{READABLE}\n")
    return 0


def _resume(options: Options, fd: int) -> int:
    crash_point("upgrade:after-exec")
    state = handover.read(fd)
    _close_inherited(state.fds)
    Keeper(options, state).serve()
    return 0


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
    manager = take_address(os.environ)
    try:
        keeper = Keeper(options)
    except AlreadyRunning as error:
        # To the service manager that is a service which is ready and then ends: else it would try again for ever.
        notify(manager, "READY=1", f"STATUS={error}")
        _report(reports, str(error))
        return 0
    except (Unsafe, OSError) as error:
        notify(manager, f"STATUS={error}")
        _report(reports, str(error))
        return 1
    _report([fd for fd in reports if fd != 2], READY)
    notify(manager, "READY=1")
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

    def __init__(self, options: Options, before: KeeperState | None = None) -> None:
        """Lock, bind and listen; or go on with what this process had `before` its exec.

        Raises:
            AlreadyRunning, Unsafe, OSError: not with `before`.
        """
        self._options = options
        os.umask(0o077)
        state = options.state
        lock, log = os.path.join(state, "locks", "keeper.lock"), os.path.join(state, "logs", "keeper.log")
        self._identity = processes.identity(os.getpid())
        if before is None:
            for directory in ("", "locks", "logs", "records"):
                os.makedirs(os.path.join(state, directory), mode=0o700, exist_ok=True)
            os.chdir("/")
            self._lock = Lock(lock)
            self._endpoint = Endpoint(options.socket)
            self._nofile = resource.getrlimit(resource.RLIMIT_NOFILE)
            _raise_nofile(self._nofile[1])
            _detach_input()
            self._log = Log(log)
        else:
            self._lock = Lock(lock, held=before.lock)
            self._endpoint = Endpoint(options.socket, before.endpoint)
            self._nofile = before.nofile
            self._log = Log(log, is_open=True)
        processes.become_subreaper()
        self._loop = Loop()
        self._server = Server(state, self._nofile, self._loop, self._log, code=_code(), upgrade=self._upgrade)
        self._upgrader = Upgrader(
            ("--state", state, "--socket", options.socket),
            os.path.join(state, "keeper"),
            self._loop,
            self._server.busy,
        )
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
        if before is None:
            # Whoever reads this may signal us, so only now.
            endpoint.write_identity(state, self._identity, options.socket)
            self._log.line("serving", pid=os.getpid(), socket=options.socket)
        else:
            self._carry_on(before)
        self._listen()

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

    def _upgrade(self, request: Upgrade, caller: Caller) -> None:
        self._log.line("upgrade_tried", copy=request.copy, interpreter=request.interpreter)

        def settle(act: Callable[[], None]) -> None:
            caller.attempt(act)
            self._log.line("not_upgraded", copy=request.copy)

        self._upgrader.begin(request, lambda: self._state(caller), settle)

    def _state(self, asker: Caller) -> KeeperState:
        connection = asker.connection
        return KeeperState(
            protocol=PROTOCOL,
            nofile=self._nofile,
            lock=self._lock.fd,
            endpoint=self._endpoint.state(),
            epoch=self._server.epoch,
            runs=self._server.runs.state(),
            connections=self._server.connections(),
            controller=self._server.controller,
            asker=(connection.fd, asker.number) if connection.is_open else None,
        )

    def _carry_on(self, before: KeeperState) -> None:
        self._server.carry_on(before)
        if before.protocol != PROTOCOL:
            try:
                endpoint.write_identity(self._options.state, self._identity, self._options.socket)
            except OSError as error:
                self._log.line("identity_unwritten", error=str(error))
        self._log.line("upgraded", pid=os.getpid(), code=self._server.code)
        # Linux keeps the signal of a child that ended during exec; not every system has to.
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        self._server.runs.reap()

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


def _code() -> str:
    """Which copy of the code runs: the name that it was installed under, which is its digest."""
    return os.path.basename(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def _raise_nofile(hard: int) -> None:
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (ValueError, OSError):
        pass  # macOS refuses "no limit"; what there is has to do


def _detach_input() -> None:
    fd = os.open(os.devnull, os.O_RDONLY)
    os.dup2(fd, 0)
    os.close(fd)
