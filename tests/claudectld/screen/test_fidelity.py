"""Real output of Claude Code, cut anywhere: a repaint and the tail show the same cells as all of it."""

import random
import re
from functools import cache

import pytest

from claudectl_protocol.sessions import Size
from claudectld.ports import Screen
from claudectld.screen.ghostty import GhosttyScreen
from claudectld.screen.queries import Passage, QuerySplitter
from claudectld.screen.raw import RawScreen
from tests import recordings
from tests.counts import times
from tests.recordings import Recording
from tests.support.control_emulator import ControlEmulator, Picture
from tests.support.tmux import Tmux

CUTS = times(40, 400)
NAMES = recordings.names()
every_recording = pytest.mark.parametrize("name", NAMES)


def screen_of(kind: type[GhosttyScreen] | type[RawScreen], recording: Recording, end: int) -> Screen:
    """A screen that was fed the recording up to an offset, in chunks as a record is read."""
    screen = kind(recording.sizes[0][1], parse_report=lambda _: None, status_reply=b"")
    for size, data in recording.pieces(0, end):
        if size is not None:
            screen.resize(size)
        for start in range(0, len(data), 4096):
            screen.feed(data[start : start + 4096], live=True)
    return screen


def client_bytes(output: bytes, offset: int, end: int) -> bytes:
    pieces = QuerySplitter(offset).feed(output[offset:end])
    return b"".join(piece.data for piece in pieces if isinstance(piece, Passage))


def stretch(recording: Recording, offset: int) -> tuple[int, Size]:
    """Where the size changes next, and the size until then: a client whose window changes is painted anew."""
    later = [place for place, _ in recording.sizes if place > offset]
    return (later[0] if later else len(recording.output)), recording.size_at(offset)


@cache
def whole(name: str, end: int) -> Picture:
    """What a terminal shows that went through all of it."""
    recording = recordings.load(name)
    terminal = ControlEmulator(recording.sizes[0][1], scrollback=10_000)
    for size, data in recording.pieces(0, end):
        if size is not None:
            terminal.resize(size)
        terminal.feed(client_bytes(data, 0, len(data)))
    return terminal.picture()


def cuts(name: str, count: int) -> list[int]:
    recording = recordings.load(name)
    dice = random.Random(name)
    return sorted(dice.randrange(1, len(recording.output)) for _ in range(count))


def test_there_are_recordings_of_both_versions_and_both_renderers() -> None:
    assert [
        f"claude-{version}-{renderer}"
        for version in ("2.1.197", "2.1.330")
        for renderer in ("alternate", "classic")
    ] == NAMES


@every_recording
def test_a_recording_has_what_it_is_for_and_nothing_of_the_machine(name: str) -> None:
    recording = recordings.load(name)
    text = recording.output.decode(errors="replace")

    assert len(recording.sizes) == 4
    assert len(recording.output) > 10_000
    assert "Doyouwantto" in re.sub(r"\x1b\[[0-9;?]*[A-Za-z]| ", "", text)
    assert "日本語" in text
    assert ("\x1b[?1049h" in text) == name.endswith("alternate")
    assert "/home/" not in text
    assert "/root" not in text


@every_recording
def test_a_repaint_and_the_tail_show_the_cells_of_all_output(name: str) -> None:
    recording = recordings.load(name)
    for at in cuts(name, CUTS):
        end, size = stretch(recording, at)
        screen = screen_of(GhosttyScreen, recording, at)
        terminal = ControlEmulator(size)
        terminal.feed(screen.repaint())
        terminal.feed(client_bytes(recording.output, at - screen.held_bytes, end))

        assert terminal.picture() == whole(name, end), f"cut at {at}"


@every_recording
def test_so_does_a_checkpoint(name: str) -> None:
    recording = recordings.load(name)
    for at in cuts(name, max(4, CUTS // 8)):
        end, size = stretch(recording, at)
        before = screen_of(GhosttyScreen, recording, at)
        screen = GhosttyScreen.restore(before.checkpoint(), parse_report=lambda _: None, status_reply=b"")
        screen.feed(recording.output[at:end], live=False)
        terminal = ControlEmulator(size)
        terminal.feed(screen.repaint())

        assert terminal.picture() == whole(name, end), f"cut at {at}"


@every_recording
def test_a_raw_screen_is_exact_where_it_says_so(name: str) -> None:
    recording = recordings.load(name)
    for at in cuts(name, CUTS):
        screen = screen_of(RawScreen, recording, at)
        if screen.wants_jiggle:
            continue
        end, size = stretch(recording, at)
        terminal = ControlEmulator(size)
        terminal.feed(screen.repaint())
        terminal.feed(client_bytes(recording.output, at - screen.held_bytes, end))

        assert terminal.picture() == whole(name, end), f"cut at {at}"


@every_recording
def test_tmux_shows_the_same_for_a_repaint_and_the_tail_as_for_all_output(name: str) -> None:
    """One size only: how lines are folded anew is each terminal's own affair."""
    recording = recordings.load(name)
    end, size = stretch(recording, 0)
    dice = random.Random(name)
    with Tmux(size) as tmux:
        expected = tmux.shown(client_bytes(recording.output, 0, end))
        for at in [dice.randrange(1, end) for _ in range(times(5, 40))]:
            screen = screen_of(GhosttyScreen, recording, at)
            tail = client_bytes(recording.output, at - screen.held_bytes, end)

            assert tmux.shown(screen.repaint() + tail) == expected, f"cut at {at}"
