"""A record's bytes as lines of text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claudectl.log_text import LogText
from claudectl_protocol.text import plain


def lines(*pieces: bytes) -> list[str]:
    """All lines that come of `pieces`."""
    text = LogText()
    return [line for piece in pieces for line in text.feed(piece)] + text.end()


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", []),
        (b"a\r\nb", ["a", "b"]),
        (b"\n\nx\n", ["", "", "x"]),
        (b"10%\r20%\r100%\r\n", ["100%"]),
        (b"\x1b[31mred\x1b[0m  two\n", ["red  two"]),
        (b"a\tb\n", ["a       b"]),
        (b"a\x1b[3Cb\n", ["a   b"]),
        (b"You\x1b[5Gsaid:\x1b[11Ghi\x1b[8G\x1b[1mX\n", ["You saiX"]),
        (b"\x1b[?1049h\x1b[1;1Htop\x1b[5;1H\x1b[6;1Hbottom", ["top", "bottom"]),
        (b"\xff\xc3", ["\ufffd\ufffd"]),
        (b"  indented  \n", ["  indented"]),
    ],
)
def test_lines_are_what_was_printed_without_what_acts_on_a_terminal(data: bytes, expected: list[str]) -> None:
    assert lines(data) == expected


def test_a_line_is_given_as_soon_as_it_is_whole() -> None:
    text = LogText()

    assert text.feed(b"on") == []
    assert text.feed("e\ntwö".encode()[:-1]) == ["one"]
    assert text.feed("twö".encode()[-1:] + b"\n") == ["twö"]
    assert text.end() == []


def test_a_painted_row_is_given_as_soon_as_another_is_begun() -> None:
    text = LogText()

    assert text.feed(b"\x1b[1;1Htop") == []
    assert text.feed(b"\x1b[2;1Hbot") == ["top"]
    # What ends here is a line that has been given, and the next one is empty.
    assert text.feed(b"tom\x1b[3;1H") == ["bottom"]
    assert text.feed(b"\n\n") == [""]


def test_a_program_that_never_ends_a_line_is_not_kept_waiting_for() -> None:
    text = LogText()
    frame = b"\x1b[1;1H" + b"x" * 100 + b"\x1b[2;1H" + b"y" * 100

    given_out = [line for _ in range(200) for line in text.feed(frame)]

    assert len(given_out) > 100
    assert set("".join(given_out)) == {"x", "y"}


@given(st.lists(st.binary(max_size=20)))
def test_how_the_record_is_cut_makes_no_difference_and_nothing_acts_on_a_terminal(
    pieces: list[bytes],
) -> None:
    whole = lines(b"".join(pieces))

    assert lines(*pieces) == whole
    assert all(plain(line) == line for line in whole)
