"""What travels on a connection after Attach or Logs: the bodies of data, repaint, resize and end frames.

Data and repaint bodies begin with the record offset that *follows* their bytes, as an unsigned 64-bit big-endian
number, so that a client can always say "I have up to byte N". Input from a client has no offset.
"""

from enum import StrEnum

from claudectl_protocol.sessions import Exit, Value


class EndReason(StrEnum):
    """Why a stream ended."""

    EXITED = "exited"
    REMOVED = "removed"
    SHUTTING_DOWN = "shutting_down"
    COMPLETE = "complete"
    """A log was read to its end."""


class End(Value):
    """The last frame of a stream. A connection that closes without one was lost: the session may well go on."""

    reason: EndReason
    exit: Exit | None = None
