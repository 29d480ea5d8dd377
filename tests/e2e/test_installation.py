"""The installation is deleted and another one takes its place while sessions run: they live, nothing is lost."""

import re
from collections.abc import Iterator

import pytest

from claudectl_protocol.sessions import Size
from tests.e2e.installed import InstalledWorld
from tests.e2e.scripts import NUMBERED_LINES, numbers_in
from tests.support.installation import Installation
from tests.support.terminal import Terminal

SIZE = Size(cols=80, rows=24)


@pytest.fixture
def old(earlier: Installation, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """What is deleted in the middle, of an earlier version; `earlier` says where that cannot be had."""
    return Installation(tmp_path_factory.mktemp("old"), earlier.wheel)


@pytest.fixture
def watcher(present: Installation, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """Where the attached client is from; it is deleted, too."""
    return Installation(tmp_path_factory.mktemp("watcher"), present.wheel)


@pytest.fixture
def world(old: Installation, present: Installation) -> Iterator[InstalledWorld]:
    """A world of the old installation, which the present one has to be able to leave as it was found."""
    with InstalledWorld(old) as made:
        yield made
        made.installation = present
        made.end()


def newest_line(world: InstalledWorld, session: dict[str, object]) -> bytes:
    """The last whole line that the session has printed."""
    return f"line {numbers_in(world.record(session))[0][-1]:09d}".encode()


def check_every_line_once(world: InstalledWorld, session: dict[str, object], terminal: Terminal) -> None:
    """End the session from the terminal; it has shown each line from some line on, in order, and so has the record."""
    terminal.type("stop\r")
    terminal.wait_for_output(b"exited with code 42")
    shown = [int(number) for number in re.findall(rb"line (\d{9})", terminal.output)]
    numbers, end = numbers_in(world.record(session))
    assert end is not None
    assert numbers == list(range(end))
    assert shown == numbers[shown[0] :]


def test_sessions_live_the_next_installation_adopts_them_and_attached_clients_go_on(
    world: InstalledWorld, old: Installation, watcher: Installation, present: Installation
) -> None:
    session = world.run(NUMBERED_LINES)
    daemon = world.daemon_pid()
    keeper = world.keeper_pid()
    world.installation = watcher
    with world.attach("job", size=SIZE) as terminal:
        terminal.wait_for("line 0000")

        old.delete()
        watcher.delete()
        # Everything that ran from there goes on.
        terminal.wait_for_output(newest_line(world, session))
        world.installation = present
        world.ctl("daemon", "restart")

        assert world.daemon_pid() != daemon
        assert world.keeper_pid() == keeper
        after = world.shown("job")
        assert (after["pid"], after["run"], after["lifecycle"]) == (session["pid"], session["run"], "active")
        terminal.wait_for_output(newest_line(world, session))
        check_every_line_once(world, session, terminal)


def test_a_daemon_that_dies_while_no_installation_is_there_is_waited_for(
    world: InstalledWorld, old: Installation, watcher: Installation, present: Installation
) -> None:
    session = world.run(NUMBERED_LINES)
    daemon = world.daemon_pid()
    world.installation = watcher
    with world.attach("job", size=SIZE) as terminal:
        terminal.wait_for("line 0000")
        old.delete()
        watcher.delete()
        world.kill(daemon)
        # Well after the client has noticed: it has nothing to start a daemon with.
        before = numbers_in(world.record(session))[0][-1]
        world.until_printed(session, before + 500)

        world.installation = present
        world.start()

        terminal.wait_for_output(newest_line(world, session))
        check_every_line_once(world, session, terminal)


def test_a_session_of_the_old_installation_can_be_restarted_and_stopped_by_the_new_one(
    world: InstalledWorld, old: Installation, present: Installation
) -> None:
    session = world.new("-n", "job", "--command", "--", "cat")
    old.delete()
    world.installation = present
    world.ctl("daemon", "restart")

    world.ctl("restart", "job")
    assert world.shown("job")["pid"] != session["pid"]
    world.ctl("stop", "job")
    assert world.shown("job")["lifecycle"] == "stopped"
