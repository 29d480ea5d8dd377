"""The few lines of MessagePack say what the library says, and refuse what they do not know."""

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from claudectl.packing import packed, unpacked

NUMBERS = st.integers(-(2**63), 2**63 - 1)
PLAIN = st.none() | st.booleans() | NUMBERS | st.text()
MAPS = st.recursive(PLAIN, lambda inner: st.dictionaries(st.text(), inner, max_size=15))
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(MAPS)
@example("x" * 31)
@example("x" * 32)
@example({"": {"call": "ä" * 70_000}})
def test_library_reads_what_is_packed(value: str | int | bool | dict[str, object] | None) -> None:
    assert msgspec.msgpack.decode(packed(value)) == value


@given(ANYTHING)
@example(["x" * 300, "y" * 70_000, list(range(300)), {str(number): number for number in range(300)}])
@example([0.0, -0.0, 1760000000.123, float("inf")])
@example([127, 128, 255, 256, 65535, 65536, -1, -32, -33, -128, -129, 2**63])
def test_what_the_library_packs_is_read(value: object) -> None:
    found = unpacked(msgspec.msgpack.encode(value))

    assert found == value
    assert repr(found) == repr(value)


@given(st.binary())
@example(b"\x91" * 100_000)
@example(b"\x81\x01\x01")
@example(b"\xdb\xff\xff\xff\xff")
def test_any_other_bytes_are_a_value_error(data: bytes) -> None:
    try:
        unpacked(data)
    except ValueError:
        return
    msgspec.msgpack.decode(data)


@pytest.mark.parametrize("value", [1.5, b"raw", ["list"], {str(number): 0 for number in range(16)}])
def test_what_no_request_needs_is_not_packed(value: object) -> None:
    with pytest.raises(ValueError, match="field"):
        packed({"field": value})
