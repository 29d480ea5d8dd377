"""Ending runs, on a pretended machine and in a time that leaps instead of passing."""

import asyncio
import selectors
from collections.abc import Mapping, Sequence
from signal import SIGCONT, SIGHUP, SIGKILL, SIGTERM

import anyio
import anyio.lowlevel
import pytest

from claudectl_protocol.sessions import RunId, Size
from claudectld.core.session import ProcessIdentity
from claudectld.termination import SETTLE_S, Plan, clear, terminate

pytestmark = pytest.mark.anyio

RUN = RunId("6b8b4567-0000-4000-8000-000000000002")
MAIN = 100
CLAUDE_S = 10.0


class LeapingSelector(selectors.DefaultSelector):
    """Where a loop would wait for a timer, the time is over at once."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Without a timer it waits as ever: a thread is at work."""
        ready = super().select(None if timeout is None else 0)
        if not ready and timeout is not None:
            self.now_s += timeout
        return ready


class LeapingLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock starts at 0 and only leaps."""

    def __init__(self) -> None:
        self._leaping = LeapingSelector()
        super().__init__(self._leaping)

    def time(self) -> float:
        """Seconds since the loop was made."""
        return self._leaping.now_s


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, type[LeapingLoop]]]:
    return "asyncio", {"loop_factory": LeapingLoop}


class Pretence:
    """A keeper and a machine with one run: which of its processes ends at which signal, and what was sent when."""

    def __init__(self, ends_at: Mapping[int, set[int]]) -> None:
        """`ends_at` maps the run's pids to the signals that end them; `MAIN` is its main process."""
        self._ends_at = dict(ends_at)
        self.sent: list[tuple[float, int, int]] = []
        """(when in seconds, pid, signal), in order."""
        self.waits: list[float] = []
        self.alive = set(ends_at)
        self.born: Mapping[int, set[int]] = {}
        """Processes that come into being at the first SIGKILL."""
        self.main_ended = anyio.Event()

    async def signal(self, run: RunId, signal: int) -> None:
        assert run == RUN
        # The real one waits for the keeper's answer.
        await anyio.lowlevel.checkpoint()
        if MAIN in self.alive:
            self._send(MAIN, signal)

    async def end(self, run: RunId, signal: int) -> tuple[int, ...]:
        assert run == RUN
        await anyio.lowlevel.checkpoint()
        found = tuple(sorted(self.alive))
        for pid in found if signal else ():
            self._send(pid, signal)
        if signal == SIGKILL:
            self._ends_at |= self.born
            self.alive |= set(self.born)
            self.born = {}
        return found

    def _send(self, pid: int, signal: int) -> None:
        self.sent.append((anyio.current_time(), pid, signal))
        if signal in self._ends_at[pid]:
            self.leave(pid)

    def leave(self, pid: int) -> None:
        """A process ends."""
        self.alive.discard(pid)
        if pid == MAIN:
            self.main_ended.set()

    async def exited(self) -> None:
        await self.main_ended.wait()

    def wait_gone(self, pids: tuple[int, ...], timeout_s: float) -> bool:
        self.waits.append(timeout_s)
        return not self.alive & set(pids)

    async def type(self, run: RunId, batch: str, data: bytes) -> bool:
        raise AssertionError(f"nothing is typed: {run} {batch} {data!r}")

    async def resize(self, run: RunId, size: Size) -> None:
        raise AssertionError(f"nothing is resized: {run} {size}")

    async def watch(self, run: RunId, size_bytes: int) -> None:
        raise AssertionError(f"nothing is watched: {run} {size_bytes}")

    def now(self) -> float:
        raise AssertionError("the clock is the loop's")

    def boot_id(self) -> str:
        raise AssertionError("no boot matters")

    def is_alive(self, process: ProcessIdentity) -> bool:
        raise AssertionError(f"only the keeper knows {process}")

    def marked(self, runs: Sequence[RunId]) -> tuple[RunId, ...]:
        raise AssertionError(f"only the keeper knows {runs}")


async def _terminate(
    pretence: Pretence,
    *signals: int,
    grace_s: float = 5.0,
    spare_s: float = 0.0,
    age_s: float = 0.0,
) -> tuple[int, ...]:
    """`age_s` is how old the main process is at the beginning."""
    plan = Plan(signals=signals, grace_s=grace_s, spare_s=spare_s)
    return await terminate(
        RUN, plan, lambda: age_s + anyio.current_time(), pretence, pretence, pretence.exited
    )


async def test_a_process_that_leaves_when_asked_hears_nothing_else() -> None:
    pretence = Pretence({MAIN: {SIGTERM}})
    assert await _terminate(pretence, SIGTERM) == ()
    assert pretence.sent == [(0.0, MAIN, SIGTERM)]
    assert pretence.waits == []


async def test_a_deaf_process_is_killed_when_the_grace_is_over() -> None:
    pretence = Pretence({MAIN: {SIGKILL}})
    assert await _terminate(pretence, SIGTERM, grace_s=3.0) == ()
    assert pretence.sent == [(0.0, MAIN, SIGTERM), (pytest.approx(3.0), MAIN, SIGKILL)]


async def test_without_any_grace_everything_is_still_asked_first() -> None:
    pretence = Pretence({MAIN: {SIGKILL}})
    assert await _terminate(pretence, SIGHUP, SIGTERM, SIGCONT, grace_s=0.0) == ()
    assert [signal for _, _, signal in pretence.sent] == [SIGHUP, SIGTERM, SIGCONT, SIGKILL]


@pytest.mark.parametrize(("age_s", "killed_at_s"), [(0.0, 10.0), (6.5, 3.5), (9.0, 2.0), (60.0, 2.0)])
async def test_a_young_claude_is_not_killed_before_it_is_old_enough(age_s: float, killed_at_s: float) -> None:
    pretence = Pretence({MAIN: {SIGKILL}})
    assert await _terminate(pretence, SIGTERM, grace_s=2.0, spare_s=CLAUDE_S, age_s=age_s) == ()
    assert pretence.sent == [(0.0, MAIN, SIGTERM), (pytest.approx(killed_at_s), MAIN, SIGKILL)]


async def test_a_young_claude_that_leaves_late_is_never_killed() -> None:
    pretence = Pretence({MAIN: {SIGKILL}})

    async def leave_late() -> None:
        await anyio.sleep(7.0)
        pretence.leave(MAIN)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(leave_late)
        assert await _terminate(pretence, SIGTERM, grace_s=0.0, spare_s=CLAUDE_S) == ()
    assert pretence.sent == [(0.0, MAIN, SIGTERM)]


async def test_what_the_main_process_left_behind_is_ended_too() -> None:
    pretence = Pretence({MAIN: {SIGTERM}, 101: {SIGTERM}, 102: {SIGKILL}})
    assert await _terminate(pretence, SIGTERM, grace_s=4.0) == ()
    assert [(pid, signal) for _, pid, signal in pretence.sent] == [
        (MAIN, SIGTERM),
        (101, SIGTERM),
        (102, SIGTERM),
        (102, SIGKILL),
    ]
    assert pretence.waits == [4.0, SETTLE_S]


async def test_what_was_born_while_it_was_killed_is_killed_too() -> None:
    pretence = Pretence({101: {SIGKILL}, 102: set()})
    pretence.born = {103: {SIGKILL}}
    assert await clear(RUN, pretence, pretence, 1.0) == (102,)
    assert (103, SIGKILL) in [(pid, signal) for _, pid, signal in pretence.sent]


async def test_what_cannot_be_ended_is_named() -> None:
    pretence = Pretence({MAIN: set(), 101: {SIGTERM}})
    assert await _terminate(pretence, SIGTERM, grace_s=1.0) == (MAIN,)
    assert pretence.sent[:2] == [(0.0, MAIN, SIGTERM), (pytest.approx(1.0), MAIN, SIGKILL)]
