"""What travels on a connection after Attach or Logs: the bodies of data, repaint, resize and end frames.

Data and repaint bodies begin with the record offset that *follows* their bytes, as an unsigned 64-bit
big-endian number, so that a client can always say "I have up to byte N". Input from a client has no offset.
"""

import struct
from enum import StrEnum

from claudectl_protocol.framing import MAX_DATA_BYTES, MAX_FRAME_BYTES
from claudectl_protocol.sessions import Exit, Size, Value

_OFFSET = struct.Struct(">Q")
_SIZE = struct.Struct(">4H")

MAX_OUTPUT_BYTES = MAX_DATA_BYTES - _OFFSET.size
"""Output that fits one data frame beside its offset."""
MAX_REPAINT_BYTES = MAX_FRAME_BYTES - 1 - _OFFSET.size
"""A repaint that fits one frame beside its kind and offset."""


class EndReason(StrEnum):
    """Why a stream ended."""

    EXITED = "exited"
    REMOVED = "removed"
    SHUTTING_DOWN = "shutting_down"
    COMPLETE = "complete"
    """A log was read to its end."""


class End(Value, tag_field="t", tag="end"):
    """The last frame of a stream. A connection that closes without one was lost: the session may live on."""

    reason: EndReason
    exit: Exit | None = None


def pack_output(offset: int, data: bytes) -> bytes:
    """The body of a data or repaint frame; `offset` is the record offset after `data`.

    Raises:
        ValueError: the offset is negative or needs more than 64 bits.
    """
    try:
        return _OFFSET.pack(offset) + data
    except struct.error:
        raise ValueError(f"{offset} is no record offset") from None


def unpack_output(body: bytes) -> tuple[int, bytes]:
    """(record offset after the bytes, the bytes) of a data or repaint body.

    Raises:
        ValueError: the body is too short to hold an offset.
    """
    if len(body) < _OFFSET.size:
        raise ValueError("output without an offset")
    (offset,) = _OFFSET.unpack_from(body)
    return offset, body[_OFFSET.size :]


def pack_size(size: Size) -> bytes:
    """The body of a resize frame.

    Raises:
        ValueError: no columns or rows, or a number over 65535.
    """
    try:
        body = _SIZE.pack(size.cols, size.rows, size.xpixel, size.ypixel)
    except struct.error:
        raise ValueError(f"{size} does not fit 16-bit numbers") from None
    unpack_size(body)
    return body


def unpack_size(body: bytes) -> Size:
    """The size in a resize body.

    Raises:
        ValueError: the body is not four numbers, or there are no columns or rows.
    """
    if len(body) != _SIZE.size:
        raise ValueError(f"a size of {len(body)} bytes")
    cols, rows, xpixel, ypixel = _SIZE.unpack(body)
    if not cols or not rows:
        raise ValueError(f"a terminal of {cols} x {rows} cells")
    return Size(cols=cols, rows=rows, xpixel=xpixel, ypixel=ypixel)
