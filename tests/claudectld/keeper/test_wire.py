"""Frames: what was said is heard, at any split; what is no frame is refused before it costs anything."""

import os
import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claudectld.keeper import wire
from claudectld.keeper.wire import BadFrame, Decoder, Frame

headers = st.dictionaries(st.text(), st.none() | st.booleans() | st.integers() | st.text()).filter(
    lambda header: "fds" not in header
)


@given(st.lists(st.tuples(headers, st.binary())), st.lists(st.integers(1, 40), min_size=1))
def test_frames_survive_any_split(frames: list[tuple[dict[str, object], bytes]], cuts: list[int]) -> None:
    data = b"".join(wire.encode(header, payload) for header, payload in frames)
    decoder = Decoder()
    heard = []
    turn = 0
    while data:
        size = cuts[turn % len(cuts)]
        decoder.feed(data[:size])
        heard += [(frame.header, frame.payload) for frame in decoder.frames()]
        data = data[size:]
        turn += 1
    assert heard == frames


@given(st.binary(max_size=200))
def test_garbage_is_refused_or_waited_on_and_never_anything_else(data: bytes) -> None:
    decoder = Decoder()
    decoder.feed(data)
    try:
        for frame in decoder.frames():
            assert isinstance(frame.header, dict)
    except BadFrame:
        pass


@pytest.mark.parametrize(
    ("lengths", "body"),
    [
        ((wire.MAX_HEADER_BYTES + 1, 0), b""),
        ((2, wire.MAX_PAYLOAD_BYTES + 1), b"{}"),
        ((0xFFFFFFFF, 0xFFFFFFFF), b""),
        ((0, 0), b""),
        ((2, 0), b"[]"),
        ((1, 0), b"{"),
        ((4, 0), b"\xff\xfe\xfd\xfc"),
        ((9, 0), b'{"fds":1}'),
        ((10, 0), b'{"fds":-1}'),
        ((12, 0), b'{"fds":true}'),
        ((100_000, 0), b"[" * 100_000),
    ],
)
def test_what_is_no_frame_is_refused(lengths: tuple[int, int], body: bytes) -> None:
    decoder = Decoder()
    decoder.feed(struct.pack(">II", *lengths) + body)
    with pytest.raises(BadFrame):
        list(decoder.frames())


def test_a_frame_too_large_for_the_peer_is_not_made() -> None:
    with pytest.raises(ValueError, match="too large"):
        wire.encode({}, b"x" * (wire.MAX_PAYLOAD_BYTES + 1))


def test_descriptors_belong_to_the_frame_that_announces_them() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, open(os.devnull) as null:
        assert wire.send(ours, wire.encode({"n": 1}), ()) > 0
        data = wire.encode({"n": 2, "fds": 2}, b"payload")
        wire.send(ours, data[:1], (null.fileno(), null.fileno()))
        ours.sendall(data[1:] + wire.encode({"n": 3}))
        ours.close()
        decoder = Decoder()
        frames: list[Frame] = []
        while True:
            received, fds = wire.receive(theirs)
            if not received:
                break
            decoder.feed(received, fds)
            frames += decoder.frames()
        assert [(frame.header["n"], len(frame.fds), frame.payload) for frame in frames] == [
            (1, 0, b""),
            (2, 2, b"payload"),
            (3, 0, b""),
        ]
        assert not any(os.get_inheritable(fd) for fd in frames[1].fds)
        wire.close_all(frames[1].fds)


def test_descriptors_that_no_frame_announced_are_refused_and_closed() -> None:
    ours, theirs = socket.socketpair()
    reader, writer = os.pipe()
    with ours, theirs:
        wire.send(ours, wire.encode({}), (writer,))
        os.close(writer)
        decoder = Decoder()
        decoder.feed(*wire.receive(theirs))
        with pytest.raises(BadFrame, match="announced"):
            list(decoder.frames())
        decoder.close()
        assert os.read(reader, 1) == b""  # nobody holds the other end any more
        os.close(reader)


def test_more_descriptors_than_a_message_takes_are_refused_and_closed() -> None:
    ours, theirs = socket.socketpair()
    reader, writer = os.pipe()
    with ours, theirs:
        wire.send(ours, wire.encode({"fds": 200}), (writer,) * 253)
        os.close(writer)
        decoder = Decoder()
        with pytest.raises(BadFrame, match="cut off"):
            wire.receive(theirs)
        decoder.close()
        assert os.read(reader, 1) == b""
        os.close(reader)
