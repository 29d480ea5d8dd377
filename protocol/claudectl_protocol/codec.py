"""The one place where values become the bytes of control frames and come back."""

from typing import cast, get_args, get_origin

import msgspec

from claudectl_protocol.calls import AnyCall, Call, R
from claudectl_protocol.faults import AnyFault, BadRequest, Rejected, Unsupported
from claudectl_protocol.framing import RemoteProtocolError
from claudectl_protocol.messages import Refusal, Reply, Request, ToClient, ToDaemon
from claudectl_protocol.sessions import Value
from claudectl_protocol.text import plain

CALL_TAGS = frozenset(str(call.__struct_config__.tag) for call in get_args(AnyCall))
FAULT_TAGS = frozenset(str(fault.__struct_config__.tag) for fault in get_args(AnyFault))

_TO_DAEMON: msgspec.msgpack.Decoder[ToDaemon] = msgspec.msgpack.Decoder(ToDaemon)
_TO_CLIENT: msgspec.msgpack.Decoder[ToClient] = msgspec.msgpack.Decoder(ToClient)
_CALL: msgspec.msgpack.Decoder[AnyCall] = msgspec.msgpack.Decoder(AnyCall)
_FAULT: msgspec.msgpack.Decoder[AnyFault] = msgspec.msgpack.Decoder(AnyFault)

_UNDECODABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""All that msgspec raises for bytes that are not what was expected."""
_WHY_CHARACTERS = 300
_TAG_CHARACTERS = 64


class _Tagged(msgspec.Struct):
    """Any tagged map, read only for its tag."""

    t: str


def encode_message(message: ToDaemon | ToClient) -> bytes:
    """The body of a control frame. Raises ValueError for text that is no UTF-8, or a number over 64 bits."""
    return _encode(message)


def decode_for_daemon(body: bytes) -> ToDaemon:
    """What a client said. Raises RemoteProtocolError."""
    try:
        return _TO_DAEMON.decode(body)
    except _UNDECODABLE as error:
        raise RemoteProtocolError(_why(error)) from error


def decode_for_client(body: bytes) -> ToClient:
    """What a daemon said. Raises RemoteProtocolError."""
    try:
        return _TO_CLIENT.decode(body)
    except _UNDECODABLE as error:
        raise RemoteProtocolError(_why(error)) from error


def encode_call(call_id: int, call: AnyCall | Call[R]) -> bytes:
    """The body of a frame that asks. Raises ValueError as `encode_message`."""
    return _encode(Request(id=call_id, call=msgspec.Raw(_encode(call))))


def decode_call(raw: msgspec.Raw) -> AnyCall:
    """The call in a request.

    Raises:
        Rejected: Unsupported for a tag that is not known here, BadRequest for anything else that is wrong.
    """
    try:
        return _CALL.decode(raw)
    except _UNDECODABLE as error:
        tag = _tag(raw)
        if tag is None or tag in CALL_TAGS:
            raise Rejected(BadRequest(why=_why(error))) from error
        raise Rejected(Unsupported(call=plain(tag, _TAG_CHARACTERS))) from error


def encode_reply(call_id: int, value: Value) -> bytes:
    """The body of a frame that answers. Raises ValueError as `encode_message`."""
    return _encode(Reply(id=call_id, value=msgspec.Raw(_encode(value))))


def decode_reply(call: Call[R], raw: msgspec.Raw) -> R:
    """The reply to `call`. Raises RemoteProtocolError when it has another shape."""
    try:
        return cast(R, msgspec.msgpack.decode(raw, type=reply_type(type(call))))
    except _UNDECODABLE as error:
        raise RemoteProtocolError(f"a wrong reply to {type(call).__name__}: {_why(error)}") from error


def reply_type(call_type: type[msgspec.Struct]) -> type[Value]:
    """The `R` of a class that was declared as a `Call[R]`. Raises TypeError for another class."""
    for base in call_type.__dict__.get("__orig_bases__", ()):
        if get_origin(base) is Call:
            (reply,) = get_args(base)
            return cast(type[Value], reply)
    raise TypeError(f"{call_type.__name__} is no call")


def encode_refusal(call_id: int, fault: AnyFault) -> bytes:
    """The body of a frame that refuses. Raises ValueError as `encode_message`."""
    return _encode(Refusal(id=call_id, fault=msgspec.Raw(_encode(fault))))


def decode_fault(raw: msgspec.Raw) -> AnyFault:
    """The fault in a refusal; one that only newer daemons know becomes a BadRequest which names it.

    Raises:
        RemoteProtocolError: a fault with the wrong fields, or no fault.
    """
    try:
        return _FAULT.decode(raw)
    except _UNDECODABLE as error:
        tag = _tag(raw)
        if tag is None or tag in FAULT_TAGS:
            raise RemoteProtocolError(f"a wrong fault: {_why(error)}") from error
        name = plain(tag, _TAG_CHARACTERS)
        return BadRequest(why=f"refused by a newer daemon with '{name}', which this client does not know")


def _encode(value: msgspec.Struct) -> bytes:
    try:
        return msgspec.msgpack.encode(value)
    except OverflowError as error:
        raise ValueError(str(error)) from error


def _tag(raw: msgspec.Raw) -> str | None:
    try:
        return msgspec.msgpack.decode(raw, type=_Tagged).t
    except _UNDECODABLE:
        return None


def _why(error: Exception) -> str:
    # The message may quote the other side's bytes at any length.
    return plain(str(error), _WHY_CHARACTERS) or type(error).__name__
