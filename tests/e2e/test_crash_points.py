"""Daemon and keeper die at each step of `new` and of taking over: one child once `starting` is on disk, else none."""

import os
import signal
import subprocess
import sys

import pytest

from tests.counts import times
from tests.e2e.diary import LEFT, Diary, is_alive, wait_for_adoptions, wait_for_keeper
from tests.e2e.world import DEADLINE_S, World, wait_gone

UNREACHABLE = 69
BEFORE = ("new:conversation-taken", "new:context-saved")
"""Nothing of the session is in its project's file yet."""
AFTER = ("new:starting-saved", "new:spawned", "new:process-noted", "new:active-saved")
TAKING_OVER = ("adopt:loaded", "adopt:connected", "adopt:compared")
UNBORN = ("spawn:before-fork", "spawn:after-fork")
"""Where a keeper has let no program run yet."""

Arguments = tuple[str, ...]
CLAUDE = "claude"
"""It has a conversation, of which there must be one writer."""
COMMAND = "command"
KINDS = (CLAUDE, COMMAND)[: times(1, 2)]


def start_daemon_that_dies(world: World, point: str, *, code: int = 0) -> None:
    """A daemon that will die at `point`, which may be before it serves."""
    world.ctl("daemon", "start", env={**world.env, "CLAUDECTL_CRASH": point}, code=code)


def start_keeper_that_dies(world: World, point: str) -> None:
    """A keeper that will die at `point`; whichever daemon finds no keeper will start one that does not."""
    script = (
        "import anyio, sys; from pathlib import Path; from claudectld.keeper.start import start_keeper;"
        "anyio.run(start_keeper, Path(sys.argv[1]), Path(sys.argv[2]))"
    )
    socket = os.path.join(os.path.dirname(world.socket), "keeper.sock")
    subprocess.run(
        [sys.executable, "-c", script, str(world.state), socket],
        env={**world.env, "CLAUDECTL_KEEPER_CRASH": point},
        timeout=DEADLINE_S,
        check=True,
    )


def arguments(world: World, diary: Diary, kind: str) -> Arguments:
    """What is given to `new` so that the diarist runs, as a program of its own or in Claude Code's place."""
    if kind == CLAUDE:
        world.env["PATH"] = f"{diary.program.parent}:{world.env['PATH']}"
        return ("-n", "job")
    return ("-n", "job", "--command", "--", str(diary.program))


def sessions(world: World) -> list[object]:
    """Every session there is, by a daemon that is started if none runs."""
    found = world.ctl("ls", "-g", "--json").json()["sessions"]
    assert isinstance(found, list)
    return found


def records(world: World) -> list[str]:
    """The names of all sessions that have a record."""
    directory = world.state / "records"
    return sorted(path.name for path in directory.iterdir()) if directory.exists() else []


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """What the diarist is started as."""
    found: str = request.param
    return found


@pytest.mark.parametrize("point", BEFORE)
def test_before_starting_is_on_disk_nothing_is_started_and_the_client_says_so(
    world: World, point: str, kind: str
) -> None:
    diary = Diary(world, name=kind)
    start_daemon_that_dies(world, point)
    failed = world.ctl("new", *arguments(world, diary, kind), code=UNREACHABLE)

    assert "nothing was started" in failed.err
    assert sessions(world) == []
    assert records(world) == []
    assert diary.starts == []

    # What the dead one has left behind is in nobody's way.
    world.new(*arguments(world, diary, kind))
    diary.wait_for("start")
    assert len(diary.starts) == 1


@pytest.mark.parametrize(
    ("kind", "point"),
    [*((CLAUDE, point) for point in AFTER), *((COMMAND, point) for point in AFTER[: times(1, len(AFTER))])],
)
def test_once_starting_is_on_disk_there_is_exactly_one_child(world: World, kind: str, point: str) -> None:
    diary = Diary(world, name=kind)
    start_daemon_that_dies(world, point)
    doomed = world.daemon_pid()
    session = world.new(*arguments(world, diary, kind))
    # Its reply may be out before it dies of what comes after.
    wait_gone([doomed])
    assert session["lifecycle"] == "active"
    diary.wait_for("start")

    for _ in range(2):
        shown = world.shown("job")
        assert (shown["id"], shown["run"], shown["lifecycle"]) == (session["id"], session["run"], "active")
        assert diary.starts == [shown["pid"]]
        assert is_alive(diary.starts[0])
        world.kill(world.daemon_pid())
    assert len(sessions(world)) == 1
    assert records(world) == [session["id"]]


@pytest.mark.parametrize(
    ("asked", "point"),
    [
        *(("new:starting-saved", point) for point in TAKING_OVER),
        *(("new:spawned", point) for point in TAKING_OVER[: times(1, 3)]),
    ],
)
def test_a_daemon_that_dies_while_it_takes_over_causes_no_second_child(
    world: World, asked: str, point: str
) -> None:
    diary = Diary(world)
    start_daemon_that_dies(world, asked)
    dies_too = {**world.env, "CLAUDECTL_CRASH": point}
    world.ctl("new", *arguments(world, diary, COMMAND), env=dies_too, code=UNREACHABLE)
    start_daemon_that_dies(world, point, code=UNREACHABLE)

    assert len(sessions(world)) == 1
    diary.wait_for("start")
    world.kill(world.daemon_pid())
    assert diary.starts == [world.shown("job")["pid"]]
    assert is_alive(diary.starts[0])


@pytest.mark.parametrize("point", TAKING_OVER)
def test_a_live_child_does_not_notice_a_daemon_that_dies_while_it_takes_over(
    world: World, point: str
) -> None:
    diary = Diary(world)
    session = world.new(*arguments(world, diary, COMMAND))
    keeper = world.keeper_pid()
    world.kill(world.daemon_pid())
    start_daemon_that_dies(world, point, code=UNREACHABLE)

    assert world.shown("job")["pid"] == session["pid"]
    assert world.keeper_pid() == keeper
    world.ctl("send", "job", "--keys", "hello<Enter>")
    diary.wait_for("typed")
    assert diary.notes("typed") == ["hello"]
    assert diary.starts == [session["pid"]]


@pytest.mark.parametrize("point", ["exit:saved", "adopt:connected"])
def test_an_exit_is_neither_lost_nor_taken_twice_when_the_daemon_dies_over_it(
    world: World, point: str
) -> None:
    diary = Diary(world)
    session = world.new(*arguments(world, diary, COMMAND))
    diary.wait_for("start")
    world.kill(world.daemon_pid())
    pid = int(str(session["pid"]))
    os.kill(pid, signal.SIGUSR1)
    wait_gone([pid])
    start_daemon_that_dies(world, point, code=UNREACHABLE)

    for _ in range(2):
        shown = world.shown("job")
        assert (shown["lifecycle"], shown["pid"]) == ("stopped", None)
        ending = shown["exit"]
        assert isinstance(ending, dict)
        assert (ending["code"], ending["reason"]) == (LEFT, "exited")
        world.kill(world.daemon_pid())
    assert diary.starts == [pid]


@pytest.mark.parametrize("point", ["new:starting-saved", "new:spawned", "new:active-saved"])
def test_a_restart_that_is_cut_off_ends_in_one_child_of_the_new_run(
    world: World, point: str, kind: str
) -> None:
    diary = Diary(world, name=kind)
    first = world.new(*arguments(world, diary, kind))
    diary.wait_for("start")
    world.ctl("stop", "job")
    world.kill(world.daemon_pid())
    start_daemon_that_dies(world, point)
    world.ctl("restart", "job", code=UNREACHABLE)

    shown = world.shown("job")
    assert shown["run"] != first["run"]
    diary.wait_for("start", 2)
    world.kill(world.daemon_pid())
    shown = world.shown("job")
    assert shown["lifecycle"] == "active"
    assert diary.starts == [first["pid"], shown["pid"]]
    assert diary.notes("crowded") == []


@pytest.mark.parametrize("point", UNBORN)
def test_a_keeper_that_dies_before_the_program_runs_is_replaced_and_there_is_one_child(
    world: World, point: str, kind: str
) -> None:
    diary = Diary(world, name=kind)
    start_keeper_that_dies(world, point)
    doomed = world.keeper_pid()
    session = world.new(*arguments(world, diary, kind))

    diary.wait_for("start")
    assert world.keeper_pid() != doomed
    assert session["lifecycle"] == "active"
    assert diary.starts == [session["pid"]]


def test_a_keeper_that_dies_before_it_tells_of_the_child_costs_it_but_starts_no_second_one(
    world: World,
) -> None:
    diary = Diary(world)
    start_keeper_that_dies(world, "spawn:before-reply")
    session = world.new(*arguments(world, diary, COMMAND))

    assert session["lifecycle"] == "interrupted"
    ending = session["exit"]
    assert isinstance(ending, dict)
    assert (ending["code"], ending["signal"], ending["reason"]) == (None, None, "unknown")
    wait_gone(diary.starts)
    world.kill(world.daemon_pid())
    assert len(sessions(world)) == 1
    assert len(diary.starts) <= 1


def test_a_keeper_that_dies_while_it_takes_over_is_followed_by_one_that_finishes(world: World) -> None:
    diaries = [Diary(world, name=name) for name in ("one", "two", "three")]
    made = [world.new("-n", each.program.name, "--command", "--", str(each.program)) for each in diaries]
    for diary in diaries:
        diary.wait_for("start")
    daemon = world.daemon_pid()
    # The daemon is held, so that the doomed keeper is there before it looks for one.
    os.kill(daemon, signal.SIGSTOP)
    try:
        world.kill(world.keeper_pid())
        start_keeper_that_dies(world, "adopt:after-take")
        doomed = world.keeper_pid()
    finally:
        os.kill(daemon, signal.SIGCONT)
    for session in made:
        wait_for_adoptions(world, session, 1)
    wait_gone([doomed])
    wait_for_keeper(world)

    for diary, session in zip(diaries, made, strict=True):
        world.ctl("send", diary.program.name, "--keys", "hello<Enter>")
        assert diary.wait_for("typed") == ["hello"]
        assert diary.starts == [session["pid"]]
    assert world.daemon_pid() == daemon
