"""Bytes on a connection: the preamble, the frames, their limits, and the two sides that an error can have.

Standard library only and cheap to import; what the bodies mean is in messages.py and stream.py.
"""

import struct

MAGIC = b"cctl"
VERSION = (1, 0)
"""(major, minor) of this package's wire. Sides with the same major understand each other."""

CONTROL = ord("C")
DATA = ord("D")
RESIZE = ord("R")
REPAINT = ord("S")

MAX_FRAME_BYTES = 1024 * 1024
"""What a frame's length may say (kind and body). The largest real ones list thousands of sessions or repaint
a huge screen; more is a mistake or an attack, and is refused before anything is kept for it."""
MAX_DATA_BYTES = 64 * 1024
"""The body of a data frame. Small, so that no key waits long behind a flood on the same connection."""

_PREAMBLE = struct.Struct(">4sHH")
_HEADER = struct.Struct(">IB")
_LENGTH_BYTES = 4
PREAMBLE_BYTES = _PREAMBLE.size
RESIZE_BYTES = 8


class ProtocolError(Exception):
    """The rules of the wire were broken. Never raised itself: the subclass says by whom."""


class LocalProtocolError(ProtocolError):
    """This side tried to say something that may not be said now. Nothing was sent and nothing changed."""


class RemoteProtocolError(ProtocolError):
    """The other side broke the rules. The connection is of no more use and must be closed."""


class VersionMismatch(RemoteProtocolError):
    """The other side speaks another major version; `ours` and `theirs` are (major, minor)."""

    def __init__(self, ours: tuple[int, int], theirs: tuple[int, int]) -> None:
        super().__init__(f"protocol {ours[0]}.{ours[1]} met {theirs[0]}.{theirs[1]}")
        self.ours = ours
        self.theirs = theirs

    @property
    def peer_is_older(self) -> bool:
        """True when it is the other side that should be upgraded or restarted."""
        return self.theirs < self.ours


def preamble(version: tuple[int, int] = VERSION) -> bytes:
    """The eight bytes with which each side begins. Their shape never changes, whatever the version."""
    return _PREAMBLE.pack(MAGIC, *version)


def frame(kind: int, body: bytes) -> bytes:
    """One frame.

    Raises:
        ValueError: the body is larger than a frame of this kind may be.
    """
    why = _objection(1 + len(body), kind)
    if why:
        raise ValueError(why)
    return _HEADER.pack(1 + len(body), kind) + body


class FrameReader:
    """Takes bytes as they come, however they are cut, and gives whole frames.

    Keeps less than one frame between calls. After an error it must not be fed again.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self.version: tuple[int, int] | None = None
        """The other side's (major, minor), or None until its preamble has come."""

    @property
    def held_bytes(self) -> int:
        """Bytes of an unfinished preamble or frame; not 0 at a stream's end means that one was cut off."""
        return len(self._buffer)

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """The frames that `data` completes, as (kind, body).

        Frames behind a preamble of another major version are not read: their shape is not known.

        Raises:
            RemoteProtocolError: no preamble, or a frame that is empty or too large; frames before it in the
                same `data` are lost with the connection.
        """
        self._buffer += data
        if self.version is None and not self._read_preamble():
            return []
        if self.version is not None and self.version[0] != VERSION[0]:
            self._buffer.clear()
            return []
        return self._read_frames()

    def _read_preamble(self) -> bool:
        head = self._buffer[: len(MAGIC)]
        if head != MAGIC[: len(head)]:
            raise RemoteProtocolError("the other side does not speak this protocol")
        if len(self._buffer) < PREAMBLE_BYTES:
            return False
        _, major, minor = _PREAMBLE.unpack_from(self._buffer)
        self.version = (major, minor)
        del self._buffer[:PREAMBLE_BYTES]
        return True

    def _read_frames(self) -> list[tuple[int, bytes]]:
        frames: list[tuple[int, bytes]] = []
        position = 0
        size = len(self._buffer)
        with memoryview(self._buffer) as view:
            while size - position >= _HEADER.size:
                length, kind = _HEADER.unpack_from(view, position)
                why = _objection(length, kind)
                if why:
                    raise RemoteProtocolError(why)
                end = position + _LENGTH_BYTES + length
                if end > size:
                    break
                frames.append((kind, bytes(view[position + _HEADER.size : end])))
                position = end
        if position:
            del self._buffer[:position]
        return frames


def _objection(length: int, kind: int) -> str | None:
    """Why a frame of this length and kind is not allowed."""
    if length == 0:
        return "an empty frame"
    if length > MAX_FRAME_BYTES:
        return f"a frame of {length} bytes; the limit is {MAX_FRAME_BYTES}"
    if kind == DATA and length - 1 > MAX_DATA_BYTES:
        return f"a data frame of {length - 1} bytes; the limit is {MAX_DATA_BYTES}"
    if kind == RESIZE and length - 1 != RESIZE_BYTES:
        return f"a resize frame of {length - 1} bytes; it has {RESIZE_BYTES}"
    return None
