"""Coming back to a session shows what it shows, whatever happened to the terminal or the daemon in between."""

import os
import random
import signal
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from claudectl_protocol.sessions import Size
from tests.counts import times
from tests.e2e.claude_world import ClaudeWorld
from tests.e2e.scripts import REPAINTS, REPAINTS_WHEN_CHANGED, STYLED_LINES
from tests.e2e.world import World
from tests.support.display import Cells, Display, cells_of
from tests.support.terminal import Terminal

SIZE = Size(cols=90, rows=28)
BORN = Size(cols=120, rows=40)
"""The size of a session whose client had no terminal. What a plain program has printed is not painted anew for
another size, so only here can it be compared."""


RAW = '[daemon]\nscreen = "raw"\n'
both_screens = pytest.mark.parametrize("settings", ["", RAW], ids=["ghostty", "raw"])
"""With an emulator, and where there is none."""

Control = Callable[[World, Mapping[str, object]], Cells]


def everything(world: World, session: Mapping[str, object]) -> Cells:
    """The cells of an emulator that saw everything the session printed, at the one size it has had."""
    return cells_of(world.record(session), BORN)


def last_repaint(world: World, session: Mapping[str, object]) -> Cells:
    """The cells of a terminal that got all from the last clearing on: a program that repaints for a new size clears
    first, and what an emulator makes of the picture of another size is no measure.
    """
    record = world.record(session)
    return cells_of(record[record.rindex(b"\x1b[2J") :], SIZE)


def as_recorded(world: World, session: Mapping[str, object]) -> Cells:
    """The cells of an emulator that saw everything the session printed, each byte at the size it was printed at."""
    record, at = world.record(session), 0
    first, *changes = world.sizes(session)
    display = Display(first.size)
    for change in changes:
        display.feed(record[at : change.offset])
        display.resize(change.size)
        at = change.offset
    display.feed(record[at:])
    return display.cells()


def whole(cells: Cells) -> Cells:
    """Every cell counts."""
    return cells


def without_mascot(cells: Cells) -> Cells:
    """All but the upper left corner, in which Claude Code's mascot never stands still."""
    return tuple(row[12 * (y < 4) :] for y, row in enumerate(cells))


def shows(
    terminal: Terminal,
    control: Control,
    world: World,
    session: Mapping[str, object],
    part: Callable[[Cells], Cells] = whole,
) -> None:
    """Wait until the terminal shows, cell by cell, what the control emulator shows."""
    try:
        terminal.wait_for(lambda _: part(terminal.cells()) == part(control(world, session)), deadline_s=20)
    except TimeoutError:
        assert _rows(part(terminal.cells())) == _rows(part(control(world, session)))
        assert part(terminal.cells()) == part(control(world, session))


def _rows(cells: Cells) -> list[str]:
    return ["".join(cell.text for cell in row).rstrip() for row in cells]


def kill_client(terminal: Terminal) -> None:
    """SIGKILL the client, as a closed laptop or an out-of-memory killer would."""
    terminal.signal(signal.SIGKILL)
    assert terminal.wait_for_exit() == -signal.SIGKILL


def storm(terminal: Terminal, count: int) -> None:
    """Many sizes, one after the other, and at last the one we began with."""
    sizes = random.Random(3)
    for _ in range(count):
        terminal.resize(Size(cols=sizes.randint(40, 160), rows=sizes.randint(10, 60)))
    terminal.resize(SIZE)


@both_screens
def test_a_plain_child_is_shown_again_after_the_client_was_killed(world: World, settings: str) -> None:
    world.configure(settings)
    session = world.run(STYLED_LINES)
    with world.attach("job", size=BORN) as first:
        first.wait_for("all printed")
        shows(first, everything, world, session)
        kill_client(first)

    with world.attach("job", size=BORN) as again:
        shows(again, everything, world, session)
        again.type("more\r")
        again.wait_for("more again")
        shows(again, everything, world, session)


@both_screens
def test_a_plain_child_is_shown_again_after_the_daemon_was_killed(world: World, settings: str) -> None:
    world.configure(settings)
    session = world.run(STYLED_LINES)
    with world.attach("job", size=BORN) as first:
        first.wait_for("all printed")
        kill_client(first)
    world.kill(world.daemon_pid())

    with world.attach("job", size=BORN) as again:
        shows(again, everything, world, session)


@both_screens
@pytest.mark.parametrize("daemon_dies", [False, True])
def test_a_child_that_repaints_is_shown_again_after_a_storm_of_sizes(
    world: World, settings: str, *, daemon_dies: bool
) -> None:
    world.configure(settings)
    session = world.run(REPAINTS)
    with world.attach("job", size=SIZE) as first:
        first.wait_for("90 x 28")
        storm(first, times(20, 500))
        first.wait_for("90 x 28")
        kill_client(first)
    if daemon_dies:
        world.kill(world.daemon_pid())

    with world.attach("job", size=SIZE) as again:
        again.wait_for("90 x 28")
        shows(again, last_repaint, world, session)
        again.type("x")
        again.wait_for("key 'x'")
        shows(again, last_repaint, world, session)


@both_screens
def test_a_busy_child_that_saw_no_change_of_size_is_painted_again(world: World, settings: str) -> None:
    world.configure(settings)
    session = world.run(REPAINTS_WHEN_CHANGED)
    child = int(str(session["pid"]))
    with world.attach("job", size=SIZE) as terminal:
        terminal.wait_for("90 x 28")
        os.kill(child, signal.SIGSTOP)
        before = len(terminal.output)
        storm(terminal, 10)
        # The child prints nothing now, so what comes is the daemon's own painting.
        terminal.wait_for(lambda _: len(terminal.output) > before)
        os.kill(child, signal.SIGCONT)
        shows(terminal, last_repaint, world, session)


def test_a_client_that_dies_while_its_picture_is_asked_for_leaves_the_size_as_it_was(world: World) -> None:
    world.configure(RAW)
    world.run(REPAINTS)
    with world.attach("job", size=SIZE) as first:
        first.wait_for("90 x 28")
        first.type(b"\x11")
        assert first.wait_for_exit() == 0
    with world.attach("job", size=SIZE) as second:
        # The child is asked to paint by one row less and one more.
        second.wait_for_output(b"90 x 27")
        kill_client(second)

    with world.attach("job", "--read-only", size=SIZE) as watcher:
        watcher.wait_for("90 x 28")


def test_a_client_of_another_size_makes_the_child_repaint_for_it(world: World) -> None:
    world.run(REPAINTS)
    with world.attach("job", size=SIZE) as first:
        first.wait_for("90 x 28")
        kill_client(first)

    with world.attach("job", size=Size(cols=70, rows=20)) as again:
        again.wait_for(" x 2")
        # Until the daemon has noticed that the other client is gone, it is typing that takes the size over.
        again.type("x")
        again.wait_for("70 x 20")


def test_two_clients_see_the_same_and_the_one_that_types_has_the_size(world: World) -> None:
    world.run(REPAINTS)
    with world.attach("job", size=SIZE) as first:
        first.wait_for("90 x 28")
        with world.attach("job", size=Size(cols=70, rows=20)) as second:
            second.wait_for("90 x 28")
            second.type("y")
            second.wait_for("70 x 20")
            first.wait_for("70 x 20")


def test_one_who_only_watches_neither_types_nor_resizes(world: World) -> None:
    world.run(REPAINTS)
    with (
        world.attach("job", size=SIZE) as first,
        world.attach("job", "--read-only", size=Size(cols=70, rows=20)) as watcher,
    ):
        first.wait_for("90 x 28")
        watcher.type("z")
        watcher.resize(Size(cols=60, rows=20))
        first.type("x")
        assert "key 'z'" not in first.wait_for("key 'x'")
        assert "90 x 28" in first.text


def test_leaving_gives_the_terminal_back(world: World) -> None:
    world.run(REPAINTS)
    with world.attach("job", size=SIZE) as terminal:
        terminal.wait_for("90 x 28")
        assert terminal.mode(1049)
        assert terminal.mode(2004)
        terminal.type(b"\x11")
        assert terminal.wait_for_exit() == 0
        assert not any(terminal.mode(mode) for mode in (1049, 2004, 1000, 1006))
        assert terminal.mode(25)
    assert world.shown("job")["lifecycle"] == "active"


def test_a_detach_key_inside_a_paste_is_pasted(world: World) -> None:
    world.run(REPAINTS)
    with world.attach("job", size=SIZE) as terminal:
        terminal.wait_for("90 x 28")
        terminal.type(b"\x1b[200~a\x11b\x1b[201~")
        terminal.wait_for("key '\\x1b[200~a\\x11b\\x1b[201~'")


@pytest.mark.claude
@both_screens
def test_claude_is_shown_again_after_a_storm_of_sizes_and_the_daemons_death(
    claude_world: ClaudeWorld, settings: str
) -> None:
    claude_world.configure(settings)
    session = claude_world.claude_session("job", prompt="say hello")
    with claude_world.attach("job", size=SIZE) as first:
        first.wait_for("You said: say hello")
        storm(first, times(10, 100))
        first.wait_for("You said: say hello")
        kill_client(first)
    claude_world.kill(claude_world.daemon_pid())

    with claude_world.attach("job", size=SIZE) as again:
        again.wait_for("You said: say hello")
        # Without an emulator it is Claude Code that paints anew; with one, nobody has to.
        control = last_repaint if settings == RAW else as_recorded
        shows(again, control, claude_world, session, without_mascot)


def test_the_socket_directory_is_nobody_elses(world: World) -> None:
    world.start()
    for path in (Path(world.socket).parent, Path(world.socket)):
        assert path.lstat().st_mode & 0o077 == 0
        assert path.lstat().st_uid == os.geteuid()
