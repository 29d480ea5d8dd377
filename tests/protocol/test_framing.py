"""Preamble and frames, however the bytes are cut and whatever they are."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claudectl_protocol.framing import (
    CONTROL,
    DATA,
    MAX_DATA_BYTES,
    MAX_FRAME_BYTES,
    REPAINT,
    RESIZE,
    VERSION,
    FrameReader,
    RemoteProtocolError,
    VersionMismatch,
    frame,
    preamble,
)

FRAMES = st.lists(
    st.one_of(
        st.tuples(st.sampled_from([CONTROL, DATA, REPAINT]), st.binary(max_size=300)),
        st.tuples(st.just(RESIZE), st.binary(min_size=8, max_size=8)),
    ),
    max_size=8,
)


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    """`data` cut at the given places."""
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[a:b] for a, b in pairwise(places)]


def past_preamble() -> FrameReader:
    """A reader that expects frames."""
    reader = FrameReader()
    reader.feed(preamble())
    return reader


def test_preamble_is_the_documented_eight_bytes() -> None:
    assert preamble((1, 2)) == b"cctl\x00\x01\x00\x02"


def test_frame_is_length_of_kind_and_body_then_kind_then_body() -> None:
    assert frame(CONTROL, b"xyz") == b"\x00\x00\x00\x04Cxyz"


@given(FRAMES, st.lists(st.integers(min_value=0, max_value=3000), max_size=20))
def test_frames_are_the_same_wherever_the_bytes_are_cut(
    frames: list[tuple[int, bytes]], cuts: list[int]
) -> None:
    stream = preamble() + b"".join(frame(kind, body) for kind, body in frames)
    reader = FrameReader()
    read = [found for piece in pieces(stream, cuts) for found in reader.feed(piece)]
    assert read == frames
    assert reader.version == VERSION
    assert reader.held_bytes == 0


def test_frames_are_read_from_single_bytes() -> None:
    reader = FrameReader()
    stream = preamble() + frame(CONTROL, b"\x80") + frame(DATA, b"")
    read = [found for byte in stream for found in reader.feed(bytes([byte]))]
    assert read == [(CONTROL, b"\x80"), (DATA, b"")]


@given(st.lists(st.binary(max_size=200), max_size=10))
def test_garbage_is_refused_or_waits_and_nothing_else(chunks: list[bytes]) -> None:
    reader = past_preamble()
    try:
        for chunk in chunks:
            reader.feed(chunk)
            assert reader.held_bytes <= 2000
    except RemoteProtocolError:
        pass


@pytest.mark.parametrize("head", [b"G", b"cc\x00", b"cctL", b"GET / HTTP/1.1\r\n"])
def test_another_protocol_is_refused_at_its_first_wrong_byte(head: bytes) -> None:
    with pytest.raises(RemoteProtocolError, match="does not speak"):
        FrameReader().feed(head)


def test_another_major_version_is_told_and_its_frames_are_not_read() -> None:
    reader = FrameReader()
    assert reader.feed(preamble((2, 0)) + b"\xff" * 100) == []
    assert reader.version == (2, 0)
    assert reader.held_bytes == 0


def test_empty_frame_is_refused() -> None:
    with pytest.raises(RemoteProtocolError, match="empty"):
        past_preamble().feed(b"\x00\x00\x00\x00C")


def test_largest_frame_is_read_and_one_byte_more_is_refused_by_its_header_alone() -> None:
    body = b"x" * (MAX_FRAME_BYTES - 1)
    assert past_preamble().feed(frame(CONTROL, body)) == [(CONTROL, body)]
    with pytest.raises(RemoteProtocolError, match=str(MAX_FRAME_BYTES + 1)):
        past_preamble().feed((MAX_FRAME_BYTES + 1).to_bytes(4, "big") + b"C")


def test_largest_data_frame_is_read_and_one_byte_more_is_refused_by_its_header_alone() -> None:
    body = b"x" * MAX_DATA_BYTES
    assert past_preamble().feed(frame(DATA, body)) == [(DATA, body)]
    with pytest.raises(RemoteProtocolError, match=str(MAX_DATA_BYTES + 1)):
        past_preamble().feed((MAX_DATA_BYTES + 2).to_bytes(4, "big") + b"D")


def test_claim_of_four_gigabytes_is_refused_with_nothing_kept_for_it() -> None:
    reader = past_preamble()
    with pytest.raises(RemoteProtocolError):
        reader.feed(b"\xff\xff\xff\xffC")
    assert reader.held_bytes == 5


@pytest.mark.parametrize("size", [0, 7, 9])
def test_resize_of_another_length_is_refused(size: int) -> None:
    with pytest.raises(RemoteProtocolError, match="resize"):
        past_preamble().feed((1 + size).to_bytes(4, "big") + b"R" + bytes(size))


def test_finished_frames_are_not_kept() -> None:
    reader = past_preamble()
    half = frame(CONTROL, b"12345678")[:7]
    for _ in range(1000):
        reader.feed(frame(DATA, b"x" * 1000))
    reader.feed(half)
    assert reader.held_bytes == len(half)


@pytest.mark.parametrize(
    ("kind", "size"), [(CONTROL, MAX_FRAME_BYTES), (DATA, MAX_DATA_BYTES + 1), (RESIZE, 7)]
)
def test_frame_that_the_other_side_would_refuse_is_not_made(kind: int, size: int) -> None:
    with pytest.raises(ValueError, match="frame of"):
        frame(kind, bytes(size))


def test_version_mismatch_says_which_side_is_older() -> None:
    assert VersionMismatch((2, 0), (1, 9)).peer_is_older
    assert not VersionMismatch((1, 9), (2, 0)).peer_is_older
