"""Input is neither lost nor delayed, and a paste is never torn."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from claudectld.keystrokes import BATCH_BYTES, Keystrokes

START = b"\x1b[200~"
END = b"\x1b[201~"

PARTS = st.lists(
    st.one_of(
        st.sampled_from(
            [START, END, b"\x1b", b"\x1b[", b"\x1b[A", b"\x1b[20", b"\x1b[200", b"\r", b"hello", b"0~"]
        ),
        st.binary(max_size=4),
    ),
    max_size=12,
).map(b"".join)
PLACES = st.lists(st.integers(min_value=0, max_value=200), max_size=6)


def chunks(data: bytes, places: list[int]) -> list[bytes]:
    ends = sorted({place % (len(data) + 1) for place in places} | {len(data)})
    return [data[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def test_keys_go_through_at_once() -> None:
    assert Keystrokes().feed(b"ls -l\r\x1b[A") == [b"ls -l\r\x1b[A"]


def test_a_paste_is_one_batch_apart_from_the_keys_around_it() -> None:
    assert Keystrokes().feed(b"ab" + START + b"line\nline" + END + b"\r") == [
        b"ab",
        START + b"line\nline" + END,
        b"\r",
    ]


def test_a_paste_waits_for_its_end_whatever_the_socket_says() -> None:
    keys = Keystrokes()

    assert keys.feed(START + b"first ") == []
    assert keys.flush() == []
    assert keys.feed(b"second" + END) == [START + b"first second" + END]


@pytest.mark.parametrize("length", range(1, len(START)))
def test_a_split_mark_still_begins_a_paste(length: int) -> None:
    keys = Keystrokes()

    assert keys.feed(b"a" + START[:length]) == [b"a"]
    assert keys.feed(START[length:] + b"text" + END) == [START + b"text" + END]


@pytest.mark.parametrize("length", range(1, len(END)))
def test_a_split_end_still_ends_the_paste(length: int) -> None:
    keys = Keystrokes()

    assert keys.feed(START + b"text" + END[:length]) == []
    assert keys.feed(END[length:] + b"x") == [START + b"text" + END, b"x"]


def test_a_lone_escape_is_a_key_when_nothing_follows() -> None:
    keys = Keystrokes()

    assert keys.feed(b"\x1b") == []
    assert keys.flush() == [b"\x1b"]
    assert keys.feed(b"j") == [b"j"]


def test_a_mark_that_was_flushed_in_part_begins_a_paste_all_the_same() -> None:
    keys = Keystrokes()
    keys.feed(b"\x1b[2")
    assert keys.flush() == [b"\x1b[2"]
    assert keys.feed(b"00") == []
    assert keys.flush() == [b"00"]

    assert keys.feed(b"~text") == []
    begun = keys.inside_paste
    assert keys.feed(END + b"x") == [b"~text" + END, b"x"]
    assert (begun, keys.inside_paste) == (True, False)


def test_a_paste_beyond_the_limit_comes_in_full_batches_and_others_wait_for_its_end() -> None:
    keys = Keystrokes()
    paste = START + b"x" * (2 * BATCH_BYTES) + END

    first = keys.feed(paste[: BATCH_BYTES + 10])
    assert [len(batch) for batch in first] == [BATCH_BYTES]
    begun = keys.inside_paste
    assert keys.flush() == []

    rest = keys.feed(paste[BATCH_BYTES + 10 :] + b"\r")
    assert (begun, keys.inside_paste) == (True, False)
    assert rest[-1] == b"\r"
    assert b"".join(first + rest) == paste + b"\r"


@pytest.mark.parametrize("before_the_limit", range(1, len(END)))
def test_an_end_across_the_limit_ends_the_paste(before_the_limit: int) -> None:
    keys = Keystrokes()
    paste = START + b"x" * (BATCH_BYTES - len(START) - before_the_limit) + END

    batches = keys.feed(paste + b"key")

    assert all(len(batch) <= BATCH_BYTES for batch in batches)
    assert b"".join(batches) == paste + b"key"
    assert batches[-1] == b"key"
    assert not keys.inside_paste


def test_many_keys_come_in_batches_of_the_limit() -> None:
    batches = Keystrokes().feed(b"k" * (BATCH_BYTES + 1))

    assert [len(batch) for batch in batches] == [BATCH_BYTES, 1]


def test_a_client_that_goes_in_the_middle_of_a_paste_leaves_none_of_it() -> None:
    keys = Keystrokes()
    keys.feed(START + b"half")

    assert keys.close() == []
    assert keys.feed(b"x") == [b"x"]


def test_a_client_that_goes_after_part_of_a_paste_was_typed_has_it_ended() -> None:
    keys = Keystrokes()
    keys.feed(START + b"x" * BATCH_BYTES)

    assert keys.close() == [END]
    assert not keys.inside_paste


@given(data=PARTS, places=PLACES, flushes=st.lists(st.booleans(), min_size=8, max_size=8))
@example(data=b"\x1b[2" + b"00~a" + END, places=[3], flushes=[True] * 8)
def test_batches_are_the_input(data: bytes, places: list[int], flushes: list[bool]) -> None:
    keys = Keystrokes(batch_bytes=16)
    batches: list[bytes] = []
    for chunk, flush in zip(chunks(data, places), flushes, strict=False):
        batches += keys.feed(chunk)
        batches += keys.flush() if flush else []
    batches += keys.feed(END + b"!")

    assert b"".join(batches) == data + END + b"!"
    assert all(0 < len(batch) <= 16 for batch in batches)


@given(
    pastes=st.lists(st.binary(max_size=50).filter(lambda text: b"\x1b" not in text), min_size=1, max_size=4),
    places=PLACES,
)
def test_no_other_client_s_keys_fall_into_a_paste(pastes: list[bytes], places: list[int]) -> None:
    typed = b"key".join(START + text + END for text in pastes)
    keys = Keystrokes(batch_bytes=16)
    terminal = b""
    turns_of_others = []
    for chunk in chunks(typed, places):
        terminal += b"".join(keys.feed(chunk))
        if not keys.inside_paste:
            turns_of_others.append(len(terminal))

    assert terminal == typed
    for turn in turns_of_others:
        assert terminal.count(START, 0, turn) == terminal.count(END, 0, turn)
