"""Many small sessions come and go, and of none anything is left: no process, descriptor, terminal or file."""

import json
import os
import stat
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.counts import times
from tests.e2e.world import Fifo, World

MANY = times(8, 50)
LOOKS = 50
"""How often the daemon is asked something before what it still holds counts as kept: it learns of a client's end
when it next has time."""

FAMILY = """
# A child, one that left the session and closed everything, and one that was forked twice.
sleep 86400 &
setsid sleep 86400 <&- >&- 2>&- &
(setsid sh -c 'sleep 86400 & wait' </dev/null >/dev/null 2>&1 &)
echo started > "$1"
exec cat
"""
FAMILY_SIZE = 5
"""cat, three that sleep, and the shell that waits for one of them."""


@pytest.fixture
def started(world: World) -> Iterator[Fifo]:
    """A line for each family that is complete."""
    fifo = Fifo(world.home / "started")
    yield fifo
    fifo.close()


def family(world: World, name: str, started: Fifo) -> dict[str, object]:
    words = ("sh", "-c", FAMILY, "sh", str(started.path))
    session = world.new("-n", name, "--command", "--", *words)
    assert started.line() == "started"
    return session


def marked(sessions: Sequence[dict[str, object]]) -> list[int]:
    """Processes whose environment carries the marker of one of the sessions' runs."""
    markers = {f"CLAUDECTL_RUN={session['run']}".encode() for session in sessions}
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            environment = path.read_bytes()
        except OSError:
            continue
        if markers.intersection(environment.split(b"\0")):
            found.append(int(path.parent.name))
    return found


def descriptors(world: World) -> Counter[str]:
    """What keeper and daemon have open, by who it is and what it is."""
    held: Counter[str] = Counter()
    for who, pid in (("keeper", world.keeper_pid()), ("daemon", world.daemon_pid())):
        for fd in Path(f"/proc/{pid}/fd").iterdir():
            try:
                what = os.readlink(fd)
            except FileNotFoundError:
                continue
            held[f"{who} {what.partition(':')[0]}"] += 1
    return held


def held_at_rest(world: World, wanted: Counter[str] | None = None) -> Counter[str]:
    """What they hold when no client is connected: as soon as it is `wanted`, or twice the same."""
    before = descriptors(world)
    for _ in range(LOOKS):
        now = descriptors(world)
        if now == (before if wanted is None else wanted):
            return now
        before = now
    return before


def sockets(world: World) -> list[str]:
    """Every socket and named pipe in the file system of this world."""
    places = (world.home, Path(world.socket).parent)
    found = (path for place in places for path in place.rglob("*"))
    return sorted(str(path) for path in found if stat.S_ISSOCK(path.lstat().st_mode))


def files_of(world: World, sessions: Sequence[dict[str, object]]) -> list[str]:
    """Paths under the state directory that are named after a session or its run."""
    ids = [str(session[key]) for session in sessions for key in ("id", "run")]
    return [str(path) for path in world.state.rglob("*") if any(id_ in path.name for id_ in ids)]


def names(world: World, *options: str) -> list[str]:
    return [line.split()[2] for line in world.ctl("ls", *options).out.splitlines()[1:]]


def test_of_many_sessions_that_were_stopped_and_removed_nothing_is_left(world: World, started: Fifo) -> None:
    first = family(world, "first", started)
    world.ctl("stop", "first")
    world.ctl("rm", "first")
    held, bound = held_at_rest(world), sockets(world)

    wanted = [f"job-{number}" for number in range(MANY)]
    sessions = [family(world, name, started) for name in wanted]

    assert names(world) == wanted
    assert len(marked(sessions)) == MANY * FAMILY_SIZE
    assert descriptors(world)["keeper /dev/ptmx"] == MANY
    assert files_of(world, sessions)

    world.ctl("stop", *wanted)

    assert marked([first, *sessions]) == []
    assert names(world) == []
    assert names(world, "-a") == wanted
    stopped = json.loads(world.ctl("ls", "-a", "--json").out)["sessions"]
    assert {(session["lifecycle"], session["problem"]) for session in stopped} == {("stopped", "")}

    world.ctl("rm", *wanted)

    assert held_at_rest(world, held) == held
    assert not [what for what in held if "/dev/p" in what]
    assert sockets(world) == bound
    assert files_of(world, [first, *sessions]) == []
    assert names(world, "-a") == []
    stored = json.loads((world.project / ".claudectl" / "sessions.json").read_text())
    assert stored["sessions"] == []


def test_terminals_are_given_back_when_children_leave_by_themselves(world: World) -> None:
    def one(number: int) -> dict[str, object]:
        session = world.new("-n", f"job-{number}", "--command", "--", "sh", "-c", "echo over")
        world.ctl("logs", "-f", f"job-{number}")
        return session

    one(0)
    held = held_at_rest(world)

    sessions = [one(number) for number in range(1, MANY)]

    assert held_at_rest(world, held) == held
    assert not [what for what in held if "/dev/p" in what]
    assert marked(sessions) == []


def test_nothing_is_left_of_sessions_that_a_leaving_daemon_stops(world: World, started: Fifo) -> None:
    sessions = [family(world, f"job-{number}", started) for number in range(3)]

    world.ctl("daemon", "stop", "--sessions")

    assert marked(sessions) == []
    assert not (world.state / "keeper.json").exists() or world.keeper_pid() not in world.processes()


def test_what_an_ended_child_left_running_goes_with_stop_and_with_rm(world: World, started: Fifo) -> None:
    sessions = [family(world, name, started) for name in ("stopped", "removed")]
    for session in sessions:
        world.ctl("send", str(session["name"]), "--keys", "<C-d>")
        world.ctl("logs", str(session["name"]), "-f")
    # `cat` has seen the end of its input, and the sleeper of its own process group was hung up with it.
    assert len(marked(sessions)) == 2 * (FAMILY_SIZE - 2)

    world.ctl("stop", "stopped")
    world.ctl("rm", "removed")

    assert marked(sessions) == []
