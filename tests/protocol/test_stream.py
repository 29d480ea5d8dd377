"""Bodies of data, repaint and resize frames."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claudectl_protocol.sessions import Size
from claudectl_protocol.stream import pack_output, pack_size, unpack_output, unpack_size


@given(st.integers(min_value=0, max_value=2**64 - 1), st.binary(max_size=100))
def test_output_comes_back_with_its_offset(offset: int, data: bytes) -> None:
    assert unpack_output(pack_output(offset, data)) == (offset, data)


@pytest.mark.parametrize("offset", [-1, 2**64])
def test_offset_that_is_none_is_refused(offset: int) -> None:
    with pytest.raises(ValueError, match="no record offset"):
        pack_output(offset, b"")


def test_output_too_short_for_an_offset_is_refused() -> None:
    with pytest.raises(ValueError, match="without an offset"):
        unpack_output(b"1234567")


def test_size_comes_back() -> None:
    size = Size(cols=65535, rows=1, xpixel=0, ypixel=65535)
    assert unpack_size(pack_size(size)) == size


@pytest.mark.parametrize(
    "size", [Size(cols=0, rows=24), Size(cols=80, rows=0), Size(cols=65536, rows=1), Size(cols=-1, rows=1)]
)
def test_size_that_no_terminal_has_is_refused(size: Size) -> None:
    with pytest.raises(ValueError, match=r"cells|16-bit"):
        pack_size(size)


@pytest.mark.parametrize("body", [b"", b"1234567", bytes(8)])
def test_resize_body_that_is_no_size_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"size|cells"):
        unpack_size(body)
