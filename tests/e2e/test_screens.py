"""What one sees of a session without being in it, and in a window of another size."""

import json
from collections.abc import Mapping

import pytest

from claudectl_protocol.sessions import Size
from tests.e2e.scripts import ECHO, REPAINTS, STYLED_LINES
from tests.e2e.world import World
from tests.support.display import Cell, Cells, Display, cells_of
from tests.support.terminal import Terminal

BORN = Size(cols=120, rows=40)
SMALL = Size(cols=50, rows=12)

PROGRESS = """
import sys
print("begin")
for percent in range(101):
    print(f"\\r\\x1b[K{percent} %", end="", flush=True)
print("\\x1b[2K\\rdone \\x1b[32mgreen\\x1b[0m 漢字")
print("end", flush=True)
sys.stdin.read()
"""

MANY_LINES = """
import sys
for number in range(60000):
    print(f"line {number:06d}")
print("printed", flush=True)
sys.stdin.read()
"""


def watch_smaller(world: World, *args: str, size: Size = SMALL) -> Terminal:
    """A second window on the session."""
    return world.attach("job", *args, size=size)


def rows_of(cells: Cells) -> list[str]:
    """The text of every row, for messages."""
    return ["".join(cell.text for cell in row).rstrip() for row in cells]


def text_of(data: bytes) -> list[str]:
    """The rows that a session of the size it was born with shows, after everything it printed."""
    display = Display(BORN)
    display.feed(data)
    rows = [row.rstrip() for row in display.text.split("\n")]
    return [*rows, *[""] * BORN.rows][: BORN.rows]


def part(cells: Cells, *, top: int, size: Size) -> Cells:
    """The rows and columns of a screen that a window shows."""
    return tuple(tuple(row[: size.cols]) for row in cells[top : top + size.rows])


def shows(terminal: Terminal, wanted: Cells) -> None:
    """Wait until the terminal shows exactly these cells."""
    try:
        terminal.wait_for(lambda _: terminal.cells() == wanted)
    except TimeoutError:
        assert rows_of(terminal.cells()) == rows_of(wanted)
        assert terminal.cells() == wanted


def screen(world: World, *args: str) -> Mapping[str, object]:
    """`show --screen --json` of the session."""
    document = world.ctl("show", "job", "--screen", "--json", *args).json()["screen"]
    assert isinstance(document, dict)
    return document


def printed(world: World, script: str, last: str) -> dict[str, object]:
    """A session that has printed its last line."""
    session = world.run(script)
    with world.attach("job", "--read-only", size=BORN) as terminal:
        terminal.wait_for(last)
    return session


def test_a_smaller_window_shows_the_part_around_the_cursor(world: World) -> None:
    session = printed(world, STYLED_LINES, "all printed")
    whole = cells_of(world.record(session), BORN)
    assert rows_of(whole)[38] == "all printed", "the cursor is in the last row"

    with watch_smaller(world, "--read-only") as terminal:
        shows(terminal, part(whole, top=40 - 12, size=SMALL))
        assert terminal.cursor == (0, 11)


def test_a_smaller_window_follows_what_happens(world: World) -> None:
    session = world.run(ECHO)
    with world.attach("job", size=BORN) as writer, watch_smaller(world, "--read-only") as watcher:
        for number in range(30):
            writer.type(f"word {number}\r")
            writer.wait_for(f"got word {number}")
        watcher.wait_for("got word 29")
        shows(watcher, part(cells_of(world.record(session), BORN), top=40 - 12, size=SMALL))
    assert screen(world)["size"] == {"cols": 120, "rows": 40, "xpixel": 0, "ypixel": 0}


def test_a_larger_window_shows_all_and_nothing_beside_it(world: World) -> None:
    session = printed(world, STYLED_LINES, "all printed")
    whole = cells_of(world.record(session), BORN)

    with watch_smaller(world, "--read-only", size=Size(cols=150, rows=50)) as terminal:
        blank = Cell(" ", "")
        wide = tuple(row + (blank,) * 30 for row in whole)
        shows(terminal, wide + ((blank,) * 150,) * 10)


def test_who_types_takes_the_size_and_the_other_window_shows_a_part(world: World) -> None:
    world.run(REPAINTS)
    with world.attach("job", size=BORN) as first:
        first.wait_for("120 x 40")
        with watch_smaller(world) as second:
            second.wait_for(lambda text: text.startswith("abcdefgh"))
            assert "50 x 12" not in second.text
            second.type("x")
            for terminal in (first, second):
                terminal.wait_for(lambda text: "50 x 12" in text and "key 'x'" in text)
            shows(second, tuple(row[:50] for row in first.cells()[:12]))
            assert all(cell.text == " " for row in first.cells() for cell in row[50:])
            assert all(cell.text == " " for row in first.cells()[12:] for cell in row)

            first.type("y")
            first.wait_for("120 x 40")


def test_a_smaller_window_that_becomes_large_enough_shows_all(world: World) -> None:
    session = printed(world, STYLED_LINES, "all printed")
    whole = cells_of(world.record(session), BORN)
    with watch_smaller(world, "--read-only") as terminal:
        terminal.wait_for("all printed")
        terminal.resize(BORN)
        shows(terminal, whole)


def test_the_screen_is_shown_without_attaching(world: World) -> None:
    session = printed(world, STYLED_LINES, "all printed")
    whole, text = cells_of(world.record(session), BORN), text_of(world.record(session))

    assert screen(world)["rows"] == text
    assert world.ctl("show", "job", "--screen").out.split("\n")[:-1] == text
    styled = world.ctl("show", "job", "--screen", "--ansi").out
    shown = cells_of(styled.removesuffix("\n").replace("\n", "\r\n").encode(), BORN)
    # What was erased in a colour is printed as spaces in that colour; the control calls such a cell plain.
    pairs = [pair for rows in zip(shown, whole, strict=True) for pair in zip(*rows, strict=True)]
    assert [one for one, other in pairs if one != other and (one.text, other) != (" ", Cell(" ", ""))] == []
    assert all(cell.style for row in shown[:38] for cell in row), "the colour goes to the end of the row"


@pytest.mark.parametrize(
    "how", ["stopped", "after the daemon was killed", "stopped, then the daemon was killed"]
)
def test_the_last_screen_stays_to_be_seen(world: World, how: str) -> None:
    session = printed(world, STYLED_LINES, "all printed")
    whole = text_of(world.record(session))
    if "stopped" in how:
        world.ctl("stop", "job")
    if "killed" in how:
        world.kill(world.daemon_pid())

    found = screen(world)

    assert found["rows"] == whole
    assert found["live"] == ("stopped" not in how)
    assert found["offset"] == len(world.record(session))


def test_logs_are_the_lines_that_one_would_have_seen(world: World) -> None:
    printed(world, PROGRESS, "end")

    assert world.ctl("logs", "job").out == "begin\ndone green 漢字\nend\n"
    assert "57 %" in world.ctl("logs", "job", "--raw").out


def test_logs_lose_no_line_of_many(world: World) -> None:
    printed(world, MANY_LINES, "printed")
    wanted = [f"line {number:06d}" for number in range(60000)] + ["printed"]

    assert world.ctl("logs", "job").out.splitlines() == wanted
    assert world.ctl("logs", "job", "--tail", "25000").out.splitlines() == wanted[-25000:]
    world.ctl("stop", "job")
    assert world.ctl("logs", "job").out.splitlines() == wanted


def test_history_is_printed_before_the_picture(world: World) -> None:
    session = printed(world, MANY_LINES, "printed")
    whole = cells_of(world.record(session), BORN)

    with world.attach("job", "--read-only", "--history", "500", size=BORN) as terminal:
        shows(terminal, whole)
        seen = terminal.output
    assert b"line 059961" in seen
    assert b"line 059462" in seen
    assert b"line 059000" not in seen


def test_the_screen_of_an_unknown_session_or_run_is_refused(world: World) -> None:
    session = printed(world, STYLED_LINES, "all printed")

    assert "no session 'nope'" in world.ctl("show", "nope", "--screen", code=3).err
    world.ctl("rm", "job", "--force")
    refused = world.ctl("show", str(session["id"]), "--screen", "--json", code=3)
    assert json.loads(refused.err)["error"]["t"] == "session_not_found"
