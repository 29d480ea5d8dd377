"""A ghostty screen paints exactly, whatever was printed and wherever it is cut, judged by an independent emulator."""

import re

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from claudectl_protocol.sessions import Activity, ActivityState, Size
from claudectl_protocol.stream import MAX_REPAINT_BYTES
from claudectld.screen import library
from claudectld.screen.emulator import MAX_COLUMNS, MAX_ROWS, Emulator
from claudectld.screen.ghostty import GhosttyScreen
from claudectld.screen.library import EmulatorError
from claudectld.screen.queries import Passage, QuerySplitter
from claudectld.screen.raw import BadCheckpoint
from tests.claudectld.screen import declarations
from tests.claudectld.screen.programs import COLUMNS, ROWS, outputs
from tests.claudectld.screen.streams import PLACES, cut, streams
from tests.counts import times
from tests.support.control_emulator import ControlEmulator, Picture

SIZE = Size(cols=COLUMNS, rows=ROWS)


def reported(body: bytes) -> Activity | None:
    return Activity(state=ActivityState.UNKNOWN, text=body.decode(errors="replace"))


def new_screen(size: Size = SIZE) -> GhosttyScreen:
    return GhosttyScreen(size, parse_report=reported, status_reply=b"<status>")


def restored(checkpoint: bytes) -> GhosttyScreen:
    return GhosttyScreen.restore(checkpoint, parse_report=reported, status_reply=b"<status>")


def fed(*output: bytes, size: Size = SIZE) -> GhosttyScreen:
    screen = new_screen(size)
    for data in output:
        screen.feed(data, live=False)
    return screen


def picture(*data: bytes, size: Size = SIZE) -> Picture:
    emulator = ControlEmulator(size)
    for chunk in data:
        emulator.feed(chunk)
    return emulator.picture()


def client_bytes(output: bytes, offset: int = 0) -> bytes:
    splitter = QuerySplitter(offset)
    pieces = splitter.feed(output[offset:]) + splitter.finish()
    return b"".join(piece.data for piece in pieces if isinstance(piece, Passage))


def programs(max_parts: int = 8) -> st.SearchStrategy[bytes]:
    """As outputs, without what terminals do each in their own way.

    A wide character drawn with a line drawing set makes a blank of two columns here, which nothing else can make; two
    blanks look the same. An alternate screen that is entered again is cleared with the pen it was left with.
    """
    return outputs(max_parts).map(_in_one_way)


def _in_one_way(output: bytes) -> bytes:
    if b"(0" in output or b")0" in output:
        for wide in ("日本", "😀"):
            output = output.replace(wide.encode(), b"ww")
    return re.sub(rb"\x1b\[\?(?:1006;)?(?:1049|47)[hl]", lambda switch: b"\x1b[m" + switch[0], output)


@settings(max_examples=times(200, 2000), deadline=None)
@given(output=st.one_of(programs(), programs(20), streams()), places=PLACES, data=st.data())
def test_a_repaint_and_the_tail_show_what_all_output_shows(
    output: bytes, places: list[int], data: st.DataObject
) -> None:
    at = data.draw(st.integers(min_value=0, max_value=len(output)))
    screen = fed(*cut(output[:at], places))

    seen = picture(screen.repaint(), client_bytes(output, at - screen.held_bytes))

    assert seen == picture(client_bytes(output))


@pytest.mark.parametrize("other_library", [False, True], ids=["same", "another"])
@settings(max_examples=times(60, 600), deadline=None)
@given(output=programs(), places=PLACES, data=st.data())
def test_so_does_one_that_was_restored_on_the_way_by_the_same_version_of_the_library_or_another(
    other_library: bool, output: bytes, places: list[int], data: st.DataObject
) -> None:
    first, second = sorted(data.draw(st.tuples(*[st.integers(min_value=0, max_value=len(output))] * 2)))
    checkpoint = fed(*cut(output[:first], places)).checkpoint()
    if other_library:
        state = msgspec.msgpack.decode(checkpoint)
        checkpoint = msgspec.msgpack.encode(state | {"library": "0.0.1", "snapshot": b"unknown"})
    screen = restored(checkpoint)
    screen.feed(output[first:second], live=False)

    seen = picture(screen.repaint(), client_bytes(output, second - screen.held_bytes))

    assert seen == picture(client_bytes(output))


@settings(max_examples=times(60, 600), deadline=None, derandomize=bool(times(1, 0)))
@given(
    parts=st.lists(
        # In a single column the library may be left with half of a wide character: see the next test.
        st.tuples(programs(3), st.integers(min_value=2, max_value=30), st.integers(min_value=1, max_value=9)),
        max_size=5,
    )
)
def test_a_storm_of_sizes_ends_in_what_a_terminal_shows_that_went_through_it(
    parts: list[tuple[bytes, int, int]],
) -> None:
    screen, whole = new_screen(), ControlEmulator(SIZE, scrollback=100)
    size = SIZE
    for output, columns, rows in parts:
        screen.feed(output, live=False)
        whole.feed(client_bytes(output))
        size = Size(cols=columns, rows=rows)
        screen.resize(size)
        whole.resize(size)

    assert picture(screen.repaint(), size=size) == whole.picture()


def test_half_a_wide_character_in_a_single_column_leaves_the_painting_to_the_child() -> None:
    screen = new_screen()
    screen.feed("\x1b[?1049h\x1b[1;1r日本".encode(), live=False)
    screen.resize(Size(cols=1, rows=1))

    screen.repaint()

    assert screen.wants_jiggle


@pytest.mark.parametrize("last", ["e\u0301", "\x1b[1;35mx", "日"])
def test_what_stands_in_the_last_column_behind_which_the_cursor_is_is_painted_again(last: str) -> None:
    screen = new_screen()
    column = SIZE.cols - (last == "日")
    output = f"\x1b[2;{column}H{last}".encode()
    screen.feed(output, live=False)

    assert picture(screen.repaint(), b"next") == picture(output, b"next")


DETAILS = {
    "never written after inverse": b"\x1b[7mAB\x1b[0m\x1b[1;10HZ",
    "erased with a colour": b"\x1b[41m\x1b[2J\x1b[44m\x1b[3;2H\x1b[K\x1b[48;2;1;2;3m\x1b[5;5H\x1b[3X",
    "erased at the top": b"\x1b[3;1Htext\x1b[1;1H\x1b[42m\x1b[K",
    "wide at the edge": "\x1b[1;20H日\x1b[3;19H本x".encode(),
    "wide and half overwritten": "日本語\x1b[1;2HX\x1b[1;5HY".encode(),
    "joined": "\x1b[4;1He\u0301\u0302👩\u200d👩\u200d👧❤\ufe0f🇩🇪".encode(),
    "full last column": b"0123456789abcdefghij",
    "full last column in colour": b"\x1b[31;44m0123456789abcdefghij\x1b[32m",
    "link": b"\x1b]8;id=1;http://a/\x07one\x1b]8;;http://b/\x07two\x1b]8;;\x07",
    "open link": b"\x1b]8;id=1;http://a/\x07one",
    "underlines": b"\x1b[4:3;58:2::1:2:3mcurly\x1b[4:2;58:5:9mdouble\x1b[21;59mplain",
    "all attributes": b"\x1b[1;2;3;4;5;7;8;9;53;38;5;200;48;2;9;9;9mX\x1b[0m",
    "keyboards": b"\x1b[>1u\x1b[>5u\x1b[?1049h\x1b[>3u\x1b[>7u",
    "keyboard of the other screen": b"\x1b[?1049h\x1b[>3u\x1b[?1049l",
    "mouse": b"\x1b[?1000h\x1b[?1002h\x1b[?1003h\x1b[?1006h",
    "region": b"\x1b[2;4r\x1b[3;3Hx",
    "origin": b"\x1b[2;4r\x1b[?6h\x1b[2;2Hx",
    "origin and saved without": b"\x1b[5;5H\x1b7\x1b[2;4r\x1b[?6h\x1b[2;2Hx",
    "margins": b"\x1b[?69h\x1b[3;10s\x1b[2;4r\x1b[?6hx",
    "tab stops": b"\x1b[3g\x1b[1;5H\x1bH\x1b[1;9H\x1bH\x1b[H",
    "character sets": b"\x1b(0\x1b)A\x0e",
    "saved cursor": b"\x1b[31m\x1b[3;7H\x1b(0\x1b7\x1b[0m\x1b(B\x1b[H",
    "protected": b'\x1b[1"qkeep\x1b[0"qgo',
    "protected pen": b'\x1b[1"q',
    "title": b"\x1b]2;a title\x07",
    "cursor shape": b"\x1b[5 q\x1b[?25l",
    "colours": b"\x1b]10;#010203\x07\x1b]11;#040506\x07\x1b]12;#070809\x07\x1b]4;1;#0a0b0c\x07",
    "modes": b"\x1b[?1;5;45;1004;2004;2031h\x1b[?7l\x1b[4;20h\x1b=\x1b[>4;2m",
    "main below alternate": b"before\r\n\x1b[32mgreen\x1b[3;3H\x1b[?1049h\x1b[44mover",
    "main below alternate of the old sort": b"before\x1b[3;3H\x1b[?47hover",
    "main below with a saved cursor": b"\x1b[2;2H\x1b[31m\x1b7\x1b[0;32m\x1b[4;4H\x1b[?1047hover",
}
PROBES = {
    "nothing": b"",
    "printing": "jq~日\r\nnext\tx\x1b[1K\x1b[?J".encode(),
    "restoring": b"\x1b8jqx\x1b[?6l\x1b[Hy",
    "leaving": b"\x1b[?1049l\x1b[mback\x1b8q",
    "leaving the old sort": b"\x1b[?47l\x1b[mback\x1b8q",
    "popping": b"\x1b[<1u",
    "inserting": b"\x1b[2;2H\x1b[L\x1b[M\x1b[@\x1b[P\x1b[5S\x1b[2T\n\n\n\n\n\n",
    "tabbing": b"\x1b[H\ta\tb",
}


@pytest.mark.parametrize("probe", PROBES.values(), ids=list(PROBES))
@pytest.mark.parametrize("detail", DETAILS.values(), ids=list(DETAILS))
def test_a_repaint_has_every_detail_and_a_program_can_go_on(detail: bytes, probe: bytes) -> None:
    assert picture(fed(detail).repaint(), probe) == picture(detail, probe)


def test_a_wide_character_in_a_line_drawing_set_moves_nothing_that_follows_it() -> None:
    output = "\x1b(0\U0001f600q\x1b(Bx".encode()
    seen, whole = picture(fed(output).repaint()), picture(output)

    assert seen.text == ("  ─x",)
    assert seen.cursor == whole.cursor


def test_links_lead_where_they_led() -> None:
    seen = ControlEmulator(SIZE)
    seen.feed(fed(DETAILS["link"], b"\x1b[2;1H\x1b]8;;http://c/\x07open").repaint() + b"more")

    links = [seen.link(x, y) for x, y in ((0, 0), (2, 0), (3, 0), (6, 0), (3, 1), (4, 1))]

    assert links == ["http://a/", "http://a/", "http://b/", "", "http://c/", "http://c/"]


@pytest.mark.parametrize(
    ("output", "answer"),
    [
        (b"\x1b[3;7H\x1b[6n", b"\x1b[3;7R"),
        (b"\x1b[3;7H\x1b[?6n", b"\x1b[?3;7R"),
        (b"abc\r\nde\x1b[6n", b"\x1b[2;3R"),
        (b"\x1b[2;5r\x1b[?6h\x1b[2;4H\x1b[6n", b"\x1b[2;4R"),
        (b"x\x1b[6nyy\x1b[6n", b"\x1b[1;2R\x1b[1;4R"),
        (b"\x1b[>q\x1b[?u\x1b]52;c;?\x07", b""),
        (
            b"\x1b]7501;?\x07\x1b[c\x1b[?2026$p\x1b]11;?\x07",
            b"<status>\x1b[?62;22c\x1b[?2026;0$y\x1b]11;rgb:0000/0000/0000\x07",
        ),
    ],
)
def test_the_place_of_the_cursor_is_told_truly_and_everything_else_as_ever(
    output: bytes, answer: bytes
) -> None:
    assert new_screen().feed(output, live=True) == answer


def numbered(first: int, last: int) -> bytes:
    return b"".join(b"\x1b[3%dmline %d\x1b[0m\r\n" % (number % 8, number) for number in range(first, last))


@pytest.mark.parametrize("over", [b"", b"\x1b[?1049h\x1b[Hover"], ids=["main", "alternate"])
@pytest.mark.parametrize("count", [0, 1, 3, 50, 1000])
def test_history_is_printed_first_and_the_screen_is_exact(count: int, over: bytes) -> None:
    output = (
        numbered(0, 100) + b"a line that is longer than the screen is wide\r\n" + numbered(100, 110) + over
    )
    screen = fed(output)
    seen, whole = ControlEmulator(SIZE, scrollback=1000), ControlEmulator(SIZE, scrollback=1000)

    seen.feed(screen.repaint(count))
    whole.feed(output)
    assert seen.picture() == whole.picture()
    for terminal in (seen, whole):
        terminal.feed(b"\x1b[?1049l")
    past, all_past = seen.history(), whole.history()

    assert past == (all_past[-count:] if count else ())
    assert seen.text() == whole.text()


FOLDED = (
    "a line that is longer than the screen is wide\r\n"
    "\x1b[44ma line in colour that is folded before the colour ends \x1b[0m and goes on\r\n"
    "0123456789012345678日本 wide at the edge\r\n"
    "exactly twenty cells\r\nnext\r\n"
    "\x1b[7m   turned   \x1b[0m\x1b[10Cx\r\n\x1b[42m\x1b[K\x1b[0m\r\n\r\n"
    "0123456789abcdefghijklmno\x1b[A\x1b[19G\x1b[K\x1b[B\r\n"
).encode()


def test_history_has_its_looks_and_is_folded_anew_as_it_would_have_been() -> None:
    output = FOLDED * 3
    seen, whole = ControlEmulator(SIZE, scrollback=1000), ControlEmulator(SIZE, scrollback=1000)
    seen.feed(fed(output).repaint(1000))
    whole.feed(output)

    assert seen.history() == whole.history()
    assert seen.history_styles() == whole.history_styles()
    seen.resize(Size(cols=60, rows=ROWS))
    # A line that is folded where it has a background is two lines from now on.
    assert "a line that is longer than the screen is wide" in seen.history()
    assert "0123456789012345678日本 wide at the edge" in seen.history()


def test_of_too_much_history_the_oldest_goes() -> None:
    screen = fed(
        *[numbered(first, first + 1000) for first in range(0, 9000, 1000)], size=Size(cols=400, rows=50)
    )
    for _ in range(60):
        screen.feed(b"".join(b"\x1b[38;2;%d;2;3mx" % (number % 256) for number in range(40_000)), live=False)

    repaint = screen.repaint(10_000)

    assert MAX_REPAINT_BYTES // 2 < len(repaint) <= MAX_REPAINT_BYTES


@pytest.mark.parametrize(
    "unit",
    [
        "\x1b[38;2;{0};2;{1};48;2;{1};{0};9m▀",
        "\x1b]8;;http://x/{0}" + "y" * 1500 + "/{1}\x07x",
        "e" + "\u0301" * 60,
    ],
    ids=["colours", "links", "marks"],
)
def test_no_screen_is_too_much_for_a_repaint(unit: str) -> None:
    size = Size(cols=300, rows=100)
    screen = new_screen(size)
    for row in range(size.rows):
        line = "".join(unit.format(column % 256, row) for column in range(size.cols))
        screen.feed(f"\x1b[{row + 1}H{line}".encode(), live=False)

    repaint = screen.repaint(100)
    assert screen.cells is not None
    fitted = screen.cells.fitted(Size(cols=200, rows=90))

    assert max(len(repaint), len(fitted)) <= MAX_REPAINT_BYTES
    assert len(picture(repaint, size=size).text) == size.rows


@pytest.mark.parametrize(
    "flood",
    [
        b"\x1b]52;c;" + b"QUJD" * 100_000 + b"\x07",
        b"\x1bPq" + b"#0~~@@vv\n" * 40_000 + b"\x1b\\",
        b"\x1b_Gi=1;" + b"AAAA" * 100_000 + b"\x1b\\",
        b"\x1b]52;c;" + b"QUJD" * 100_000 + b"\x18",
    ],
    ids=["osc", "dcs", "apc", "cancelled"],
)
def test_a_long_string_is_never_printed_in_part(flood: bytes) -> None:
    output = b"before\r\n" + flood + b"\x1b[2;2Hafter"
    for at in (10, 30_000, 70_000, 200_000, len(output) - 12):
        screen = fed(*cut(output[:at], list(range(0, at, 50_000))))
        tail = client_bytes(output, at - screen.held_bytes)

        assert screen.held_bytes < 100_000
        assert picture(screen.repaint(), tail).text == ("before", " after")
        assert picture(restored(screen.checkpoint()).repaint(), tail).text == ("before", " after")
        screen.feed(output[at:], live=False)
        assert picture(screen.repaint()).text == ("before", " after")


def test_what_was_held_back_is_no_more_than_a_client_can_be_behind() -> None:
    screen = fed(b"\x1b]0;" + b"t" * 60_000)

    assert screen.held_bytes == 60_004


def test_trimming_changes_nothing_that_can_be_seen() -> None:
    screen = fed(numbered(0, 3000), b"\x1b[?1049hover")
    before = screen.repaint(1000)

    screen.trim()

    assert screen.repaint(1000) == before
    screen.feed(b"\x1b[?1049l" + numbered(3000, 3010), live=False)
    assert screen.repaint(1000) == fed(
        numbered(0, 3000), b"\x1b[?1049hover\x1b[?1049l", numbered(3000, 3010)
    ).repaint(1000)


def test_enough_history_is_kept() -> None:
    wide = Size(cols=100, rows=30)
    screen = fed(*[numbered(first, first + 1000) for first in range(0, 20_000, 1000)], size=wide)

    repaint = screen.repaint(9_000)

    assert repaint.count(b"line ") > 8_900
    assert b"line 11500" in repaint


def test_a_terminal_of_any_size_is_no_danger_and_a_part_of_it_asks_the_child_to_paint() -> None:
    screen = new_screen(Size(cols=65_535, rows=65_535, xpixel=65_535, ypixel=65_535))
    screen.feed(b"text", live=True)

    assert screen.wants_jiggle
    assert screen.cells is not None
    assert len(screen.cells.rows()) == MAX_ROWS
    screen.resize(Size(cols=MAX_COLUMNS, rows=MAX_ROWS))
    assert not screen.wants_jiggle


def fails(*_: object, **__: object) -> bytes:
    raise EmulatorError("out of memory")


@pytest.mark.parametrize("broken", ["continuation", "resize", "snapshot", "lines", "compress"])
def test_where_the_emulator_fails_the_screen_goes_on_and_the_child_is_asked_to_paint(
    broken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = fed(b"\x1b]7501;busy\x07before\x1b[?2004h")
    monkeypatch.setattr(Emulator, broken, fails)

    screen.feed(b"\x1b[2J", live=True)
    screen.resize(SIZE)
    cells = screen.cells
    if cells is not None:
        cells.fitted(SIZE)
        cells.rows()
    screen.trim()
    screen.checkpoint()
    repaint = screen.repaint()

    assert screen.wants_jiggle
    assert screen.cells is None
    assert screen.activity == reported(b"busy")
    assert picture(repaint).text in ((), ("",))
    assert screen.feed(b"\x1bcpainted\x1b[c", live=True) == b"\x1b[?62;22c"
    assert picture(screen.repaint()).text == ("painted",)
    assert not screen.wants_jiggle


@pytest.mark.parametrize("damaged", [b"", b"\x00", b"\xc1", b"\x80", b"not a checkpoint"])
def test_a_damaged_checkpoint_is_refused(damaged: bytes) -> None:
    with pytest.raises(BadCheckpoint):
        restored(damaged)


def test_a_checkpoint_with_a_damaged_snapshot_is_refused() -> None:
    state = msgspec.msgpack.decode(fed(numbered(0, 10)).checkpoint())
    for end in range(0, len(state["snapshot"]), 7):
        with pytest.raises(BadCheckpoint):
            restored(msgspec.msgpack.encode(state | {"snapshot": state["snapshot"][:end]}))


def test_a_checkpoint_of_another_version_is_refused() -> None:
    state = msgspec.msgpack.decode(new_screen().checkpoint())

    with pytest.raises(BadCheckpoint, match="version 99"):
        restored(msgspec.msgpack.encode(state | {"version": 99}))


def test_the_declarations_are_those_of_the_installed_library() -> None:
    assert declarations.TARGET.read_text() == declarations.generated()


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [("VERSION", "9.9.9", "not of version 9.9.9"), ("_PACKAGE", "no_such_package", "not installed")],
)
def test_another_version_of_the_library_or_none_is_an_import_error(
    name: str, value: str, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(library, name, value)

    with pytest.raises(ImportError, match=why):
        library._load()
