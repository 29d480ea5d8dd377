"""Frames between the keeper and its clients, for both sides; see PROTOCOL.md. No header's meaning lives here."""

import array
import fcntl
import json
import os
import socket
import struct
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

PROTOCOL = 1
"""Grows when an older peer could misunderstand a newer one."""
MAX_HEADER_BYTES = 1 << 20
MAX_PAYLOAD_BYTES = 1 << 20
MAX_FDS = 200
"""Below the kernel's 253, so that a message with all of them is never cut."""

_LENGTHS = struct.Struct(">II")
_RECEIVE_BYTES = 1 << 16
_CONTROL_BYTES = socket.CMSG_SPACE((MAX_FDS + 50) * array.array("i").itemsize)


class BadFrame(Exception):
    """The bytes are no frame; nothing that follows on this connection can be understood."""


class Frame(NamedTuple):
    """One message. Who takes the frame owns its descriptors."""

    header: Mapping[str, object]
    payload: bytes
    fds: tuple[int, ...]


def encode(header: Mapping[str, object], payload: bytes = b"") -> bytes:
    """The bytes of one frame. Raises ValueError when it is larger than a peer would take."""
    text = json.dumps(header, separators=(",", ":")).encode("ascii")
    if len(text) > MAX_HEADER_BYTES or len(payload) > MAX_PAYLOAD_BYTES:
        raise ValueError(f"a frame of {len(text)} + {len(payload)} bytes is too large")
    return _LENGTHS.pack(len(text), len(payload)) + text + payload


def send(connection: socket.socket, data: bytes | memoryview, fds: Sequence[int]) -> int:
    """Send what the socket takes now, descriptors with the first byte. Returns the number of bytes taken."""
    if not fds:
        return connection.send(data)
    rights = array.array("i", fds)
    return connection.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])


def receive(connection: socket.socket) -> tuple[bytes, list[int]]:
    """Receive once. Returns (bytes, descriptors); no bytes at the end of the connection.

    Raises:
        BadFrame: descriptors were lost on the way.
        OSError: as recvmsg(2); BlockingIOError when there is nothing yet.
    """
    flags = getattr(socket, "MSG_CMSG_CLOEXEC", 0)
    data, ancillary, answered, _ = connection.recvmsg(_RECEIVE_BYTES, _CONTROL_BYTES, flags)
    fds = array.array("i")
    for level, kind, body in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(body[: len(body) - len(body) % fds.itemsize])
    for fd in fds:
        fcntl.fcntl(fd, fcntl.F_SETFD, fcntl.FD_CLOEXEC)  # macOS has no flag for it
    if answered & socket.MSG_CTRUNC:
        close_all(fds)
        raise BadFrame("descriptors were cut off")
    return data, list(fds)


def close_all(fds: Sequence[int]) -> None:
    """Close descriptors that nobody will use."""
    for fd in fds:
        os.close(fd)


class Decoder:
    """Bytes and descriptors in, frames out. Lengths are refused before anything is allocated for them."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._fds: deque[int] = deque()

    def feed(self, data: bytes, fds: Sequence[int] = ()) -> None:
        """Take what one receive returned."""
        self._bytes += data
        self._fds.extend(fds)

    @property
    def unfinished(self) -> bytes:
        """What came of a frame that is not whole."""
        return bytes(self._bytes)

    @property
    def has_descriptors(self) -> bool:
        """True while descriptors wait for the rest of their frame."""
        return bool(self._fds)

    def frames(self) -> Iterator[Frame]:
        """Every whole frame so far. Raises BadFrame."""
        while (frame := self._next()) is not None:
            yield frame
        if len(self._fds) > MAX_FDS or (self._fds and not self._bytes):
            raise BadFrame("descriptors came that no frame announced")

    def close(self) -> None:
        """Close descriptors that came with an unfinished frame."""
        close_all(self._fds)
        self._fds.clear()

    def _next(self) -> Frame | None:
        if len(self._bytes) < _LENGTHS.size:
            return None
        header_bytes, payload_bytes = _LENGTHS.unpack_from(self._bytes)
        if header_bytes > MAX_HEADER_BYTES or payload_bytes > MAX_PAYLOAD_BYTES:
            raise BadFrame(f"a frame of {header_bytes} + {payload_bytes} bytes is too large")
        middle = _LENGTHS.size + header_bytes
        end = middle + payload_bytes
        if len(self._bytes) < end:
            return None
        header = _header(bytes(self._bytes[_LENGTHS.size : middle]))
        payload = bytes(self._bytes[middle:end])
        del self._bytes[:end]
        return Frame(header, payload, self._claim(header.get("fds", 0)))

    def _claim(self, count: object) -> tuple[int, ...]:
        if type(count) is not int or not 0 <= count <= MAX_FDS:
            raise BadFrame("fds is no number of descriptors")
        if count > len(self._fds):
            raise BadFrame(f"{count} descriptors announced, {len(self._fds)} came")
        return tuple(self._fds.popleft() for _ in range(count))


def _header(data: bytes) -> Mapping[str, object]:
    try:
        header = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise BadFrame("the header is no JSON") from error
    if not isinstance(header, dict):
        raise BadFrame("the header is no JSON object")
    return header
