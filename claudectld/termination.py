"""Ending a run and everything it started: ask first, force later, look again, and say what is left."""

import logging
from collections.abc import Awaitable, Callable
from signal import SIGKILL, SIGTERM

import anyio
import anyio.to_thread

from claudectl_protocol.sessions import RunId, SessionId, Value
from claudectld.core import effects
from claudectld.core.session import Session
from claudectld.ports import KeeperGone, KeeperTerminal, Machine
from claudectld.profile import profile_of
from claudectld.seat import KeeperSeat

log = logging.getLogger(__name__)

SETTLE_S = 2.0
"""How long killed processes may take to go."""


class Plan(Value):
    """How a run is to be ended. `signals` are sent to its main process first; `spare_s` is how long it must have
    lived before it may be killed (Claude counts an early kill as a failed start of its full-screen mode)."""

    signals: tuple[int, ...]
    grace_s: float
    spare_s: float


class Ender:
    """Ends runs, each at most once at a time: a later order takes the place of an earlier one."""

    def __init__(
        self,
        *,
        seat: KeeperSeat,
        machine: Machine,
        find: Callable[[SessionId], Session | None],
        exited: Callable[[SessionId], Awaitable[object]],
    ) -> None:
        """`find` knows the session as it is now; `exited` waits until its main process has ended."""
        self._seat = seat
        self._machine = machine
        self._find = find
        self._exited = exited
        self._scopes: dict[RunId, anyio.CancelScope] = {}

    async def end(self, end: effects.End) -> tuple[int, ...] | None:
        """Return the pids that could not be ended, or None if another order has taken over."""
        session = self._find(end.session)
        if session is None:
            return None
        previous = self._scopes.get(end.run)
        if previous is not None:
            previous.cancel()
        with anyio.CancelScope() as scope:
            self._scopes[end.run] = scope
            leftovers = await self._terminate(end, session)
            del self._scopes[end.run]
            return leftovers
        return None

    async def _terminate(self, end: effects.End, session: Session) -> tuple[int, ...]:
        profile = profile_of(session)
        plan = Plan(
            signals=profile.stop_signals,
            grace_s=end.grace_s,
            spare_s=0.0 if end.force else profile.young_s,
        )
        while True:
            came = self._seat.next
            try:
                return await terminate(
                    end.run,
                    plan,
                    lambda: self._age_s(end.session),
                    self._seat.keeper,
                    self._machine,
                    lambda: self._exited(end.session),
                )
            except KeeperGone as error:
                log.warning("run=%s event=end_delayed error=%s", end.run, error)
                await came.wait()

    def _age_s(self, session_id: SessionId) -> float:
        session = self._find(session_id)
        started_at = session.started_at if session is not None else None
        return self._machine.now() - (started_at or 0.0)


async def terminate(
    run: RunId,
    plan: Plan,
    age_s: Callable[[], float],
    keeper: KeeperTerminal,
    machine: Machine,
    exited: Callable[[], Awaitable[object]],
) -> tuple[int, ...]:
    """End a run's main process, then whatever else carries its marker.

    Args:
        run: the run.
        plan: signals and patience.
        age_s: how long the main process has lived.
        keeper: sends the signals; it alone knows what it has not reaped.
        machine: waits for processes.
        exited: waits until the main process has ended (returns at once if it has).

    Returns:
        The pids that could not be ended. Cancelled, it leaves alive what is alive.

    Raises:
        KeeperGone: the keeper went away on the way; what was sent was sent.
    """
    # Asking is no part of the grace: without any it must not end before all was asked.
    for signal in plan.signals:
        await keeper.signal(run, signal)
    with anyio.move_on_after(plan.grace_s) as patience:
        await exited()
    if patience.cancelled_caught:
        young_s = plan.spare_s - age_s()
        with anyio.move_on_after(max(0.0, young_s)) as mercy:
            await exited()
        if mercy.cancelled_caught:
            await keeper.signal(run, SIGKILL)
            with anyio.move_on_after(SETTLE_S):
                await exited()
    return await clear(run, keeper, machine, plan.grace_s)


async def clear(run: RunId, keeper: KeeperTerminal, machine: Machine, grace_s: float) -> tuple[int, ...]:
    """End everything that carries a run's marker; return the pids that would not go.

    Killing comes in two volleys, because a process may have forked between the look and the signal.
    """
    left = await keeper.end(run, SIGTERM)
    if left and not await _gone(machine, left, grace_s):
        for _ in range(2):
            left = await keeper.end(run, SIGKILL)
            if not left or await _gone(machine, left, SETTLE_S):
                break
    return await keeper.end(run, 0)


async def _gone(machine: Machine, pids: tuple[int, ...], timeout_s: float) -> bool:
    return await anyio.to_thread.run_sync(machine.wait_gone, pids, timeout_s)
