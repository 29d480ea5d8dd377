"""The keeper may be killed at any moment: its children live on under the next one, and what may be missing is said."""

import os
import re
import signal
import sys
import time
from collections.abc import Mapping
from itertools import pairwise

import pytest

from tests.counts import times
from tests.e2e.diary import LEFT, Diary, is_alive, start_ticks, wait_for_adoptions, wait_for_keeper
from tests.e2e.scripts import ECHO, NUMBERED_LINES
from tests.e2e.world import DEADLINE_S, World, wait_gone
from tests.support.files import wait_for_file

LINE_BYTES = len(b"line 000000000\r\n")
ONE_READ_BYTES = 4095
"""The most that the kernel hands out at once from a terminal."""
TELLS_EXITS = tuple(int(part) for part in os.uname().release.split(".")[:2]) >= (6, 15)
"""Whether this kernel tells the exit status of a process that is not our child."""


def gaps_of(world: World, session: Mapping[str, object]) -> list[tuple[int, int]]:
    """(offset, size) of every place where the record itself says that something may be missing."""
    detail = world.ctl("show", str(session["id"]), "-g", "--json").json()["detail"]
    assert isinstance(detail, dict)
    assert [record["gaps"] for record in detail["records"]] == [[]]
    return [(offset, size) for record in detail["records"] for offset, size in record["possible_gaps"]]


def place_in_stream(piece: bytes) -> tuple[int, int] | None:
    """From where to where in the endless numbered lines `piece` was cut; None if it is too short to say.

    Fails if the piece has a hole in itself.
    """
    found = re.search(rb"line (\d{9})\r\n", piece)
    if found is None:
        assert len(piece) < 2 * LINE_BYTES, piece
        return None
    start = int(found[1]) * LINE_BYTES - found.start()
    first = start // LINE_BYTES
    lines = b"".join(
        b"line %09d\r\n" % number for number in range(first, first + len(piece) // LINE_BYTES + 2)
    )
    skipped = start - first * LINE_BYTES
    assert lines[skipped : skipped + len(piece)] == piece
    return start, start + len(piece)


def exit_of(shown: Mapping[str, object]) -> tuple[object, object, object]:
    """(code, signal, reason)."""
    found = shown["exit"]
    assert isinstance(found, dict)
    return found["code"], found["signal"], found["reason"]


def test_a_printing_child_outlives_every_keeper_and_only_what_is_said_is_missing(world: World) -> None:
    session = world.run(NUMBERED_LINES)
    pid = int(str(session["pid"]))
    born = start_ticks(pid)
    daemon = world.daemon_pid()
    kills = times(5, 200)
    for count in range(kills):
        keeper = world.keeper_pid()
        world.kill(keeper)
        wait_for_adoptions(world, session, count + 1)
        assert world.keeper_pid() != keeper
        assert start_ticks(pid) == born

    shown = world.shown("job")
    assert (shown["pid"], shown["lifecycle"]) == (pid, "active")
    assert world.daemon_pid() == daemon
    world.ctl("send", "job", "--keys", "stop<Enter>")
    world.ctl("logs", "job", "-f", "--raw")

    gaps = gaps_of(world, session)
    assert len(gaps) == kills
    record = world.record(session)
    assert b"\r\nend " in record
    record = record[: record.index(b"stop\r\n")]
    end = may_be_missing = 0
    cuts = [(0, 0), *gaps, (len(record), 0)]
    for (cut, gap), (following, _) in pairwise(cuts):
        may_be_missing += gap
        place = place_in_stream(record[cut:following])
        if place is None:
            # Its keeper was killed at once.
            may_be_missing += following - cut
            continue
        assert 0 <= place[0] - end <= may_be_missing
        end, may_be_missing = place[1], 0
    assert {size for _, size in gaps} == {ONE_READ_BYTES}
    assert exit_of(world.shown("job")) == ((42, None, "exited") if TELLS_EXITS else (None, None, "unknown"))


@pytest.mark.parametrize(
    ("number", "code", "signalled"), [(signal.SIGUSR1, LEFT, None), (signal.SIGTERM, None, 15)]
)
@pytest.mark.parametrize("when", ["before", "after"])
def test_how_a_child_ended_is_known_though_its_keeper_is_not_its_parent(
    world: World, number: signal.Signals, code: int | None, signalled: int | None, when: str
) -> None:
    diary = Diary(world)
    session = world.new("-n", "job", "--command", "--", str(diary.program))
    diary.wait_for("start")
    pid = int(str(session["pid"]))
    daemon = world.daemon_pid()
    # The daemon is held, so that the child can end while no keeper is there to see it.
    os.kill(daemon, signal.SIGSTOP)
    try:
        world.kill(world.keeper_pid())
        if when == "before":
            os.kill(pid, number)
            wait_gone([pid])
    finally:
        os.kill(daemon, signal.SIGCONT)
    wait_for_adoptions(world, session, 1)
    if when == "after":
        os.kill(pid, number)
    world.ctl("logs", "job", "-f", "--raw")

    reason = "exited" if signalled is None else "signalled"
    expected = (code, signalled, reason) if TELLS_EXITS else (None, None, "unknown")
    assert exit_of(world.shown("job")) == expected
    assert diary.starts == [pid]


def test_typing_reaches_a_child_through_its_next_keeper(world: World) -> None:
    diary = Diary(world)
    session = world.new("-n", "job", "--command", "--", str(diary.program))
    with world.attach("job") as terminal:
        terminal.wait_for("ready")
        for number in range(times(3, 20)):
            world.kill(world.keeper_pid())
            wait_for_adoptions(world, session, number + 1)
            # What is typed while no keeper is there is dropped.
            wait_for_keeper(world)
            terminal.type(f"word{number}\r")
            terminal.wait_for(f"took word{number}")
    assert diary.notes("typed") == [f"word{number}" for number in range(times(3, 20))]
    assert diary.starts == [session["pid"]]


def kill_both(world: World) -> None:
    """Daemon and keeper die together: neither can act on the other's death."""
    daemon, keeper = world.daemon_pid(), world.keeper_pid()
    os.kill(daemon, signal.SIGSTOP)
    world.kill(keeper)
    world.kill(daemon)


def test_with_both_killed_a_session_is_interrupted_and_stays_so_unless_it_is_to_be_restored(
    world: World,
) -> None:
    diary = Diary(world)
    session = world.new("-n", "job", "--command", "--", str(diary.program))
    diary.wait_for("start")
    kill_both(world)

    shown = world.shown("job")
    assert (shown["lifecycle"], shown["pid"], shown["run"]) == ("interrupted", None, session["run"])
    assert exit_of(shown) == (None, None, "unknown")
    wait_gone(diary.starts)
    # Nobody saw it end, and the record still says all that it printed.
    assert b"ready" in world.record(session)
    assert len(diary.starts) == 1


@pytest.mark.parametrize(
    ("kind", "stubborn"),
    [("command", False), ("claude", True), ("claude", False), ("command", True)][: times(2, 4)],
)
def test_with_both_killed_a_session_is_restored_after_its_old_processes_are_gone(
    world: World, kind: str, stubborn: bool
) -> None:
    diary = Diary(world, stubborn=stubborn, name=kind)
    if kind == "claude":
        world.env["PATH"] = f"{diary.program.parent}:{world.env['PATH']}"
        session = world.new("-n", "job")
    else:
        session = world.new("-n", "job", "--command", "--restore", "--", str(diary.program))
    diary.wait_for("start")
    (old,) = diary.starts
    kill_both(world)
    assert is_alive(old) or not stubborn

    world.start()
    diary.wait_for("start", 2)
    assert not is_alive(old)
    # Each life holds a lock for as long as it lasts; one that had found it taken would have said so.
    assert diary.notes("crowded") == []
    shown = world.shown("job")
    assert shown["run"] != session["run"]
    assert [old, shown["pid"]] == diary.starts
    assert shown["id"] == session["id"]
    if kind == "claude":
        assert shown["conversation"] == session["conversation"]
    world.ctl("stop", "job", "--force", "--grace", "0")


def test_a_restore_that_is_cut_off_while_old_processes_are_being_ended_is_no_second_writer(
    world: World,
) -> None:
    slow, quick = Diary(world, stubborn=True, name="slow"), Diary(world, name="quick")
    for diary in (slow, quick):
        world.new("-n", diary.program.name, "--command", "--restore", "--", str(diary.program))
        diary.wait_for("start")
    kill_both(world)

    # The quick one's new run is saved, and the project's file with it, while the slow one's old run lives.
    world.start()
    quick.wait_for("start", 2)
    assert world.shown("quick")["lifecycle"] == "active"
    assert is_alive(slow.starts[0])
    world.kill(world.daemon_pid())

    world.start()
    slow.wait_for("start", 2)
    assert slow.notes("crowded") == []
    assert not is_alive(slow.starts[0])
    assert len(quick.starts) == 2
    world.ctl("stop", "slow", "--force", "--grace", "0")


def test_helpers_of_an_old_run_are_ended_too_before_it_is_restored(world: World) -> None:
    helpers = world.home / "helpers"
    helpers.mkdir()
    script = world.home / "parent.py"
    script.write_text(
        "import fcntl, os, signal, sys\n"
        f"os.chdir({str(helpers)!r})\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        "    signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "    lock = os.open('lock', os.O_RDWR | os.O_CREAT)\n"
        "    try: fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)\n"
        "    except BlockingIOError: open('crowded', 'w').close()\n"
        "    with open('helpers', 'a') as file: file.write(f'{os.getpid()}\\n')\n"
        "    signal.pause()\n"
        "sys.stdin.read()\n"
    )

    def started(count: int) -> list[int]:
        def look() -> list[int] | None:
            path = helpers / "helpers"
            pids = [int(line) for line in path.read_text().splitlines()] if path.exists() else []
            return pids if len(pids) >= count else None

        return wait_for_file(helpers, look)

    world.new("-n", "job", "--command", "--restore", "--", sys.executable, str(script))
    (old,) = started(1)
    kill_both(world)
    assert is_alive(old)

    world.start()
    started(2)
    assert not is_alive(old)
    assert not (helpers / "crowded").exists()


def test_a_keeper_that_does_not_answer_is_shown_as_stalled_and_nobody_is_killed(world: World) -> None:
    world.configure("[daemon]\nsync_s = 0.1\n")
    session = world.run(ECHO)
    keeper = world.keeper_pid()

    os.kill(keeper, signal.SIGSTOP)
    try:
        until_keeper_is(world, "stalled")
        assert world.shown("job")["pid"] == session["pid"]
    finally:
        os.kill(keeper, signal.SIGCONT)
    until_keeper_is(world, "ok")

    assert world.keeper_pid() == keeper
    assert world.shown("job")["lifecycle"] == "active"
    world.ctl("send", "job", "--keys", "still here<Enter>")
    with world.attach("job") as terminal:
        terminal.wait_for("got still here")


def until_keeper_is(world: World, state: str) -> None:
    """Ask the daemon until it says so of its keeper. Raises TimeoutError."""
    deadline = time.monotonic() + DEADLINE_S
    while (daemon := world.ctl("status", "--json").json()["daemon"]) is not None:
        assert isinstance(daemon, dict)
        if daemon["keeper"] == state:
            return
        if time.monotonic() > deadline:
            raise TimeoutError(f"{daemon}\n{world.log()}")
