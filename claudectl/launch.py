"""Reaching the daemon: connect to the one that runs, or start one and wait until it says that it serves."""

import fcntl
import os
import select
import signal
import sys
from collections.abc import Callable, Mapping
from time import monotonic, sleep
from typing import TYPE_CHECKING, NoReturn, TypeVar

from claudectl.client import Client
from claudectl.transport import ConnectionLost, DaemonUnreachable, NoDaemon
from claudectl_protocol.calls import Call
from claudectl_protocol.endpoint import DAEMON_SOCKET, make_directory, socket_directory
from claudectl_protocol.services import DAEMON_UNIT, SOCKET_KEY, installed_unit, unit_value
from claudectl_protocol.text import plain

if TYPE_CHECKING:
    from claudectl.service.port import Services

R = TypeVar("R")

READY_S = 15.0
"""How long a new daemon may take to serve."""
_BACK_OFF_S = 0.05
_LONGEST_BACK_OFF_S = 1.0
_SENTENCE_CHARACTERS = 400
_KEPT = ("HOME", "PATH", "USER", "LOGNAME", "SHELL", "LANG", "TZ", "TMPDIR", "DBUS_SESSION_BUS_ADDRESS")
_KEPT_PREFIXES = ("LC_", "XDG_", "PYTHON", "CLAUDECTL_")
_CHILD_MARKERS = ("CLAUDECTL_SESSION", "CLAUDECTL_RUN")
"""Whoever carries these is ended with a run; a daemon started from inside a session must not be."""


class AlreadyRunning(Exception):
    """The daemon that was started found another one."""


class Launcher:
    """The way to the daemon of one state directory.

    Args:
        socket_path: where the daemon listens.
        state_directory: where a new daemon's log goes.
        environment: of this process; a new daemon gets what is not about one terminal or one session.
        autostart: False to never start a daemon.
        say: tells the person that a daemon was started.
    """

    def __init__(
        self,
        socket_path: str,
        state_directory: str,
        environment: Mapping[str, str],
        *,
        autostart: bool,
        say: Callable[[str], None],
    ) -> None:
        self.socket_path = socket_path
        self.autostart = autostart
        self.state_directory = state_directory
        self._logs = os.path.join(state_directory, "logs")
        self.environment = daemon_environment(environment, socket_path)
        self._say = say

    @property
    def log_path(self) -> str:
        """What a daemon that was started from here prints."""
        return os.path.join(self._logs, "claudectld.log")

    def services(self) -> "Services | None":
        """The installed services of this daemon; None when it is started without any."""
        uid = os.getuid()
        if sys.platform != "darwin":
            unit = installed_unit(DAEMON_UNIT, self.state_directory, self.environment, uid)
            usual = os.path.join(socket_directory(uid, self.state_directory), DAEMON_SOCKET)
            if unit is None or self.socket_path not in (usual, unit_value(unit, SOCKET_KEY)):
                return None
        # Running other programs is for the few commands that reach this line.
        from claudectl.service.local import local_services

        services = local_services(self.state_directory, self.environment)
        return services if services.files() else None

    def silent(self, *, autostart: bool = True) -> "Launcher":
        """The same way, for when there is a picture on the terminal that must not be written into.

        Args:
            autostart: False to never start a daemon, even where one may be started.
        """
        return Launcher(
            self.socket_path,
            self.state_directory,
            self.environment,
            autostart=self.autostart and autostart,
            say=_say_nothing,
        )

    def call(self, call: Call[R]) -> R:
        """One call on a connection of its own. Raises what `connect` and `Client.call` raise."""
        with self.connect() as client:
            return client.call(call)

    def connect(self) -> Client:
        """A connection, to a new daemon if none runs and one may be started.

        Raises:
            NoDaemon: none runs and none may be started.
            DaemonUnreachable: it could not be started or cannot be talked to; the log has more.
            Rejected, framing.RemoteProtocolError: as Client.connect.
        """
        try:
            return Client.connect(self.socket_path)
        except (NoDaemon, ConnectionLost):
            # A daemon that hangs up before a word is on its way out. Where our installation was deleted or replaced
            # under us there is nothing to start one with, but whoever did that will.
            if not self.autostart or not os.path.exists(sys.executable):
                raise
        return self.start()

    def start(self) -> Client:
        """Start a daemon, unless one is there by then, and connect to it. Raises as `connect`."""
        try:
            make_directory(self._logs)
            lock = os.open(self._logs, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise DaemonUnreachable(f"no daemon could be started: {self._logs}: {error.strerror}") from error
        try:
            # Clients that come at the same time wait here for the first one's daemon instead of for a poll.
            fcntl.flock(lock, fcntl.LOCK_EX)
            return self._start_alone()
        finally:
            os.close(lock)

    def _start_alone(self) -> Client:
        deadline = monotonic() + READY_S
        back_off_s = _BACK_OFF_S
        services = self.services()
        how = ""
        while True:
            try:
                client = Client.connect(self.socket_path)
            except (NoDaemon, ConnectionLost) as error:
                if monotonic() > deadline:
                    why = (
                        f"a daemon holds its lock but does not serve {self.socket_path}; see {self.log_path}"
                    )
                    raise DaemonUnreachable(why) from error
            else:
                if how:
                    self._say(f"started claudectld ({how})")
                return client
            waits = bool(how)
            try:
                how = self._start_service(services) or f"pid {self._spawn()}"
            except AlreadyRunning:
                waits = True
            if waits:
                # It, or another one, is about to serve or to leave, and nobody tells us when.
                sleep(back_off_s)
                back_off_s = min(2 * back_off_s, _LONGEST_BACK_OFF_S)

    def _start_service(self, services: "Services | None") -> str:
        """Have the service manager start the daemon; says how it was started, '' if it was not."""
        from claudectl.service.port import ServiceTrouble

        if services is None:
            return ""
        try:
            services.start()
        except ServiceTrouble:
            # No service manager answers (cron without lingering), or the daemon cannot start: then it says why itself.
            return ""
        return "its service"

    def _spawn(self) -> int:
        """Start a daemon and wait until it serves; returns its pid."""
        ready, ready_in = os.pipe()
        pids, pids_in = os.pipe()
        try:
            log = os.open(self.log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        except OSError as error:
            for fd in (ready, ready_in, pids, pids_in):
                os.close(fd)
            raise DaemonUnreachable(
                f"no daemon could be started: {self.log_path}: {error.strerror}"
            ) from error
        child = os.fork()
        if child == 0:
            _become_parent_of_daemon(self.environment, log, ready_in, pids_in)
        for fd in (log, ready_in, pids_in):
            os.close(fd)
        os.waitpid(child, 0)
        with open(pids, "rb") as pid_pipe, open(ready, "rb", buffering=0) as ready_pipe:
            pid = int(pid_pipe.read() or b"0")
            sentence = _sentence(ready_pipe.fileno(), READY_S)
        if sentence == "ready":
            return pid
        if "already running" in sentence:
            raise AlreadyRunning
        why = sentence or "it ended before it served"
        raise DaemonUnreachable(f"no daemon could be started: {why} (see {self.log_path})")


def _say_nothing(sentence: str) -> None:
    """Takes the place of telling."""


def daemon_environment(environment: Mapping[str, str], socket_path: str) -> dict[str, str]:
    """What a daemon inherits: who the person is and where things are, nothing of a terminal or a session.

    Sessions get their environment from the client that asks for them, never from the daemon.
    """
    kept = {
        name: value
        for name, value in environment.items()
        if (name in _KEPT or name.startswith(_KEPT_PREFIXES)) and name not in _CHILD_MARKERS
    }
    return {**kept, "CLAUDECTL_SOCKET": os.path.abspath(socket_path)}


def daemon_command(*arguments: str) -> list[str]:
    """The daemon's foreground command, with this interpreter."""
    return [sys.executable, "-m", "claudectld", "run", *arguments]


def _sentence(fd: int, timeout_s: float) -> str:
    """The line that a starting daemon writes to `fd`; nothing when it ended or was silent for too long."""
    line = b""
    deadline = monotonic() + timeout_s
    while b"\n" not in line:
        readable, _, _ = select.select([fd], [], [], max(0.0, deadline - monotonic()))
        if not readable:
            return f"it was not ready after {timeout_s:g} s"
        data = os.read(fd, 4096)
        if not data:
            break
        line += data
    return plain(line.decode(errors="replace"), _SENTENCE_CHARACTERS).strip()


def _become_parent_of_daemon(
    environment: Mapping[str, str], log: int, ready_in: int, pids_in: int
) -> NoReturn:
    """In a fork: start the daemon in a session of its own, tell its pid, and end.

    The second fork makes the daemon an orphan at once, so that no client that lives on keeps its corpse; only
    system calls happen between the forks and the exec.
    """
    try:
        os.setsid()
        pid = os.fork()
        if pid:
            os.write(pids_in, str(pid).encode())
        else:
            _exec_daemon(environment, log, ready_in)
    finally:
        os._exit(0)


def _exec_daemon(environment: Mapping[str, str], log: int, ready_in: int) -> NoReturn:
    try:
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        # The pipe may have one of the low numbers, and must not be overwritten before it is copied.
        keep = fcntl.fcntl(ready_in, fcntl.F_DUPFD, 10)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.dup2(keep, 3)
        os.closerange(4, os.sysconf("SC_OPEN_MAX"))
        os.umask(0o077)
        os.chdir("/")
        for ignored in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
            signal.signal(ignored, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.execve(sys.executable, daemon_command("--ready-fd", "3"), environment)
    except OSError as error:
        os.write(3, f"{sys.executable}: {error.strerror}\n".encode())
    finally:
        os._exit(127)
