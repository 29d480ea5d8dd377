"""What every implementation of the Screen port does: the real ones and the fake alike."""

from collections.abc import Callable
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from claudectl_protocol.sessions import Activity, ActivityState, Size
from claudectld.ports import Screen
from claudectld.screen.ghostty import GhosttyScreen
from claudectld.screen.queries import Passage, QuerySplitter
from claudectld.screen.raw import RawScreen
from tests.claudectld.screen.streams import PLACES, cut, streams
from tests.fakes.screen import TapeScreen
from tests.support.control_emulator import ControlEmulator, Picture

SIZE = Size(cols=20, rows=6)
STATUS_REPLY = b"\x1b]7501;?\x1b\\"
DA1_REPLY = b"\x1b[?62;22c"


def parse_report(body: bytes) -> Activity | None:
    """Knows two states, as a stand-in for the parser that knows Claude Code."""
    states = {b"state=idle": ActivityState.IDLE, b"state=working": ActivityState.WORKING}
    return Activity(state=states[body], source="osc7501") if body in states else None


def raw() -> Screen:
    return RawScreen(SIZE, parse_report=parse_report, status_reply=STATUS_REPLY)


def raw_from(checkpoint: bytes) -> Screen:
    return RawScreen.restore(checkpoint, parse_report=parse_report, status_reply=STATUS_REPLY)


def ghostty() -> Screen:
    return GhosttyScreen(SIZE, parse_report=parse_report, status_reply=STATUS_REPLY)


def ghostty_from(checkpoint: bytes) -> Screen:
    return GhosttyScreen.restore(checkpoint, parse_report=parse_report, status_reply=STATUS_REPLY)


def tape() -> Screen:
    return TapeScreen(parse_report=parse_report, status_reply=STATUS_REPLY)


def tape_from(checkpoint: bytes) -> Screen:
    screen = TapeScreen(parse_report=parse_report, status_reply=STATUS_REPLY)
    screen.load(checkpoint)
    return screen


class Implementation(NamedTuple):
    """How to make one sort of screen, and how to make it from a checkpoint."""

    make: Callable[[], Screen]
    restore: Callable[[bytes], Screen]


IMPLEMENTATIONS = [
    pytest.param(Implementation(raw, raw_from), id="raw"),
    pytest.param(Implementation(ghostty, ghostty_from), id="ghostty"),
    pytest.param(Implementation(tape, tape_from), id="tape"),
]
every_screen = pytest.mark.parametrize("screens", IMPLEMENTATIONS)


def picture(*data: bytes) -> Picture:
    emulator = ControlEmulator(SIZE)
    for chunk in data:
        emulator.feed(chunk)
    return emulator.picture()


def client_bytes(output: bytes, offset: int) -> bytes:
    """What a client that has everything before `offset` is sent of the rest."""
    splitter = QuerySplitter(offset)
    pieces = splitter.feed(output[offset:]) + splitter.finish()
    return b"".join(piece.data for piece in pieces if isinstance(piece, Passage))


@every_screen
def test_queries_are_answered_in_the_order_they_were_asked(screens: Implementation) -> None:
    screen = screens.make()

    assert screen.feed(b"\x1b]7501;?\x07\x1b[c", live=True) == STATUS_REPLY + DA1_REPLY
    assert screen.feed(b"text\x1b[c\x1b]7501;?\x1b\\", live=True) == DA1_REPLY + STATUS_REPLY


@every_screen
@pytest.mark.parametrize("cut_at", range(1, 12))
def test_a_split_query_is_answered_once_when_it_is_whole(screens: Implementation, cut_at: int) -> None:
    screen = screens.make()
    query = b"\x1b]7501;?\x07\x1b[c"

    replies = [screen.feed(query[:cut_at], live=True), screen.feed(query[cut_at:], live=True)]

    assert b"".join(replies) == STATUS_REPLY + DA1_REPLY


@every_screen
def test_replay_never_answers(screens: Implementation) -> None:
    screen = screens.make()

    assert screen.feed(b"\x1b]7501;?\x07\x1b[c\x1b[6n", live=False) == b""
    assert screen.feed(b"\x1b[", live=False) == b""


@every_screen
def test_what_is_in_the_clipboard_is_never_told(screens: Implementation) -> None:
    assert screens.make().feed(b"\x1b]52;c;?\x07\x1b]52;c;?\x1b\\", live=True) == b""


@every_screen
def test_a_repaint_asks_the_client_s_terminal_nothing(screens: Implementation) -> None:
    screen = screens.make()
    screen.feed(b"a\x1b[cb\x1b[6nc\x1b]11;?\x07d\x1bP$qm\x1b\\e\x1b[?25$pf", live=True)
    emulator = ControlEmulator(SIZE)

    emulator.feed(screen.repaint())

    assert emulator.text() == ("abcdef",)
    assert emulator.replies == b""


@every_screen
def test_the_activity_is_the_last_report_that_says_something(screens: Implementation) -> None:
    screen = screens.make()
    seen = []
    for output in (b"\x1b]7501;state=working\x07", b"\x1b]7501;state=id", b"le\x07\x1b]7501;what=ever\x07"):
        screen.feed(output, live=False)
        seen.append(screen.activity)

    working = Activity(state=ActivityState.WORKING, source="osc7501")
    assert seen == [working, working, Activity(state=ActivityState.IDLE, source="osc7501")]


@every_screen
def test_a_repaint_clears_what_the_terminal_showed_and_every_mode_it_was_in(screens: Implementation) -> None:
    screen = screens.make()
    screen.feed(b"new\x1b[?2004h", live=True)
    before = b"\x1b[?1049h\x1b[?1003h\x1b[?1006h\x1b[>5u\x1b[2;4r\x1b[?7l\x1b[?6h\x1b[?25l\x1b[31m\x1b(0old\x1b]0;half"

    assert picture(before, screen.repaint()) == picture(b"new\x1b[?2004h")


@every_screen
@settings(max_examples=40, deadline=None)
@given(output=streams(), places=PLACES)
def test_a_repaint_is_idempotent(screens: Implementation, output: bytes, places: list[int]) -> None:
    screen = screens.make()
    for chunk in cut(output, places):
        screen.feed(chunk, live=False)
    repaint = screen.repaint()

    assert screen.repaint() == repaint
    assert picture(repaint, repaint) == picture(repaint)


@every_screen
@settings(max_examples=60, deadline=None)
@given(output=streams(), places=PLACES, data=st.data())
def test_a_repaint_and_what_follows_its_offset_show_what_all_output_shows(
    screens: Implementation, output: bytes, places: list[int], data: st.DataObject
) -> None:
    at = data.draw(st.integers(min_value=0, max_value=len(output)))
    screen = screens.make()
    for chunk in cut(output[:at], places):
        screen.feed(chunk, live=False)

    seen = picture(screen.repaint(), client_bytes(output, at - screen.held_bytes))

    assert seen == picture(client_bytes(output, 0))


@every_screen
@settings(max_examples=40, deadline=None)
@given(output=streams(), places=PLACES, data=st.data())
def test_a_checkpoint_and_the_tail_are_as_good_as_never_having_ended(
    screens: Implementation, output: bytes, places: list[int], data: st.DataObject
) -> None:
    at = data.draw(st.integers(min_value=0, max_value=len(output)))
    whole, first = screens.make(), screens.make()
    for chunk in cut(output[:at], places):
        whole.feed(chunk, live=False)
        first.feed(chunk, live=False)

    second = screens.restore(first.checkpoint())

    assert second.feed(output[at:], live=True) == whole.feed(output[at:], live=True)
    assert second.repaint() == whole.repaint()
    assert second.activity == whole.activity
    assert second.held_bytes == whole.held_bytes
    assert second.wants_jiggle == whole.wants_jiggle


@every_screen
def test_a_screen_that_was_told_nothing_knows_no_activity(screens: Implementation) -> None:
    assert screens.make().activity is None


@every_screen
def test_a_resize_before_any_output_changes_nothing(screens: Implementation) -> None:
    screen = screens.make()
    screen.resize(SIZE)
    screen.feed(b"hello", live=True)

    assert picture(screen.repaint()) == picture(b"hello")


@every_screen
def test_after_a_resize_a_repaint_is_exact_or_the_child_is_asked_to_paint(screens: Implementation) -> None:
    narrow = Size(cols=10, rows=6)
    output = b"long line of text that will wrap\r\nnext"
    screen, whole, painted = screens.make(), ControlEmulator(SIZE), ControlEmulator(narrow)
    screen.feed(output, live=True)
    screen.resize(narrow)
    whole.feed(output)
    whole.resize(narrow)
    for seen in (screen, screens.restore(screen.checkpoint())):
        painted.feed(seen.repaint())

        assert seen.wants_jiggle or painted.picture() == whole.picture()
