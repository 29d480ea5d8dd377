"""What a terminal of another size is shown, and a screen as text."""

import pytest

from claudectl_protocol.sessions import Size
from claudectld.ports import Cells
from claudectld.screen.ghostty import GhosttyScreen
from tests.support.control_emulator import ControlEmulator

SIZE = Size(cols=20, rows=6)
ROWS = tuple("abcdefghijklmnopqrstuvwxyz"[number : number + 20] for number in range(6))
PAGE = "\r\n".join(ROWS).encode()


def cells(*output: bytes, size: Size = SIZE) -> Cells:
    screen = GhosttyScreen(size, parse_report=lambda _: None, status_reply=b"")
    for data in output:
        screen.feed(data, live=False)
    assert screen.cells is not None
    return screen.cells


def shown(data: bytes, size: Size, before: bytes = b"") -> ControlEmulator:
    terminal = ControlEmulator(size)
    terminal.feed(before)
    terminal.feed(data)
    return terminal


@pytest.mark.parametrize(
    ("place", "size", "text", "cursor"),
    [
        (b"\x1b[1;1H", Size(cols=5, rows=2), ("abcde", "bcdef"), (0, 0)),
        (b"\x1b[2;5H", Size(cols=5, rows=2), ("abcde", "bcdef"), (4, 1)),
        (b"\x1b[3;6H", Size(cols=5, rows=2), ("cdefg", "defgh"), (4, 1)),
        (b"\x1b[6;20H", Size(cols=5, rows=2), ("tuvwx", "uvwxy"), (4, 1)),
        (b"\x1b[6;3H", Size(cols=30, rows=8), ROWS, (2, 5)),
    ],
)
def test_the_part_that_fits_has_the_cursor_in_it(
    place: bytes, size: Size, text: tuple[str, ...], cursor: tuple[int, int]
) -> None:
    seen = shown(
        cells(PAGE + place).fitted(size), size, before=b"old\r\n" * 20 + b"\x1b[2;3r\x1b[?6h\x1b[31m"
    ).picture()

    assert seen.text == text
    assert seen.cursor == cursor


def test_half_of_a_wide_character_is_a_blank_on_either_side() -> None:
    screen = "\x1b[1;1Ha日b本c".encode()
    narrow = Size(cols=5, rows=1)

    assert shown(cells(screen, b"\x1b[1;1H").fitted(narrow), narrow).text() == ("a日b",)
    assert shown(cells(screen, b"\x1b[1;7H").fitted(narrow), narrow).text() == (" b本c",)


def test_looks_come_along_and_colours_erased_to_stay_inside() -> None:
    screen = b"\x1b[1;3H\x1b[7mX\x1b[0m\x1b[44m\x1b[K\x1b[0m\x1b[1;3H"
    wide = Size(cols=26, rows=7)

    seen = shown(cells(screen).fitted(wide), wide, before=b"\x1b[41m\x1b[2J").picture()

    assert seen.styles[0] == ("", "", "inverse", *["erased=4"] * 17, *[""] * 6)
    assert set(seen.styles[6]) == {""}


MODES = b"\x1b[?1h\x1b[?2004h\x1b[?1004h\x1b[>5u\x1b[?25l\x1b]2;name\x07\x1b[?1003;1006h\x1b[2;4r"


def test_modes_of_the_keyboard_and_the_title_are_those_of_the_program() -> None:
    size = Size(cols=10, rows=3)
    seen = shown(cells(MODES).fitted(size), size, before=b"\x1b[?5h\x1b[?7l\x1b[>1u").picture()

    assert seen.modes == (1, 7, 1003, 1004, 1006, 2004)
    assert seen.kitty_flags == 5
    assert seen.title == "name"


def test_the_mouse_is_off_where_its_places_would_be_wrong() -> None:
    size = Size(cols=10, rows=3)
    seen = shown(cells(MODES, b"\x1b[6;1H").fitted(size), size, before=b"\x1b[?1003;1006h").picture()

    assert not {1003, 1006} & set(seen.modes)


def test_the_alternate_screen_is_used_as_long_as_the_program_does() -> None:
    size = Size(cols=10, rows=3)
    terminal = shown(cells(b"\x1b[?1049hover").fitted(size), size, before=b"mine")
    over = terminal.picture()
    terminal.feed(cells(b"\x1b[?1049hover\x1b[?1049l").fitted(size))

    assert (over.alternate, over.text) == (True, ("over",))
    assert not terminal.picture().alternate


def test_a_picture_painted_twice_is_the_same_and_asks_nothing() -> None:
    size = Size(cols=10, rows=3)
    fitted = cells(PAGE, MODES).fitted(size)
    once, twice = shown(fitted, size), shown(fitted + fitted, size)

    assert once.picture() == twice.picture()
    assert twice.replies == b""


def test_it_is_shown_at_once_where_the_terminal_can() -> None:
    fitted = cells(PAGE, b"\x1b[H").fitted(Size(cols=10, rows=3))

    assert fitted.index(b"\x1b[?2026h") < fitted.index(b"abcdefghij") < fitted.index(b"\x1b[?2026l")
    assert fitted.endswith(b"\x1b[?2026l")


def test_rows_are_text_without_trailing_blanks() -> None:
    seen = cells("\x1b[31mred\x1b[0m  \r\n\r\n日本 e\u0301 👍\x1b[4;18Hedge\x1b[41m\x1b[K".encode()).rows()

    assert seen == ("red", "", "日本 e\u0301 👍", " " * 17 + "edg", "e", "")


def test_styled_rows_have_colours_and_end_in_a_reset() -> None:
    seen = cells(b"a \x1b[31mred\x1b[0m  \r\nplain\r\n\x1b[44m\x1b[3X\x1b[0m").rows(styled=True)

    assert seen[:3] == ("a \x1b[0;31mred\x1b[0m", "plain", "\x1b[0;44m   \x1b[0m")


def test_no_row_has_a_control_character() -> None:
    rows = cells("\x85\x9b31m\x1b]8;;http://x\x07l\x1b]8;;\x07\x1b#8".encode()).rows()

    assert all(letter.isprintable() for row in rows for letter in row)
