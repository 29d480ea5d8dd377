"""Who is at the other end of a Unix socket. Asked before the first byte is parsed."""

import socket
import struct
import sys

from claudectl_protocol.sessions import Value


class Peer(Value):
    """The process that opened a connection. `pid` is None where the system does not tell."""

    uid: int
    pid: int | None = None


def peer_of(connection: socket.socket) -> Peer:
    """Ask the kernel. Raises OSError when it does not know: then nobody is let in."""
    if hasattr(socket, "SO_PEERCRED"):
        size = struct.calcsize("3i")
        pid, uid, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
        return Peer(uid=uid, pid=pid)
    if sys.platform == "darwin":
        # <sys/un.h>: SOL_LOCAL 0, LOCAL_PEERCRED 1 (struct xucred: version, uid, …), LOCAL_PEERPID 2.
        credentials = connection.getsockopt(0, 1, 76)
        _, uid = struct.unpack_from("2I", credentials)
        return Peer(uid=uid, pid=connection.getsockopt(0, 2))
    raise OSError("this system does not say who connects")
