"""A record is read as the lines that a terminal with endless scrollback would have kept."""

import random
from collections.abc import Iterable

import pytest

from claudectl_protocol.sessions import Size
from claudectld.screen.rendered import HELD_LINES, LINE_LIMIT, RenderedLog

SIZE = Size(cols=20, rows=6)


def rendered(*output: bytes, size: Size = SIZE) -> list[str]:
    log = RenderedLog(size)
    lines = [line for data in output for line in log.feed(data)]
    return lines + log.finish()


def chunks(data: bytes, size_bytes: int) -> Iterable[bytes]:
    return (data[start : start + size_bytes] for start in range(0, len(data), size_bytes))


@pytest.mark.parametrize(
    ("output", "lines"),
    [
        (b"", []),
        (b"\r\n\r\n", []),
        (b"one\r\n\r\ntwo\r\n", ["one", "", "two"]),
        (b"\r\n\r\nlate", ["", "", "late"]),
        (b"\x1b[31mred\x1b[0m \x1b[1mbold\x1b[0m", ["red bold"]),
        (
            b"a line that is longer than the screen is wide\r\nnext",
            ["a line that is longer than the screen is wide", "next"],
        ),
        (b"progress 10%\rprogress 99%\r\ndone", ["progress 99%", "done"]),
        (b"wrong\x1b[2K\x1b[Gright", ["right"]),
        ("日本語 e\u0301 👍".encode(), ["日本語 e\u0301 👍"]),
        (b"a\tb\x07\x0ec\x0f", ["a       bc"]),
        (b"\x1b]0;title\x07\x1b]8;;http://x\x07link\x1b]8;;\x07", ["link"]),
        (b"a\x1b[6nb\x1b[cc", ["abc"]),
        (b"\x1b[3;5Hdeep", ["", "", "    deep"]),
    ],
)
def test_output_is_read_as_a_terminal_shows_it(output: bytes, lines: list[str]) -> None:
    assert rendered(output) == lines


@pytest.mark.parametrize("size_bytes", [7, 1777, 60_000])
def test_a_program_that_prints_many_lines_loses_none(size_bytes: int) -> None:
    dice = random.Random(size_bytes)
    lines = [
        f"{number:06d}"
        + "".join(dice.choice(["", " ", " word", "日本", "\u2502"]) for _ in range(dice.randrange(16)))
        + "."
        for number in range(3 * HELD_LINES // (20 if size_bytes < 100 else 1))
    ]
    output = "\r\n".join(f"\x1b[3{number % 8}m{line}\x1b[0m" for number, line in enumerate(lines)).encode()

    assert rendered(*chunks(output, size_bytes)) == lines


def test_blank_lines_are_lines() -> None:
    lines = ["x" if number % 7 == 0 else "" for number in range(HELD_LINES + 5000)] + ["end"]

    assert rendered("\r\n".join(lines).encode()) == lines


def test_a_line_without_end_is_given_out_in_pieces() -> None:
    output = b"x" * (2 * LINE_LIMIT)

    pieces = rendered(output)

    assert "".join(pieces) == output.decode()
    assert len(pieces) > 1


def test_a_wrapped_line_that_scrolls_away_in_two_parts_is_one_line() -> None:
    long = "a" * 119 + " " + "b" * 30
    lines = [str(number) for number in range(HELD_LINES)] + [long]
    fill = "\r\n".join(lines).encode()
    for end in range(8):
        log = RenderedLog(SIZE)
        # What scrolls away last when the lines are taken is in the middle of the long one.
        found = log.feed(fill + b"\r\n" * end) + log.feed(b"c\r\n" * 10) + log.finish()

        assert found[HELD_LINES].startswith(long)


def test_what_a_program_clears_is_not_in_the_log_and_what_it_prints_anew_is_there_once() -> None:
    page = "\r\n".join(f"line {number}" for number in range(100)).encode()

    lines = rendered(page, b"\x1b[2J\x1b[3J\x1b[H", page)

    assert lines == [f"line {number}" for number in range(100)]


def test_the_alternate_screen_s_rows_follow_the_lines_that_scrolled_away() -> None:
    page = "\r\n".join(f"line {number}" for number in range(10)).encode()

    assert rendered(page, b"\x1b[?1049h\x1b[2;3Happ") == [f"line {number}" for number in range(4)] + [
        "",
        "  app",
    ]
    assert rendered(page, b"\x1b[?1049happ\x1b[?1049l") == [f"line {number}" for number in range(10)]


def test_a_change_of_size_folds_lines_anew_and_changes_none() -> None:
    log = RenderedLog(SIZE)
    long = b"a line that is longer than the screen is wide"
    lines = log.feed(long + b"\r\n")
    log.resize(Size(cols=10, rows=4))
    lines += log.feed(long)
    log.resize(Size(cols=70, rows=4))

    assert lines + log.finish() == [long.decode()] * 2


def test_no_control_character_gets_out() -> None:
    dice = random.Random(3)
    output = dice.randbytes(200_000) + "\x85\x9b31m\u2028\u202e".encode()

    assert all(
        ord(letter) >= 0x20 and not 0x7F <= ord(letter) < 0xA0 for line in rendered(output) for letter in line
    )
