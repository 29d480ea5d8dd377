"""The golden frames: what they say is what this code says, in both directions, and none is missing."""

from typing import cast, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from claudectl_protocol import codec
from claudectl_protocol.calls import AnyCall, Attach, Call, Status
from claudectl_protocol.connection import (
    Data,
    Dismissed,
    Ended,
    Refuse,
    Refused,
    Repaint,
    Replied,
    Requested,
    Resized,
    Typed,
)
from claudectl_protocol.conversation import State
from claudectl_protocol.faults import AnyFault
from claudectl_protocol.framing import FrameReader, RemoteProtocolError, preamble
from claudectl_protocol.messages import Refusal, Reply, Request
from claudectl_protocol.sessions import Value
from tests.protocol.pair import ConnectionPair
from tests.protocol.samples import CALLS, END, FAULTS, REPLIES, SIZE, TARGET
from tests.protocol.vectors import CALL_ID, DIRECTORY, HELLO, WELCOME, Vector, dump, expected, load, tag_of

EXPECTED = expected()
FILES = sorted(path.relative_to(DIRECTORY).as_posix() for path in DIRECTORY.rglob("*.json"))


def body_of(name: str) -> bytes:
    """The body of the only frame in a vector's file."""
    reader = FrameReader()
    reader.feed(preamble())
    ((_, body),) = reader.feed(load(DIRECTORY / name).bytes)
    return body


def attached() -> ConnectionPair:
    """A pair whose connection is a terminal."""
    pair = ConnectionPair.greeted()
    call_id = pair.ask(Attach(target=TARGET, size=SIZE))
    reply = next(reply for reply in REPLIES if type(reply).__name__ == "Attached")
    pair.to_client(pair.daemon.reply(call_id, reply))
    pair.of_client.clear()
    pair.of_daemon.clear()
    return pair


def test_every_call_has_a_sample() -> None:
    assert {type(call) for call in CALLS} == set(get_args(AnyCall))


def test_every_fault_has_a_sample() -> None:
    assert {type(fault) for fault in FAULTS} == set(get_args(AnyFault))


def test_every_reply_has_a_sample() -> None:
    assert {type(reply) for reply in REPLIES} == {codec.reply_type(call) for call in get_args(AnyCall)}


def test_every_vector_has_a_file_and_every_file_a_vector() -> None:
    assert sorted(EXPECTED) == FILES


@pytest.mark.parametrize("value", [*CALLS, *REPLIES, *FAULTS], ids=lambda value: type(value).__name__)
def test_samples_set_every_field(value: msgspec.Struct) -> None:
    defaults = [
        field.name
        for field in msgspec.structs.fields(value)
        if not field.required and getattr(value, field.name) == field.default
    ]
    assert defaults == []


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_file_is_what_this_code_says(name: str) -> None:
    assert (DIRECTORY / name).read_bytes() == dump(EXPECTED[name])


@pytest.mark.parametrize("call", CALLS, ids=tag_of)
def test_call_in_a_file_is_understood(call: AnyCall) -> None:
    message = codec.decode_for_daemon(body_of(f"calls/{tag_of(call)}.json"))
    assert isinstance(message, Request)
    assert (message.id, codec.decode_call(message.call)) == (CALL_ID, call)


@pytest.mark.parametrize("call", CALLS, ids=tag_of)
def test_reply_in_a_file_is_understood(call: AnyCall) -> None:
    reply_type = codec.reply_type(type(call))
    message = codec.decode_for_client(body_of(f"replies/{reply_type.__name__}.json"))
    assert isinstance(message, Reply)
    decoded = codec.decode_reply(cast("Call[Value]", call), message.value)
    assert (message.id, decoded) == (CALL_ID, next(reply for reply in REPLIES if type(reply) is reply_type))


@pytest.mark.parametrize("fault", FAULTS, ids=tag_of)
def test_fault_in_a_file_is_understood(fault: AnyFault) -> None:
    message = codec.decode_for_client(body_of(f"faults/{tag_of(fault)}.json"))
    assert isinstance(message, Refusal)
    assert (message.id, codec.decode_fault(message.fault)) == (CALL_ID, fault)


def test_greetings_in_the_files_are_understood() -> None:
    assert codec.decode_for_daemon(body_of("frames/hello.json")) == HELLO
    assert codec.decode_for_client(body_of("frames/welcome.json")) == WELCOME
    reader = FrameReader()
    assert reader.feed(load(DIRECTORY / "frames/preamble.json").bytes) == []
    assert reader.version == (1, 0)


def test_stream_frames_in_the_files_are_understood() -> None:
    pair = attached()
    pair.to_daemon(load(DIRECTORY / "frames/input.json").bytes)
    pair.to_daemon(load(DIRECTORY / "frames/resize.json").bytes)
    for name in ("output", "repaint", "end"):
        pair.to_client(load(DIRECTORY / f"frames/{name}.json").bytes)
    assert pair.of_daemon == [Typed(b"y\r"), Resized(SIZE)]
    assert pair.of_client == [
        Data(5_000_000_000, b"ok"),
        Repaint(5_000_000_000, b"\x1bchi"),
        Ended(END),
    ]


def test_dismissal_in_its_file_is_understood() -> None:
    pair = ConnectionPair.greeted()
    pair.to_client(load(DIRECTORY / "frames/dismissal.json").bytes)
    assert pair.of_client == [Dismissed(FAULTS[-2])]


def test_vector_that_differs_in_one_byte_is_noticed() -> None:
    vector = EXPECTED["calls/list.json"]
    changed = Vector(
        about=vector.about, sender=vector.sender, hex="ff" + vector.hex[2:], message=vector.message
    )
    assert dump(changed) != dump(vector)


@st.composite
def mutated(draw: st.DrawFn, folder: str) -> bytes:
    """A vector's bytes with some of them changed, cut out or put in."""
    name = draw(st.sampled_from([name for name in sorted(EXPECTED) if name.startswith(folder)]))
    data = bytearray(EXPECTED[name].bytes)
    for _ in range(draw(st.integers(min_value=0, max_value=4))):
        place = draw(st.integers(min_value=0, max_value=len(data)))
        data[place : place + draw(st.integers(min_value=0, max_value=3))] = draw(st.binary(max_size=4))
    return bytes(data)


@given(mutated("calls/"))
def test_damaged_call_breaks_the_connection_or_is_asked_or_refused(data: bytes) -> None:
    daemon = ConnectionPair.greeted().daemon
    try:
        events = daemon.receive_data(data)
    except RemoteProtocolError:
        assert daemon.state is State.BROKEN
    else:
        assert all(isinstance(event, (Requested, Refuse)) for event in events)
        assert daemon.state in (State.CALLS, State.OPENING)


@given(st.sampled_from(CALLS), st.one_of(mutated("replies/"), mutated("faults/")))
def test_damaged_answer_breaks_the_connection_or_is_a_wrong_reply(call: AnyCall, data: bytes) -> None:
    pair = ConnectionPair.greeted()
    if not isinstance(call, Attach):
        for _ in range(CALL_ID - 1):
            pair.to_client(pair.daemon.refuse(pair.ask(Status()), FAULTS[0]))
    pair.of_client.clear()
    pair.client.send(call)
    try:
        pair.to_client(data)
        for event in pair.of_client:
            assert isinstance(event, (Replied, Refused, Dismissed))
            if isinstance(event, Replied):
                decoded = codec.decode_reply(cast("Call[Value]", call), event.raw)
                assert type(decoded) is codec.reply_type(type(call))
    except RemoteProtocolError:
        pass


@given(mutated("frames/"))
def test_damaged_stream_frame_breaks_the_connection_at_worst(data: bytes) -> None:
    pair = attached()
    for receive in (pair.client.receive_data, pair.daemon.receive_data):
        try:
            receive(data)
        except RemoteProtocolError:
            pass
