"""The one way a child comes to be. What is on disk before each step decides what a crash there means: until
`starting` is saved nothing has happened; from then on the same run is asked for again.
"""

import logging

import anyio
import anyio.to_thread

from claudectl_protocol.faults import KeeperUnavailable, OldRunAlive, Rejected, SpawnError
from claudectl_protocol.sessions import RunId, SessionId
from claudectld.core import effects
from claudectld.core.session import LaunchContext, Session
from claudectld.crashpoint import crashpoint
from claudectld.ports import (
    Conversations,
    EndedRun,
    KeeperGone,
    Launcher,
    LiveRun,
    Machine,
    PrivateStore,
    SpawnFailed,
    SpawnSpec,
)
from claudectld.saving import Saving
from claudectld.seat import KeeperSeat
from claudectld.termination import clear

log = logging.getLogger(__name__)

KEEPER_PATIENCE_S = 15.0
"""How long a start waits for the next keeper after it has lost one."""
CLEAR_S = 5.0
"""How long the leftovers of an old run may take to end by themselves."""


class Starter:
    """Starts runs, and knows what each session's child inherits."""

    def __init__(
        self,
        *,
        seat: KeeperSeat,
        saving: Saving,
        private: PrivateStore,
        machine: Machine,
        launcher: Launcher,
        conversations: Conversations,
    ) -> None:
        self._seat = seat
        self._saving = saving
        self._private = private
        self._machine = machine
        self._launcher = launcher
        self._conversations = conversations
        self._contexts: dict[SessionId, LaunchContext] = {}

    async def admit(self, session: Session, context: LaunchContext) -> Session:
        """Take in a session that has never been, or refuse it (Rejected) before anything is written."""
        session, context = await anyio.to_thread.run_sync(self._launcher.admit, session, context)
        self._contexts[session.id] = context
        return session

    def forget(self, session: SessionId) -> None:
        """The session will not be started again."""
        self._contexts.pop(session, None)

    async def context(self, session: SessionId) -> LaunchContext | None:
        """What the session's child inherits; None when the file is missing or cannot be read."""
        if session not in self._contexts:
            context = await anyio.to_thread.run_sync(self._private.load_context, session)
            if context is None:
                return None
            self._contexts[session] = context
        return self._contexts[session]

    async def start(self, start: effects.Start, session: Session) -> LiveRun | EndedRun:
        """Start a run, or learn what became of it if it was started before.

        Raises:
            Rejected: nothing was started (or, after KeeperUnavailable, nobody can tell).
        """
        try:
            live = await self._start(start, session)
        except Rejected:
            await anyio.to_thread.run_sync(self._conversations.release, session, start.run)
            raise
        crashpoint("new:spawned")
        if isinstance(live, LiveRun):
            await anyio.to_thread.run_sync(self._conversations.confirm, session, live.run, live.process)
            crashpoint("new:process-noted")
        return live

    async def _start(self, start: effects.Start, session: Session) -> LiveRun | EndedRun:
        context = await self.context(session.id)
        if context is None:
            raise Rejected(
                SpawnError(stage="environment", error="ENOENT", detail="its saved environment is missing")
            )
        await self._clear(session, start.old)
        await anyio.to_thread.run_sync(self._conversations.acquire, session, start.run)
        crashpoint("new:conversation-taken")
        spec = await anyio.to_thread.run_sync(self._launcher.prepare, session, context)
        if start.fresh:
            await anyio.to_thread.run_sync(self._private.save_context, session.id, context)
            crashpoint("new:context-saved")
        await self._saving.save(session.project)
        crashpoint("new:starting-saved")
        try:
            return await self._spawn(spec)
        except SpawnFailed as error:
            raise Rejected(
                SpawnError(stage=error.stage, error=error.error, path=error.path, detail=error.detail)
            ) from error
        except KeeperGone as error:
            raise Rejected(KeeperUnavailable(why=str(error))) from error

    async def _spawn(self, spec: SpawnSpec) -> LiveRun | EndedRun:
        came = self._seat.next
        try:
            return await self._seat.keeper.spawn(spec)
        except KeeperGone as error:
            # It may have been started: only a keeper can tell, so the next one is asked for the same run.
            log.warning("run=%s event=spawn_asked_again error=%s", spec.run, error)
            with anyio.move_on_after(KEEPER_PATIENCE_S):
                await came.wait()
            return await self._seat.keeper.spawn(spec)

    async def _clear(self, session: Session, old: tuple[RunId, ...]) -> None:
        """End what earlier runs have left behind: one conversation has one writer."""
        for run in await anyio.to_thread.run_sync(self._machine.marked, old):
            log.warning("session=%s run=%s event=old_run_alive", session.id, run)
            try:
                left = await clear(run, self._seat.keeper, self._machine, CLEAR_S)
            except KeeperGone as error:
                raise Rejected(KeeperUnavailable(why=str(error))) from error
            if left:
                raise Rejected(OldRunAlive(session=session.id, pids=left))
