"""The daemon's one socket: who may bind it, where, and how it comes back when its directory is swept away."""

import fcntl
import logging
import os
import socket
import stat
from collections.abc import Callable, Coroutine

import anyio.abc

from claudectl_protocol import endpoint
from claudectl_protocol.endpoint import EndpointError
from claudectl_protocol.sessions import Value

log = logging.getLogger(__name__)


class AlreadyRunning(Exception):
    """Another daemon holds the state directory. `pid` is None when it has not yet said who it is."""

    def __init__(self, pid: int | None) -> None:
        super().__init__(f"claudectld is already running (pid {pid})")
        self.pid = pid


class StateLock:
    """The right to be the daemon of a state directory, held until the process ends.

    The lock lies in the state directory and not beside the socket: runtime directories differ between cron and
    login, and may be removed while a daemon lives.
    """

    def __init__(self, path: str) -> None:
        """Take the lock without waiting. Raises AlreadyRunning, OSError."""
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            text = os.pread(self._fd, 32, 0).decode("ascii", "replace").strip()
            os.close(self._fd)
            raise AlreadyRunning(int(text) if text.isdigit() else None) from None
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)

    def close(self) -> None:
        """Give the lock up."""
        os.close(self._fd)


class _File(Value):
    """A socket file that cannot be mistaken for another bound at the same path."""

    device: int
    inode: int


class SocketFile:
    """A listening socket in a directory that only we can enter. The state lock must be held."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._file: _File | None = None

    def bind(self) -> socket.socket:
        """Make the directory, take the place of a stale socket, and listen (mode 0600).

        Raises:
            EndpointUnsafe: the directory is not ours alone.
            OSError: the path is too long, or something that is no socket is in the way.
        """
        endpoint.check_socket_path(self.path)
        directory = os.path.dirname(self.path)
        endpoint.make_directory(directory)
        endpoint.verify_directory(directory)
        try:
            if stat.S_ISSOCK(os.lstat(self.path).st_mode):
                # We hold the lock, so whoever bound it is gone.
                os.unlink(self.path)
        except FileNotFoundError:
            pass
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listening.bind(self.path)
            os.chmod(self.path, 0o600)
            listening.listen(128)
        except OSError:
            listening.close()
            raise
        self._file = self._present()
        return listening

    def is_bound(self) -> bool:
        """True while the path still leads to the socket that we bound."""
        return self._file is not None and self._file == self._present()

    def unlink(self) -> None:
        """Remove the socket, but never one that a successor has bound at the same path."""
        if self.is_bound():
            os.unlink(self.path)
        self._file = None

    def _present(self) -> _File | None:
        try:
            status = os.lstat(self.path)
        except OSError:
            return None
        return _File(device=status.st_dev, inode=status.st_ino)


class Listening:
    """The listening sockets of the daemon, bound again when a file of theirs has gone."""

    def __init__(
        self,
        serve: Callable[[socket.socket], Coroutine[object, object, None]],
        tasks: anyio.abc.TaskGroup,
        paths: Callable[[], tuple[str, ...]],
    ) -> None:
        """`serve` takes a listening socket over; `paths` says where clients look now, the first above all."""
        self._serve = serve
        self._tasks = tasks
        self._paths = paths
        self._files: dict[str, SocketFile] = {}
        self._troubles: dict[str, str] = {}

    def open(self) -> None:
        """Listen. Raises EndpointError or OSError if the first path cannot be bound."""
        first, *others = self._paths()
        self._bind(first)
        for path in others:
            self._try(path)

    def heal(self) -> None:
        """Bind what does not lead here any more; who is connected stays connected."""
        for path in self._paths():
            if path not in self._files or not self._files[path].is_bound():
                self._try(path)

    def close(self) -> None:
        """Take the files away; sockets go with the process."""
        for file in self._files.values():
            file.unlink()

    def _try(self, path: str) -> None:
        try:
            self._bind(path)
        except (EndpointError, OSError) as error:
            if self._troubles.get(path) != str(error):
                log.warning("event=socket_not_bound path=%s error=%s", path, error)
            self._troubles[path] = str(error)
        else:
            self._troubles.pop(path, None)
            log.info("event=socket_bound path=%s", path)

    def _bind(self, path: str) -> None:
        file = self._files.setdefault(path, SocketFile(path))
        self._tasks.start_soon(self._serve, file.bind())
