"""A connected Unix socket whose other end is proven to be this user's, or the reason why there is none."""

import os
import socket
import struct

from claudectl_protocol.endpoint import EndpointError, check_socket_path, verify_directory


class DaemonUnreachable(Exception):
    """There is no talking to a daemon; `why` is a sentence without its full stop."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class NoDaemon(DaemonUnreachable):
    """Nobody listens: starting a daemon would help."""

    def __init__(self, path: str) -> None:
        super().__init__(f"no daemon answers at {path}; start one with 'claudectl daemon start'")


class ConnectionLost(DaemonUnreachable):
    """The connection broke; what was asked may or may not have been done."""

    def __init__(self) -> None:
        super().__init__("the connection to the daemon was lost")


class DaemonSilent(DaemonUnreachable):
    """The daemon accepts connections but says nothing."""

    def __init__(self, timeout_s: float) -> None:
        super().__init__(f"the daemon did not answer within {timeout_s:g} s")


def connected_socket(path: str, timeout_s: float) -> socket.socket:
    """A blocking socket connected to `path`.

    Raises:
        NoDaemon: nobody listens there.
        DaemonSilent: its backlog stayed full for `timeout_s`.
        DaemonUnreachable: the path, its directory or its server is not what it must be.
    """
    try:
        check_socket_path(path)
        verify_directory(os.path.dirname(os.path.abspath(path)))
    except FileNotFoundError as error:
        raise NoDaemon(path) from error
    except (EndpointError, OSError) as error:
        raise DaemonUnreachable(f"the daemon's socket cannot be trusted: {error}") from error
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _connect(sock, path, timeout_s)
        peer = peer_uid(sock)
        if peer is not None and peer != os.geteuid():
            raise DaemonUnreachable(f"{path} is served by user {peer}, not by you")
    except BaseException:
        sock.close()
        raise
    return sock


def _connect(sock: socket.socket, path: str, timeout_s: float) -> None:
    # Python's own time limits make a socket non-blocking, and then a full backlog is an error, not a wait.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", int(timeout_s), 0))
    try:
        sock.connect(path)
    except (FileNotFoundError, ConnectionRefusedError) as error:
        raise NoDaemon(path) from error
    except BlockingIOError as error:
        raise DaemonSilent(timeout_s) from error
    except OSError as error:
        raise DaemonUnreachable(f"the daemon's socket {path} cannot be used: {error.strerror}") from error
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", 0, 0))


def peer_pid(sock: socket.socket) -> int | None:
    """The process that listens on the other side of a connected Unix socket, or None where nobody can tell."""
    if hasattr(socket, "SO_PEERCRED"):
        packed = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        return int(struct.unpack("3i", packed)[0]) or None
    try:
        # macOS: LOCAL_PEERPID (2) at SOL_LOCAL (0).
        return sock.getsockopt(0, 2) or None
    except OSError:
        return None


def peer_uid(sock: socket.socket) -> int | None:
    """The user on the other side of a connected Unix socket, or None where the system cannot tell."""
    if hasattr(socket, "SO_PEERCRED"):
        packed = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        return int(struct.unpack("3i", packed)[1])
    try:
        # macOS: LOCAL_PEERCRED (1) at SOL_LOCAL (0) gives a struct xucred, which is a version, then the uid.
        return int(struct.unpack_from("II", sock.getsockopt(0, 1, 76))[1])
    except (OSError, struct.error):
        return None
