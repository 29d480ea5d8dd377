"""The keeper's place in the file system: one lock per state directory, the socket, and keeper.json."""

import fcntl
import json
import os
import socket
import stat
from typing import NamedTuple

from .processes import Identity
from .wire import PROTOCOL

MAX_PATH_BYTES = 103
"""What fits into a socket address everywhere (macOS has 104 with the final zero)."""
_BACKLOG = 1024


class AlreadyRunning(Exception):
    """Another keeper holds the lock. `pid` is 0 while it has not said so yet."""

    def __init__(self, pid: int) -> None:
        super().__init__(f"already running pid {pid}" if pid else "already running")
        self.pid = pid


class Unsafe(Exception):
    """A directory is not to be trusted, or a path cannot be used; the message is a sentence."""


class Lock:
    """The right to be the keeper of a state directory, held until the process ends."""

    def __init__(self, path: str, *, held: int | None = None) -> None:
        """Take the lock, or go on with the descriptor that holds it. Raises AlreadyRunning, OSError."""
        if held is not None:
            self.fd = held
            return
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            text = os.read(self.fd, 20)
            os.close(self.fd)
            raise AlreadyRunning(int(text) if text.isdigit() else 0) from error
        os.ftruncate(self.fd, 0)
        os.pwrite(self.fd, str(os.getpid()).encode("ascii"), 0)

    def release(self) -> None:
        """Let another keeper start."""
        os.ftruncate(self.fd, 0)
        os.close(self.fd)


class EndpointState(NamedTuple):
    """The listening descriptor, and the (device, inode) that its path had."""

    listener: int
    bound: tuple[int, int] | None


class Endpoint:
    """The listening socket. Must only be made by who holds the lock: it replaces what is at the path."""

    def __init__(self, path: str, state: EndpointState | None = None) -> None:
        """Bind, or go on with the socket of `state`. Raises Unsafe, OSError."""
        self.path = path
        if state is not None:
            self.listener = socket.socket(fileno=state.listener)
            self.listener.settimeout(0.0)
            self._bound = state.bound
            return
        if len(os.fsencode(path)) > MAX_PATH_BYTES:
            raise Unsafe(f"the socket path {path} is longer than {MAX_PATH_BYTES} bytes")
        if not os.path.isabs(path):
            raise Unsafe(f"the socket path {path} is not absolute")
        self.listener = _listen(path)
        self._bound = _inode(path)

    def state(self) -> EndpointState:
        """Everything needed to go on listening."""
        return EndpointState(self.listener.fileno(), self._bound)

    @property
    def is_in_place(self) -> bool:
        """True while the path still leads to this socket."""
        return _inode(self.path) == self._bound

    def close(self) -> None:
        """Stop listening; remove the socket only if it is still ours."""
        if self.is_in_place:
            os.unlink(self.path)
        self.listener.close()


def write_identity(state: str, keeper: Identity, socket_path: str) -> None:
    """Say in keeper.json who keeps this state directory, and where. Raises OSError."""
    path = os.path.join(state, "keeper.json")
    value = {**keeper._asdict(), "socket": socket_path, "protocol": PROTOCOL}
    fd = os.open(path + ".new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(fd, "w", encoding="utf-8") as file:
        json.dump(value, file)
    os.rename(path + ".new", path)


def _listen(path: str) -> socket.socket:
    directory, name = os.path.split(path)
    fd = _open_private(directory)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.open(".", os.O_RDONLY | os.O_DIRECTORY)
    mask = os.umask(0o177)
    try:
        # By a name inside the directory that was checked: nobody can put another in its place in between.
        os.fchdir(fd)
        _remove_stale(name)
        listener.bind(name)
        listener.listen(_BACKLOG)
        listener.settimeout(0.0)
    except (OSError, Unsafe):
        listener.close()
        raise
    finally:
        os.umask(mask)
        os.fchdir(before)
        os.close(before)
        os.close(fd)
    return listener


def _remove_stale(name: str) -> None:
    try:
        mode = os.lstat(name).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise Unsafe(f"{name} in the socket directory is no socket; it is left alone")
    os.unlink(name)


def _open_private(directory: str) -> int:
    """Open a directory that only we can change, making it where it is missing."""
    _make_private(directory)
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    found = os.fstat(fd)
    if found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o077:
        os.close(fd)
        raise Unsafe(f"the socket directory {directory} is not ours alone (0700)")
    return fd


def _make_private(directory: str) -> None:
    if os.path.islink(directory):
        raise Unsafe(f"the socket directory {directory} is a symbolic link")
    parent = os.path.dirname(directory)
    if not os.path.isdir(directory):
        if not os.path.isdir(parent):
            _make_private(parent)
        os.mkdir(directory, mode=0o700)
    _verify_above(os.path.realpath(parent))


def _verify_above(directory: str) -> None:
    """Refuse when somebody else could put another directory in our directory's place."""
    while True:
        found = os.stat(directory)
        if found.st_uid not in (0, os.geteuid()):
            raise Unsafe(f"{directory}, above the socket directory, belongs to user {found.st_uid}")
        if found.st_mode & stat.S_IWOTH and not found.st_mode & stat.S_ISVTX:
            raise Unsafe(f"everybody may rename directories in {directory}, above the socket directory")
        if directory == os.path.dirname(directory):
            return
        directory = os.path.dirname(directory)


def _inode(path: str) -> tuple[int, int] | None:
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino
