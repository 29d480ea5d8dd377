"""Where the daemon is found, and whether that place can be trusted. All sides agree: they all ask here.

Standard library only, and cheap to import.
"""

import os
import stat
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from hashlib import sha256
else:
    # hashlib loads OpenSSL, a third of what a bare interpreter costs to start; these are the same without it.
    try:
        from _sha2 import sha256
    except ImportError:
        try:
            from _sha256 import sha256
        except ImportError:
            from hashlib import sha256

NAME = "claudectl"
DAEMON_SOCKET = "daemon.sock"
KEEPER_SOCKET = "keeper.sock"
HOOK_SOCKET = "hook.sock"

PRIVATE = 0o700
"""The mode of every directory that holds a socket or a secret."""
LINUX_SOCKET_PATH_BYTES = 107
OTHER_SOCKET_PATH_BYTES = 103
"""macOS and the BSDs; one byte of sun_path is kept for the NUL."""


class EndpointError(Exception):
    """The endpoint cannot be used. Never raised itself: the subclass says why."""


class EndpointUnsafe(EndpointError):
    """A directory that somebody else could write to. `path` is the directory, `why` completes 'it …'."""

    def __init__(self, path: str, why: str) -> None:
        super().__init__(f"{path} {why}")
        self.path = path
        self.why = why


class SocketPathTooLong(EndpointError):
    """The system would refuse this path, or cut it in silence."""

    def __init__(self, path: str, limit_bytes: int) -> None:
        super().__init__(f"{path} is longer than the {limit_bytes} bytes that a socket's path may have")
        self.path = path
        self.limit_bytes = limit_bytes


class NoHome(EndpointError):
    """Neither the environment nor the user database names a home directory for `uid`."""

    def __init__(self, uid: int) -> None:
        super().__init__(f"user {uid} has no home directory; set HOME")
        self.uid = uid


def config_directory(env: "Mapping[str, str]", uid: int) -> str:
    """Where people's configuration and the list of projects live. Raises NoHome."""
    return _xdg_directory(env, uid, "XDG_CONFIG_HOME", ".config")


def state_directory(env: "Mapping[str, str]", uid: int) -> str:
    """Where records, checkpoints, locks and logs live. Raises NoHome."""
    return _xdg_directory(env, uid, "XDG_STATE_HOME", os.path.join(".local", "state"))


def socket_directory(uid: int, state_dir: str, run_user_root: str = "/run/user") -> str:
    """The directory of all sockets that belong to one state directory.

    It depends on nothing in the environment: under cron, in a scope or over ssh the variables that name run
    and temporary directories differ, and a client that looked elsewhere would start a second daemon.
    """
    digest = sha256(os.fsencode(os.path.realpath(state_dir))).hexdigest()[:8]
    run = os.path.join(run_user_root, str(uid))
    if _is_own_directory(run, uid):
        return os.path.join(run, NAME, digest)
    return os.path.join("/tmp", f"{NAME}-{uid}", digest)


def socket_path(env: "Mapping[str, str]", uid: int, state_dir: str, run_user_root: str = "/run/user") -> str:
    """The daemon's socket: CLAUDECTL_SOCKET if set, else the one that belongs to `state_dir`."""
    chosen = env.get("CLAUDECTL_SOCKET")
    if chosen:
        return chosen
    return os.path.join(socket_directory(uid, state_dir, run_user_root), DAEMON_SOCKET)


def check_socket_path(path: str, platform: str = sys.platform) -> None:
    """Raises SocketPathTooLong for a path that does not fit a socket's address."""
    limit = LINUX_SOCKET_PATH_BYTES if platform.startswith("linux") else OTHER_SOCKET_PATH_BYTES
    if len(os.fsencode(path)) > limit:
        raise SocketPathTooLong(path, limit)


def make_directory(path: str) -> None:
    """Create `path` and what is missing above it, each 0700; what exists is left as it is. Raises OSError.

    Says nothing about safety: somebody else may have been first. `verify_directory` does.
    """
    missing: list[str] = []
    while path and not os.path.lexists(path):
        missing.append(path)
        path = os.path.dirname(path)
    for directory in reversed(missing):
        try:
            os.mkdir(directory, PRIVATE)
        except FileExistsError:
            continue
        # The umask may have taken even the owner's bits.
        os.chmod(directory, PRIVATE)


def verify_directory(path: str, uid: int | None = None) -> None:
    """Check that only `uid` (by default this process's user) can put anything into the directory `path`, and
    that nobody else could have put another directory in its place.

    Raises:
        EndpointUnsafe: it is a link or no directory, is another user's, is not 0700; or the directory above
            belongs to a third user or may be written by everybody.
        FileNotFoundError: it does not exist (another OSError: it cannot be looked at).
    """
    owner = os.geteuid() if uid is None else uid
    found = os.lstat(path)
    if stat.S_ISLNK(found.st_mode):
        raise EndpointUnsafe(path, "is a symbolic link")
    if not stat.S_ISDIR(found.st_mode):
        raise EndpointUnsafe(path, "is not a directory")
    if found.st_uid != owner:
        raise EndpointUnsafe(path, f"belongs to user {found.st_uid}")
    if found.st_mode & 0o777 != PRIVATE:
        raise EndpointUnsafe(path, f"has mode {found.st_mode & 0o777:04o} instead of 0700")
    _verify_parent(os.path.dirname(os.path.abspath(path)), owner)


def _verify_parent(path: str, owner: int) -> None:
    above = os.stat(path)
    # Inside a user namespace root's directories look like nobody's, so "the system" is whoever owns the root.
    if above.st_uid not in (owner, os.stat("/").st_uid):
        raise EndpointUnsafe(path, f"belongs to user {above.st_uid}")
    if above.st_mode & stat.S_IWOTH and not above.st_mode & stat.S_ISVTX:
        raise EndpointUnsafe(path, "may be written by everybody")


def _is_own_directory(path: str, uid: int) -> bool:
    try:
        found = os.lstat(path)
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == uid


def _xdg_directory(env: "Mapping[str, str]", uid: int, variable: str, below_home: str) -> str:
    chosen = env.get(variable, "")
    # A relative path would mean another place in every directory; the XDG specification has it ignored.
    root = chosen if os.path.isabs(chosen) else os.path.join(home_directory(env, uid), below_home)
    return os.path.join(root, NAME)


def home_directory(env: "Mapping[str, str]", uid: int) -> str:
    """HOME, or what the user database says where the environment is bare. Raises NoHome."""
    home = env.get("HOME", "")
    if os.path.isabs(home):
        return home
    import pwd  # needed only where HOME is missing, as in a bare service environment

    try:
        return pwd.getpwuid(uid).pw_dir
    except KeyError:
        raise NoHome(uid) from None
