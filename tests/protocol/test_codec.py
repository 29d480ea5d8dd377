"""Values to bytes and back, for every struct that crosses the wire."""

from typing import assert_type, cast, get_args

import msgspec
import pytest

from claudectl_protocol import codec
from claudectl_protocol.calls import (
    AnyCall,
    Attach,
    Attached,
    Call,
    List,
    New,
    SessionList,
    Shutdown,
    Status,
    Target,
)
from claudectl_protocol.faults import AnyFault, BadRequest, Internal, Rejected, ShuttingDown, Unsupported
from claudectl_protocol.framing import RemoteProtocolError
from claudectl_protocol.messages import Refusal, Reply, Request
from claudectl_protocol.sessions import SessionId, SessionInfo, Size, Value
from tests.protocol.samples import CALLS, FAULTS, INFO, REPLIES

DEEP = b"\x91" * 900_000 + b"\xc0"


def raw(value: object) -> msgspec.Raw:
    """A msgpack value inside a control frame."""
    return msgspec.Raw(msgspec.msgpack.encode(value))


def request(body: bytes) -> Request:
    """The request in a control frame's body."""
    message = codec.decode_for_daemon(body)
    assert isinstance(message, Request)
    return message


@pytest.mark.parametrize("call", CALLS, ids=lambda call: type(call).__name__)
def test_call_comes_back_under_its_id(call: AnyCall) -> None:
    found = request(codec.encode_call(7, call))
    assert (found.id, codec.decode_call(found.call)) == (7, call)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: type(fault).__name__)
def test_fault_comes_back_under_its_id(fault: AnyFault) -> None:
    found = codec.decode_for_client(codec.encode_refusal(7, fault))
    assert isinstance(found, Refusal)
    assert (found.id, codec.decode_fault(found.fault)) == (7, fault)


@pytest.mark.parametrize("call", CALLS, ids=lambda call: type(call).__name__)
def test_reply_comes_back_as_the_type_that_its_call_names(call: AnyCall) -> None:
    (value,) = (reply for reply in REPLIES if type(reply) is codec.reply_type(type(call)))
    found = codec.decode_for_client(codec.encode_reply(7, value))
    assert isinstance(found, Reply)
    decoded = codec.decode_reply(cast("Call[Value]", call), found.value)
    assert (found.id, decoded) == (7, value)


def test_type_of_a_reply_is_known_to_the_type_checker() -> None:
    listed = codec.decode_reply(List(cwd="/"), raw({"sessions": []}))
    assert_type(listed, SessionList)
    assert listed == SessionList(sessions=())


def test_reply_types_are_those_of_the_declarations() -> None:
    found = [codec.reply_type(call) for call in (List, New, Attach)]
    assert found == [SessionList, SessionInfo, Attached]


def test_class_that_is_no_call_has_no_reply_type() -> None:
    with pytest.raises(TypeError, match="Size is no call"):
        codec.reply_type(Size)
    with pytest.raises(TypeError, match="Call is no call"):
        codec.reply_type(Call)


def test_every_call_and_fault_has_a_tag_of_its_own() -> None:
    assert len(codec.CALL_TAGS) == len(get_args(AnyCall))
    assert len(codec.FAULT_TAGS) == len(get_args(AnyFault))


def test_fields_with_their_default_are_left_out() -> None:
    call = New(key=SessionId("k"), cwd="/")
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(call)) == {"t": "new", "key": "k", "cwd": "/"}


def test_missing_fields_are_filled_with_their_default() -> None:
    call = codec.decode_call(
        raw({"t": "attach", "target": {"text": "a", "cwd": "/"}, "size": {"cols": 1, "rows": 2}})
    )
    assert call == Attach(target=Target(text="a", cwd="/"), size=Size(cols=1, rows=2))


def test_unknown_fields_are_ignored_at_every_depth() -> None:
    target = {"text": "a", "cwd": "/", "new_here": [1, {"x": None}]}
    later = raw({"t": "show", "target": target, "new_there": b"\xff"})
    assert codec.decode_call(later) == codec.decode_call(
        raw({"t": "show", "target": {"text": "a", "cwd": "/"}})
    )
    envelope = msgspec.msgpack.encode({"t": "call", "id": 1, "call": {"t": "status"}, "trace": "x"})
    assert codec.decode_call(request(envelope).call) == Status()


def test_unknown_call_is_unsupported_by_name() -> None:
    with pytest.raises(Rejected) as caught:
        codec.decode_call(raw({"t": "hibernate", "cwd": "/"}))
    assert caught.value.fault == Unsupported(call="hibernate")


def test_name_of_an_unknown_call_is_made_safe_to_show() -> None:
    with pytest.raises(Rejected) as caught:
        codec.decode_call(raw({"t": "\x1b[31mx\n" + "y" * 100_000}))
    fault = caught.value.fault
    assert isinstance(fault, Unsupported)
    assert fault.call == "x " + "y" * 61 + "…"


@pytest.mark.parametrize(
    "call",
    [
        {"t": "list"},
        {"t": "list", "cwd": 3},
        {"t": "list", "cwd": None},
        {"t": "shutdown", "sessions": "yes"},
        {"cwd": "/"},
        {"t": 3},
        {"t": None},
        [],
        "list",
        None,
    ],
    ids=str,
)
def test_call_with_wrong_fields_is_a_bad_request(call: object) -> None:
    with pytest.raises(Rejected) as caught:
        codec.decode_call(raw(call))
    fault = caught.value.fault
    assert isinstance(fault, BadRequest)
    assert fault.why


def test_why_of_a_bad_request_quotes_a_wrong_value_only_in_part() -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        codec.decode_reply(Status(), raw({"x" * 100_000: 1}))
    assert len(str(caught.value)) < 400


def test_call_nested_too_deep_is_a_bad_request() -> None:
    with pytest.raises(Rejected) as caught:
        codec.decode_call(msgspec.Raw(b"\x82\xa1t\xa6status\xa1x" + DEEP))
    assert isinstance(caught.value.fault, BadRequest)


@pytest.mark.parametrize(
    "body",
    [b"", b"\xc1", b"\x80", b"\x81\xa1t\xa5hello", DEEP, b"\x83\xa1t\xa4call\xa2id\x01\xa4call" + DEEP],
    ids=["nothing", "no type", "no tag", "cut off", "deep", "deep call"],
)
def test_malformed_control_body_is_the_other_sides_fault_at_both_ends(body: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        codec.decode_for_daemon(body)
    with pytest.raises(RemoteProtocolError):
        codec.decode_for_client(body)


def test_bytes_after_a_control_map_are_refused() -> None:
    with pytest.raises(RemoteProtocolError):
        codec.decode_for_daemon(codec.encode_call(1, Status()) + b"\xc0")


@pytest.mark.parametrize("call_id", [0, -1, 2**53, "1", 1.5, None])
def test_call_id_that_is_none_is_refused(call_id: object) -> None:
    body = msgspec.msgpack.encode({"t": "call", "id": call_id, "call": {"t": "status"}})
    with pytest.raises(RemoteProtocolError):
        codec.decode_for_daemon(body)


def test_what_only_a_daemon_says_is_refused_by_a_daemon() -> None:
    with pytest.raises(RemoteProtocolError):
        codec.decode_for_daemon(codec.encode_reply(1, INFO))


def test_what_only_a_client_says_is_refused_by_a_client() -> None:
    with pytest.raises(RemoteProtocolError):
        codec.decode_for_client(codec.encode_call(1, Shutdown()))


def test_reply_of_another_shape_is_the_daemons_fault() -> None:
    with pytest.raises(RemoteProtocolError, match="wrong reply to List"):
        codec.decode_reply(List(cwd="/"), raw({"projects": []}))


def test_fault_that_only_newer_daemons_know_is_named() -> None:
    fault = codec.decode_fault(raw({"t": "quota_exceeded", "limit": 3}))
    assert isinstance(fault, BadRequest)
    assert "'quota_exceeded'" in fault.why


def test_known_fault_with_wrong_fields_is_the_daemons_fault() -> None:
    with pytest.raises(RemoteProtocolError, match="wrong fault"):
        codec.decode_fault(raw({"t": "internal"}))
    assert codec.decode_fault(raw({"t": "internal", "ticket": "x"})) == Internal(ticket="x")
    assert codec.decode_fault(raw({"t": "shutting_down"})) == ShuttingDown()


def test_text_that_is_no_utf8_cannot_be_sent() -> None:
    with pytest.raises(ValueError, match="surrogates"):
        codec.encode_call(1, List(cwd="/tmp/\udcff"))


def test_number_over_64_bits_cannot_be_sent() -> None:
    with pytest.raises(ValueError, match="serialize"):
        codec.encode_call(1, New(key=SessionId("k"), cwd="/", groups=(1 << 70,)))


@pytest.mark.parametrize("value", [*CALLS, *REPLIES, *FAULTS], ids=lambda value: type(value).__name__)
def test_what_crosses_the_wire_cannot_be_changed(value: Value | AnyCall | AnyFault) -> None:
    for field in value.__struct_fields__:
        with pytest.raises(AttributeError):
            setattr(value, field, None)
