"""A raw screen's repaint and what follows show the same as all of the output, judged by an independent emulator."""

import random
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from claudectl_protocol.sessions import Activity, ActivityState, Size
from claudectld.screen.queries import Passage, QuerySplitter
from claudectld.screen.raw import MAX_REPAINT_BYTES, BadCheckpoint, RawScreen
from tests.claudectld.screen.programs import COLUMNS, ROWS, outputs
from tests.claudectld.screen.streams import PLACES, cut
from tests.support.control_emulator import ControlEmulator, Picture

SIZE = Size(cols=COLUMNS, rows=ROWS)


def reported(body: bytes) -> Activity | None:
    return Activity(state=ActivityState.UNKNOWN, text=body.decode())


def new_screen(size: Size = SIZE) -> RawScreen:
    return RawScreen(size, parse_report=reported, status_reply=b"<status>")


def restored(checkpoint: bytes) -> RawScreen:
    return RawScreen.restore(checkpoint, parse_report=reported, status_reply=b"<status>")


def picture(*data: bytes, size: Size = SIZE) -> Picture:
    emulator = ControlEmulator(size)
    for chunk in data:
        emulator.feed(chunk)
    return emulator.picture()


def client_bytes(output: bytes, offset: int) -> bytes:
    splitter = QuerySplitter(offset)
    pieces = splitter.feed(output[offset:]) + splitter.finish()
    return b"".join(piece.data for piece in pieces if isinstance(piece, Passage))


def fed(output: bytes, chunk_bytes: int = 5000) -> RawScreen:
    screen = new_screen()
    for start in range(0, len(output), chunk_bytes):
        screen.feed(output[start : start + chunk_bytes], live=False)
    return screen


@settings(max_examples=150, deadline=None)
@given(output=outputs(), places=PLACES, data=st.data())
def test_a_repaint_and_the_tail_show_what_all_output_shows(
    output: bytes, places: list[int], data: st.DataObject
) -> None:
    at = data.draw(st.integers(min_value=0, max_value=len(output)))
    screen = new_screen()
    for chunk in cut(output[:at], places):
        screen.feed(chunk, live=False)

    seen = picture(screen.repaint(), client_bytes(output, at - screen.held_bytes))

    assert seen == picture(client_bytes(output, 0))


@settings(max_examples=60, deadline=None)
@given(output=outputs(), places=PLACES, data=st.data())
def test_so_does_a_repaint_of_a_screen_that_was_restored_on_the_way(
    output: bytes, places: list[int], data: st.DataObject
) -> None:
    first, second = sorted(data.draw(st.tuples(*[st.integers(min_value=0, max_value=len(output))] * 2)))
    screen = new_screen()
    for chunk in cut(output[:first], places):
        screen.feed(chunk, live=False)
    screen = restored(screen.checkpoint())
    screen.feed(output[first:second], live=False)

    seen = picture(screen.repaint(), client_bytes(output, second - screen.held_bytes))

    assert seen == picture(client_bytes(output, 0))


def numbered_lines(count: int) -> bytes:
    return b"".join(
        b"\x1b[3%dm%06d \x1b[1mword\x1b[22m\r\n" % (number % 8, number) for number in range(count)
    )


def frames(count: int) -> Iterator[bytes]:
    """An application's frames, each drawn by absolute moves over the last."""
    dice = random.Random(7)
    for number in range(count):
        yield b"\x1b[?25l\x1b[%d;%dH\x1b[48;5;%dm%04d\x1b[0m\x1b[?25h" % (
            dice.randrange(1, ROWS + 1),
            dice.randrange(1, COLUMNS - 3),
            number % 256,
            number % 10000,
        )


def test_output_beyond_the_ring_paints_the_end_of_a_log() -> None:
    output = b"\x1b[?2004h\x1b]0;long\x07\x1b[4m" + numbered_lines(60_000)
    screen = fed(output)

    repaint = screen.repaint()

    assert len(output) > 1_000_000
    assert 256 * 1024 < len(repaint) < MAX_REPAINT_BYTES
    assert picture(repaint) == picture(output)
    assert screen.wants_jiggle


def test_output_beyond_the_ring_paints_an_application_that_redraws_all_of_its_screen() -> None:
    redraw = b"\x1b[2J\x1b[H\x1b[44mheader\x1b[K\x1b[0m"
    output = (
        b"$ app\r\n\x1b[?1049h\x1b[?1003;1006h" + b"".join(frames(30_000)) + redraw + b"".join(frames(50))
    )
    screen = fed(output)

    repaint = screen.repaint()

    assert len(output) > 600 * 1024
    assert len(repaint) < 10_000
    assert picture(repaint) == picture(output)


def test_the_main_screen_comes_back_when_the_application_leaves_after_many_redraws() -> None:
    redraw = b"\x1b[H\x1b[2J" + b"\x1b[2;4r\x1b[31m" + b"x" * 1000
    output = b"\x1b[32mbefore\r\n\x1b[>1u$ app\x1b[?1049h\x1b[?1003h\x1b[>5u" + redraw * 2000
    tail = b"\x1b[<u\x1b[?1003l\x1b[r\x1b[?1049l done"
    screen = fed(output)

    repaint = screen.repaint()

    assert len(repaint) < 10_000
    assert picture(repaint, tail) == picture(output, tail)
    assert picture(repaint, tail).text[0] == "before"


def test_a_full_reset_and_a_clear_with_scrollback_make_the_repaint_small() -> None:
    for clear in (b"\x1bc", b"\x1b[2J\x1b[3J\x1b[H", b"\x1b[H\x1b[2J\x1b[3J"):
        output = b"\x1b[?2004h\x1b[31m" + numbered_lines(5000) + clear + b"after"
        screen = fed(output)

        assert len(screen.repaint()) < 2000
        assert picture(screen.repaint()) == picture(output)
        assert not screen.wants_jiggle


def test_a_clear_of_the_main_screen_alone_keeps_the_scrollback() -> None:
    screen = fed(numbered_lines(100) + b"\x1b[H\x1b[2Jafter")

    assert b"000050" in screen.repaint()


@pytest.mark.parametrize(
    "flood",
    [
        b"\x1b]52;c;" + b"QUJD" * 300_000 + b"\x07",
        b"\x1bPq" + b"#0~~@@vv\n" * 130_000 + b"\x1b\\",
        b"\x1b_Gi=1;" + b"AAAA" * 300_000 + b"\x1b\\",
    ],
    ids=["osc", "dcs", "apc"],
)
def test_a_string_longer_than_the_ring_is_never_printed_in_part(flood: bytes) -> None:
    screen = fed(b"before\r\n" + flood[: len(flood) // 2])
    assert picture(screen.repaint()).text in ((), ("",))

    screen.feed(flood[len(flood) // 2 :], live=False)
    screen.feed(b"\r\n" * 2 + numbered_lines(2000), live=False)

    assert picture(screen.repaint()) == picture(numbered_lines(2000))
    assert screen.wants_jiggle


@pytest.mark.parametrize(
    "unit",
    [
        b"\x1b[?1049h\x1b]2;" + b"t" * 1000 + b"\x07\x1b[H\x1b[2J\x1b[?1049l",
        b"\x1b[?1049h\x1b[?1049l",
        b"\x1b[>31u",
        b"\x1b[38;5;1;2;3;4m",
        b"\x1b[38;2;%d;2;3;1m",
    ],
)
def test_no_output_makes_a_repaint_larger_than_the_limit(unit: bytes) -> None:
    output = b"".join(unit % number if b"%d" in unit else unit for number in range(800_000 // len(unit)))
    screen = fed(output, chunk_bytes=60_000)

    assert len(screen.repaint()) <= MAX_REPAINT_BYTES
    assert len(screen.checkpoint()) <= 2 * MAX_REPAINT_BYTES


def test_a_resize_makes_the_screen_inexact_until_output_from_before_is_gone() -> None:
    screen = new_screen()
    screen.feed(b"before", live=True)
    screen.resize(Size(cols=40, rows=10))
    wanted = [screen.wants_jiggle]
    screen.feed(b"\x1bcafter", live=True)
    wanted.append(screen.wants_jiggle)

    assert wanted == [True, False]


def test_a_change_of_pixels_alone_keeps_the_screen_exact() -> None:
    screen = new_screen()
    screen.feed(b"before", live=True)

    screen.resize(Size(cols=COLUMNS, rows=ROWS, xpixel=400, ypixel=200))

    assert not screen.wants_jiggle


def test_the_alternate_screen_always_wants_the_child_to_paint() -> None:
    screen = new_screen()
    screen.feed(b"\x1b[?1049h", live=True)
    wanted = [screen.wants_jiggle]
    screen.feed(b"\x1b[?1049l", live=True)
    wanted.append(screen.wants_jiggle)

    assert wanted == [True, False]


def test_a_report_of_any_cut_reaches_the_parser_once() -> None:
    bodies: list[bytes] = []

    def parse(body: bytes) -> Activity | None:
        bodies.append(body)
        return None

    report = b"text\x1b]7501;state=working:msg=" + b"QUJD" * 400 + b"\x1b\\text"
    for place in range(len(report)):
        screen = RawScreen(SIZE, parse_report=parse, status_reply=b"")
        screen.feed(report[:place], live=True)
        screen.feed(report[place:], live=True)

    assert bodies == [b"state=working:msg=" + b"QUJD" * 400] * len(report)


@pytest.mark.parametrize("damaged", [b"", b"\x00", b"\xc1", b"\x80", b"not a checkpoint"])
def test_a_damaged_checkpoint_is_refused(damaged: bytes) -> None:
    with pytest.raises(BadCheckpoint):
        restored(damaged)


def test_a_checkpoint_of_another_version_is_refused() -> None:
    checkpoint = new_screen().checkpoint()
    newer = checkpoint.replace(b"\xa7version\x01", b"\xa7version\x02")

    with pytest.raises(BadCheckpoint, match="version 2"):
        restored(newer)


def test_a_checkpoint_cut_short_is_refused() -> None:
    checkpoint = fed(numbered_lines(10)).checkpoint()

    for length in range(len(checkpoint)):
        with pytest.raises(BadCheckpoint):
            restored(checkpoint[:length])
