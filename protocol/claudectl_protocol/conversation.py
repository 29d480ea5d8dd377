"""The rules of a connection as data: how far it is, what may be said then, and which calls are unanswered.

It does not know which side it serves: both obey the same table, so they cannot be given different truths.
"""

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import TYPE_CHECKING

from claudectl_protocol.framing import (
    VERSION,
    FrameReader,
    LocalProtocolError,
    RemoteProtocolError,
    VersionMismatch,
)
from claudectl_protocol.messages import MAX_PENDING_CALLS

if TYPE_CHECKING:
    from claudectl_protocol.sessions import Value


class State(Enum):
    """How far a connection is, as one side knows it."""

    GREETING = "greeting"
    CALLS = "calls"
    OPENING = "opening"
    """Attach or Logs was asked and not yet answered; nothing else may be said meanwhile."""
    TERMINAL = "terminal"
    READING = "reading"
    ENDED = "ended"
    BROKEN = "broken"
    """The other side broke the rules."""


class Step(Enum):
    """What can be said, by either side."""

    HELLO = "hello"
    CALL = "call"
    ATTACH = "attach"
    LOGS = "logs"
    REPLY = "reply"
    ATTACHED = "attached"
    LOGS_STARTED = "logs started"
    REFUSAL = "refusal"
    INPUT = "input"
    SIZE = "size"
    DATA = "data"
    REPAINT = "repaint"
    END = "end"
    DISMISSAL = "dismissal"


TRANSITIONS: Mapping[tuple[State, Step], State] = MappingProxyType(
    {
        (State.GREETING, Step.HELLO): State.CALLS,
        (State.CALLS, Step.CALL): State.CALLS,
        (State.CALLS, Step.ATTACH): State.OPENING,
        (State.CALLS, Step.LOGS): State.OPENING,
        (State.CALLS, Step.REPLY): State.CALLS,
        (State.CALLS, Step.REFUSAL): State.CALLS,
        (State.OPENING, Step.ATTACHED): State.TERMINAL,
        (State.OPENING, Step.LOGS_STARTED): State.READING,
        (State.OPENING, Step.REFUSAL): State.CALLS,
        (State.TERMINAL, Step.INPUT): State.TERMINAL,
        (State.TERMINAL, Step.SIZE): State.TERMINAL,
        (State.TERMINAL, Step.DATA): State.TERMINAL,
        (State.TERMINAL, Step.REPAINT): State.TERMINAL,
        (State.TERMINAL, Step.END): State.ENDED,
        (State.READING, Step.DATA): State.READING,
        (State.READING, Step.END): State.ENDED,
        (State.GREETING, Step.DISMISSAL): State.ENDED,
        (State.CALLS, Step.DISMISSAL): State.ENDED,
        (State.OPENING, Step.DISMISSAL): State.ENDED,
        (State.TERMINAL, Step.DISMISSAL): State.ENDED,
        (State.READING, Step.DISMISSAL): State.ENDED,
    }
)


class Conversation:
    """What either end keeps: the state, the reader, the last offset, the reply type of each open call."""

    def __init__(self) -> None:
        self.state = State.GREETING
        self.offset = 0
        """The record offset that the last data or repaint frame said."""
        self.pending: dict[int, type[Value]] = {}
        self._reader = FrameReader()

    @property
    def is_midway(self) -> bool:
        """True when the other side has begun a preamble or a frame and not ended it."""
        return self._reader.held_bytes > 0

    def read(self, data: bytes) -> list[tuple[int, bytes]]:
        """The frames that `data` completes. Raises RemoteProtocolError, or LocalProtocolError once broken."""
        if self.state is State.BROKEN:
            raise LocalProtocolError("the connection is broken")
        frames = self._reader.feed(data)
        theirs = self._reader.version
        if theirs is not None and theirs[0] != VERSION[0]:
            raise VersionMismatch(VERSION, theirs)
        return frames

    def say(self, step: Step) -> None:
        """Take a step of this side. Raises LocalProtocolError."""
        if (self.state, step) not in TRANSITIONS:
            raise LocalProtocolError(f"no {step.value} in state {self.state.value}")
        self.state = TRANSITIONS[self.state, step]

    def hear(self, step: Step) -> None:
        """Take a step of the other side. Raises RemoteProtocolError."""
        if (self.state, step) not in TRANSITIONS:
            raise RemoteProtocolError(f"{step.value} came in state {self.state.value}")
        self.state = TRANSITIONS[self.state, step]

    def objection(self, call_id: int, step: Step) -> str | None:
        """Why a call may not be made now, as far as that depends on the unanswered ones."""
        if call_id in self.pending:
            return f"call {call_id} is not answered yet"
        if len(self.pending) >= MAX_PENDING_CALLS:
            return f"more than {MAX_PENDING_CALLS} unanswered calls"
        if self.pending and step is not Step.CALL:
            return f"{step.value} while other calls are unanswered"
        return None
