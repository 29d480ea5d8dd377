"""The envelopes of control frames: the greeting, and a call with its answer. calls.py has what they carry."""

from typing import Annotated

import msgspec

from claudectl_protocol.framing import MAX_DATA_BYTES, MAX_FRAME_BYTES
from claudectl_protocol.sessions import Value
from claudectl_protocol.stream import End

MAX_PENDING_CALLS = 256
"""Calls of one connection that may be unanswered at a time: a client cannot fill the daemon's memory."""

CONNECTION_ID = 0
"""The id of a refusal that concerns the connection itself: it is the last frame."""

MessageId = Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)]
"""2^53 - 1 is the largest whole number that every language carries exactly."""
CallId = Annotated[int, msgspec.Meta(ge=1, le=2**53 - 1)]


class Message(Value, tag_field="t"):
    """One control frame's body: a msgpack map with its tag in `t`."""


class Limits(Value):
    """What the daemon accepts. Never less than these constants of the major version."""

    frame_bytes: int
    data_bytes: int
    pending_calls: int


LIMITS = Limits(frame_bytes=MAX_FRAME_BYTES, data_bytes=MAX_DATA_BYTES, pending_calls=MAX_PENDING_CALLS)


class Hello(Message, tag="hello"):
    """The client's first frame. `capabilities` names what it understands beyond this version's minimum."""

    client: str
    """Version of the client program."""
    pid: int
    capabilities: tuple[str, ...] = ()


class Welcome(Message, tag="welcome"):
    """The daemon's first frame."""

    server: str
    """Version of the daemon program."""
    pid: int
    limits: Limits
    capabilities: tuple[str, ...] = ()


class Request(Message, tag="call"):
    """A call under an id that no other unanswered call of the connection has."""

    id: CallId
    call: msgspec.Raw


class Reply(Message, tag="reply"):
    """The answer to the call `id`; its shape follows from the call."""

    id: CallId
    value: msgspec.Raw


class Refusal(Message, tag="refusal"):
    """The fault that answers the call `id`; with id 0 the reason why the daemon ends the connection."""

    id: MessageId
    fault: msgspec.Raw


ToDaemon = Hello | Request
ToClient = Welcome | Reply | Refusal | End
