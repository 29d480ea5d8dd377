"""Modes are followed exactly enough that a terminal brought to them behaves as the one that was fed everything."""

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from claudectl_protocol.sessions import Size
from claudectld.screen.modes import FRESH, RESET, Modes, Rendition, transition
from claudectld.screen.ring import Ring, fresh
from claudectld.screen.tracker import ModeTracker, Stretch, Turn
from tests.claudectld.screen.programs import COLUMNS, ROWS, outputs, settings_of_terminal
from tests.claudectld.screen.streams import PLACES, cut, streams
from tests.support.control_emulator import ControlEmulator, Picture

SIZE = Size(cols=COLUMNS, rows=ROWS)
PROBE = b"\x1b[H\x1b[2Jabc\x1b[2;2Hjq\x0eq\x0f"
"""Shows the rendition, the character sets and origin mode of a terminal."""


def modes_after(*chunks: bytes) -> Modes:
    tracker = ModeTracker()
    for chunk in chunks:
        tracker.feed(chunk)
    tracker.release()
    return tracker.modes


def picture(*data: bytes) -> Picture:
    emulator = ControlEmulator(SIZE)
    for chunk in data:
        emulator.feed(chunk)
    return emulator.picture()


@pytest.mark.parametrize(
    ("output", "modes"),
    [
        (b"\x1b[?2004h\x1b[?25l", Modes(changed=(2004, 25))),
        (b"\x1b[?2004h\x1b[?2004l", FRESH),
        (b"\x1b[?1000;1006h\x1b[?1000h", Modes(changed=(1006, 1000))),
        (b"\x1b[?2026h\x1b[?12h\x1b[?9999h", FRESH),
        (b"\x1b[4h\x1b[20h\x1b[4l", Modes(ansi=(20,))),
        (b"\x1b[>5u\x1b[>1u\x1b[<u", Modes(kitty=((0, 5), (0,)))),
        (b"\x1b[=3u\x1b[=4;2u\x1b[=1;3u", Modes(kitty=((6,), (0,)))),
        (b"\x1b[<7u", FRESH),
        (b"\x1b[>4;2m", Modes(other_keys=b"2")),
        (b"\x1b[>4;2m\x1b[>4m", FRESH),
        (b"\x1b[>4;2m\x1b[>4n", FRESH),
        (b"\x1b[2;5r", Modes(region=b"2;5")),
        (b"\x1b[2;5r\x1b[5;2r", Modes(region=b"2;5")),
        (b"\x1b[2;5r\x1b[r", FRESH),
        (b"\x1b[3 q", Modes(cursor_shape=b"3")),
        (b"\x1b(0\x1b)A\x0e", Modes(rendition=Rendition(charsets=b"0ABB", shift=True))),
        (b"\x1b=", Modes(keypad=True)),
        (b"\x1b]0;title\x07", Modes(title=b"title")),
        (b"\x1b]2;other\x1b\\", Modes(title=b"other")),
        (b"\x1b]1;icon\x07\x1b]8;;link\x07", FRESH),
        (b"\x1b[31m\x1b[1m\x1b[32m", Modes(rendition=Rendition(sgr=(b"1", b"32")))),
        (b"\x1b[31m\x1b[0;4m", Modes(rendition=Rendition(sgr=(b"0;4",)))),
        (b"\x1b[31m\x1b[m", FRESH),
        (
            b"\x1b[31m\x1b7\x1b[0m\x1b8",
            Modes(rendition=(red := Rendition(sgr=(b"31",))), saved=(red, Rendition())),
        ),
        (b"\x1b[?1049h\x1b[>1u", Modes(alternate=1049, kitty=((0,), (0, 1)))),
        (b"\x1b[?1049h\x1b[31m\x1b[?1049l", FRESH),
        (b"\x1b[?2004h\x1b[31m\x1b]0;kept\x07\x1bc", Modes(title=b"kept")),
        (b"\x1b[?25l\x1b[?2004h\x1b[31m\x1b[!p", Modes(changed=(2004,))),
    ],
)
def test_each_sequence_changes_the_modes_it_names(output: bytes, modes: Modes) -> None:
    assert modes_after(output) == modes
    assert modes_after(*(output[place : place + 1] for place in range(len(output)))) == modes


def test_a_resize_undoes_the_scroll_region() -> None:
    tracker = ModeTracker()
    tracker.feed(b"\x1b[2;5r")

    tracker.resize()

    assert tracker.modes == FRESH


def test_stretches_say_where_what_came_before_stops_to_matter() -> None:
    output = b"a\x1bcb\x1b[?1049hc\x1b[2J\x1b[Hd\x1b[?1049le\x1b[2J\x1b[Hf\x1b[H\x1b[2J\x1b[3Jg"

    assert [(stretch.turn, stretch.data) for stretch in ModeTracker().feed(output)] == [
        (Turn.ON, b"a"),
        (Turn.RESET, b"\x1bcb\x1b[?1049h"),
        (Turn.ALTERNATE, b"c"),
        (Turn.CLEAR, b"\x1b[2J\x1b[Hd\x1b[?1049l"),
        (Turn.MAIN, b"e\x1b[2J\x1b[Hf"),
        (Turn.CLEAR, b"\x1b[H\x1b[2J\x1b[3Jg"),
    ]


def test_no_repaint_may_begin_inside_a_string() -> None:
    tracker = ModeTracker()
    tracker.feed(b"\x1bPq" + b"~" * 10)

    assert tracker.feed(b"~~~\x1b\\after") == [Stretch(Turn.ON, b"~~~\x1b\\after", None)]
    assert tracker.feed(b"on") == [Stretch(Turn.ON, b"on", FRESH)]


@pytest.mark.parametrize(
    "part",
    [b"\x1b", b"\x1b[38;5", b"\x1b(", b"\x1b]0;ti", b"\x1b]0;ti\x1b", "é".encode()[:1], "😀".encode()[:3]],
)
def test_an_unfinished_sequence_or_character_is_held_back(part: bytes) -> None:
    tracker = ModeTracker()

    assert tracker.feed(b"text" + part) == [Stretch(Turn.ON, b"text", FRESH)]
    assert tracker.pending == part
    assert tracker.release() == [Stretch(Turn.ON, part, FRESH)]


@given(output=streams(), places=PLACES)
def test_stretches_are_the_output(output: bytes, places: list[int]) -> None:
    tracker = ModeTracker()
    stretches = [stretch for chunk in cut(output, places) for stretch in tracker.feed(chunk)]
    stretches += tracker.release()

    assert b"".join(stretch.data for stretch in stretches) == output


@settings(max_examples=100, deadline=None)
@given(
    before=st.lists(settings_of_terminal(), max_size=8), after=st.lists(settings_of_terminal(), max_size=8)
)
def test_a_transition_takes_a_terminal_from_any_modes_to_any_others(
    before: list[bytes], after: list[bytes]
) -> None:
    first, second = b"".join(before), b"".join(after)
    way = transition(modes_after(first), modes_after(second))

    there = picture(RESET, transition(FRESH, modes_after(first)), way, PROBE)

    direct = picture(second, PROBE)
    # A title cannot be taken back.
    assert dataclasses.replace(there, title="") == dataclasses.replace(direct, title="")


@settings(max_examples=100, deadline=None)
@given(
    output=outputs(max_parts=30),
    places=PLACES,
    then=st.sampled_from([b"", b"\x1b8", b"\x1b[?1049l", b"\x1b[<u", b"\x1b[?1049h"]),
)
def test_modes_outlive_the_output_that_set_them(output: bytes, places: list[int], then: bytes) -> None:
    tracker = ModeTracker()
    ring = Ring(SIZE, fresh(SIZE), limit_bytes=2048)
    for chunk in cut(output, places):
        for start in range(0, len(chunk), 64):
            for stretch in tracker.feed(chunk[start : start + 64]):
                ring.append(stretch)

    painted = picture(ring.paint(tracker.modes), tracker.pending, then, PROBE)

    assert painted == picture(output, then, PROBE)
