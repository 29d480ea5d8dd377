"""The sole writer: it applies stimuli to the registry and has the effects carried out, in order."""

import logging
import uuid
from collections.abc import Callable, Container, Sequence
from typing import assert_never

import anyio
import anyio.abc
import anyio.to_thread
from msgspec.structs import replace

from claudectl_protocol.calls import ScreenView
from claudectl_protocol.faults import AnyFault, Rejected, SpawnError
from claudectl_protocol.sessions import Activity, Exit, Lifecycle, RunId, SessionId, Size
from claudectld.background import Background
from claudectld.core import effects, stimuli
from claudectld.core.effects import Effect
from claudectld.core.registry import Registry
from claudectld.core.session import LaunchContext, Run, Session
from claudectld.crashpoint import crashpoint
from claudectld.feed import Feed
from claudectld.feeds import Feeds
from claudectld.ports import (
    Conversations,
    EndedRun,
    Grown,
    KeeperEvent,
    KeeperGone,
    KeeperLink,
    Launcher,
    LiveRun,
    Machine,
    PrivateStore,
    Records,
    Screens,
    SessionStore,
    Stored,
    StoredProject,
)
from claudectld.saving import Saving
from claudectld.seat import KeeperSeat
from claudectld.starting import Starter
from claudectld.termination import Ender

log = logging.getLogger(__name__)

RESTORES_AT_ONCE = 2
REBUILDING_S = 0.5
"""How long a daemon that starts may take to rebuild screens before it answers."""


class Supervisor:
    """Runs sessions."""

    def __init__(
        self,
        *,
        registry: Registry,
        tasks: anyio.abc.TaskGroup,
        link: KeeperLink,
        store: SessionStore,
        private: PrivateStore,
        records: Records,
        machine: Machine,
        launcher: Launcher,
        conversations: Conversations,
        screens: Screens,
    ) -> None:
        self.registry = registry
        self.records = records
        self.screens = screens
        self.notices: tuple[str, ...] = ()
        self.orphans: tuple[RunId, ...] = ()
        self.seat = KeeperSeat(link)
        self._tasks = tasks
        self._background = Background(tasks)
        self._store = store
        self._private = private
        self._machine = machine
        self._launcher = launcher
        self._conversations = conversations
        self._changes: dict[SessionId, anyio.Event] = {}
        self._opening = anyio.Lock()
        self._restores = anyio.CapacityLimiter(RESTORES_AT_ONCE)
        self._saving = Saving(store, registry.savable)
        self._starter = Starter(
            seat=self.seat,
            saving=self._saving,
            private=private,
            machine=machine,
            launcher=launcher,
            conversations=conversations,
        )
        self._ender = Ender(seat=self.seat, machine=machine, find=registry.get, exited=self._until_exited)
        self._feeds = Feeds(
            background=self._background,
            seat=self.seat,
            records=records,
            private=private,
            screens=screens,
            reported=self._reported,
        )

    # -- the life of the daemon ----------------------------------------------------------------------------------

    async def open(self) -> None:
        """Read the stores, reach the keeper, and take over what runs. Raises KeeperGone."""
        stored = await anyio.to_thread.run_sync(self._store.load)
        await self._take_in(stored)
        crashpoint("adopt:loaded")
        await self.seat.connect()
        crashpoint("adopt:connected")
        await self._compare(at_start=True)
        crashpoint("adopt:compared")
        # What the sessions do is known by then, and nobody is told that it is not; a great many go on meanwhile.
        with anyio.move_on_after(REBUILDING_S):
            await self._feeds.opened()
        # Not guarded: a daemon that cannot hear its keeper is better replaced.
        self._tasks.start_soon(self.seat.listen, self._heard, self._compare_again)

    async def _take_in(self, stored: Stored) -> None:
        self.notices = stored.notices
        for project in stored.projects:
            await self.submit(_seen(project))
        await self.submit(stimuli.GlobalSeen(sessions=stored.global_sessions))

    def restore(self, among: Container[SessionId] | None = None) -> None:
        """Start, a few at a time and in the background, every session that is wanted and does not run."""
        for session in self.registry.restorable():
            if among is None or session in among:
                self._background.go(self._restore, session)

    async def _restore(self, session: SessionId) -> None:
        async with self._restores:
            await self.start(session)

    async def reconcile(self) -> None:
        """Compare store, keeper and processes once; repair and log what differs; try failed saves again."""
        for project in self.registry.unsaved():
            await self._save_or_note(project)
        try:
            await self._compare(at_start=False)
        except KeeperGone as error:
            log.warning("event=reconcile_skipped error=%s", error)
        await self._read_conversations()

    async def _compare(self, *, at_start: bool, among: Container[SessionId] | None = None) -> None:
        expected = self.registry.expected()
        hello = await self.seat.hello()
        self._feeds.seen(hello.live, hello.ended)
        live = {run.run: run for run in hello.live}
        ended = {run.run: run for run in hello.ended}
        known = {session.run.id for session in self.registry if session.run is not None}
        self.orphans = tuple(sorted({*live, *ended} - known))
        now, boot_id = self._machine.now(), self._machine.boot_id()
        # All are applied before anything is done about one: the keeper's answer grows old with every wait.
        todo = []
        for session in self.registry:
            if session.run is None or (among is not None and session.id not in among):
                continue
            run_id = session.run.id
            compared = stimuli.Compared(
                session=session.id,
                boot_id=boot_id,
                expected=run_id in expected,
                live=live[run_id].process if run_id in live else None,
                ended=ended[run_id].exit if run_id in ended else self._recorded_exit(session),
                now=now,
                at_start=at_start,
            )
            todo.append(self.registry.apply(compared))
        for each in todo:
            # A start may take long and may fail; whoever else was found is not to wait for it.
            for start in each:
                if isinstance(start, effects.Start):
                    self._background.go(self._start, start)
            await self._perform([effect for effect in each if not isinstance(effect, effects.Start)])

    def _recorded_exit(self, session: Session) -> Exit | None:
        if session.run is None or not session.lifecycle.is_live:
            return None
        return self.records.exit(session.id, session.run.id)

    async def _compare_again(self) -> None:
        await self._compare(at_start=False)
        await self._feeds.watch()

    def _heard(self, event: KeeperEvent) -> None:
        match event:
            case Grown(run=run, size_bytes=size_bytes):
                self._feeds.grown(run, size_bytes)
            case EndedRun():
                self._feeds.ended(event)
                self._background.go(self._exited, event.run, event.exit)

    async def _read_conversations(self) -> None:
        for session in self.registry:
            if not session.is_claude or session.run is None or not session.lifecycle.is_live:
                continue
            context = await self._starter.context(session.id)
            if context is None:
                continue
            conversation = await anyio.to_thread.run_sync(self._launcher.conversation, session, context)
            if conversation is not None:
                await self.submit(
                    stimuli.ConversationSeen(
                        run=session.run.id,
                        conversation=conversation,
                        reason="clear",
                        now=self._machine.now(),
                    )
                )

    async def _exited(self, run: RunId, exit_: Exit) -> None:
        await self.submit(stimuli.Exited(run=run, exit=exit_, now=self._machine.now()))

    # -- what can be asked ---------------------------------------------------------------------------------------

    async def create(self, session: Session, context: LaunchContext) -> Session:
        """Start a session that has never been. Returns when its child has been exec'ed.

        Raises:
            Rejected: nothing was started, and nothing of it stays.
        """
        if self.registry.get(session.id) is None:
            session = await self._starter.admit(session, context)
            try:
                if session.project is not None:
                    await self.open_project(session.project)
                await self.submit(stimuli.Requested(session=session))
            finally:
                if self.registry.get(session.id) is None:
                    self._starter.forget(session.id)
        created = await self.until(session.id, _is_settled)
        if created is None:
            raise Rejected(SpawnError(stage="start", error="", detail="the session is gone"))
        return created

    async def start(self, session: SessionId) -> None:
        """Start a new run of a session that does not run. Raises Rejected."""
        now = self._machine.now()
        run = Run(id=RunId(str(uuid.uuid4())), boot_id=self._machine.boot_id(), started_at=now)
        await self.submit(stimuli.StartWanted(session=session, run=run, now=now))

    async def stop(
        self, session: SessionId, *, grace_s: float, force: bool, again: bool = False
    ) -> Session | None:
        """End a session and all it started; returns when nothing of it is left (or cannot be ended)."""
        await self.submit(
            stimuli.StopWanted(
                session=session, grace_s=grace_s, force=force, again=again, now=self._machine.now()
            )
        )
        return await self.until(session, lambda now: now is None or not now.lifecycle.is_live)

    def release_keeper(self) -> None:
        """Let the keeper leave if it has nothing to keep."""
        if not self.orphans and not any(session.lifecycle.is_live for session in self.registry):
            self.seat.release()

    async def open_project(self, path: str) -> None:
        """Make a directory a known project. Raises Rejected."""
        async with self._opening:
            if not self._is_open(path):
                await self._take_project(await anyio.to_thread.run_sync(self._store.open_project, path))

    async def find_project(self, path: str) -> None:
        """Look at a directory that somebody stands in: a project that was moved there is followed, the sessions of
        a copy can be seen. Nothing is made."""
        if self._is_open(path):
            return
        async with self._opening:
            if self._is_open(path):
                return
            try:
                found = await anyio.to_thread.run_sync(self._store.find_project, path)
            except Rejected as error:
                log.warning("project=%s event=project_not_followed fault=%r", path, error.fault)
                return
            if found is not None:
                await self._take_project(found)

    def _is_open(self, path: str) -> bool:
        known = self.registry.project(path)
        return known is not None and known.available and known.writable

    async def _take_project(self, project: StoredProject) -> None:
        """Take in a project that was not known at the start, and with it what runs or should run."""
        before = {session.id for session in self.registry}
        if project.moved_from is not None:
            log.info("project=%s event=project_moved from=%s", project.path, project.moved_from)
            self.notices = (*self.notices, f"{project.path}: moved here from {project.moved_from}")
        await self.submit(_seen(project))
        fresh = frozenset(session.id for session in self.registry if session.id not in before)
        if not fresh:
            return
        try:
            await self._compare(at_start=True, among=fresh)
        except KeeperGone as error:
            log.warning("project=%s event=compare_skipped error=%s", project.path, error)
            return
        self.restore(among=fresh)

    async def close_project(self, path: str) -> None:
        """Take a project off the list. Raises Rejected."""
        await anyio.to_thread.run_sync(self._store.close_project, path)
        await self.submit(stimuli.ProjectDropped(path=path))

    async def type(self, run: RunId, batch: str, data: bytes) -> bool:
        """Type into a run's terminal. Raises KeeperGone."""
        return await self.seat.keeper.type(run, batch, data)

    async def resize(self, feed: Feed, size: Size) -> None:
        """Give a run's terminal another size; while no keeper answers, nothing happens."""
        try:
            await self.seat.keeper.resize(feed.run, size)
        except KeeperGone:
            return
        await feed.opened()
        feed.resized(size)
        await self.submit(stimuli.Resized(session=feed.session, size=size))

    def feed(self, run: RunId) -> Feed | None:
        """The feed of a live run."""
        return self._feeds.get(run)

    async def view(self, session: Session, run: RunId, *, styled: bool) -> ScreenView | None:
        """What a run's terminal shows, or showed at its end; None when its screen has no cells."""
        feed = self._feeds.get(run) or await self._feeds.past(session, run)
        await feed.opened()
        cells = feed.screen.cells
        if cells is None:
            return None
        return ScreenView(
            session=session.id,
            run=run,
            size=feed.size,
            rows=cells.rows(styled=styled),
            offset=feed.offset,
            live=feed.exit is None,
        )

    async def settled(self) -> None:
        """Wait until what has been decided is on disk."""
        await self._saving.settled()

    async def until(self, session: SessionId, condition: Callable[[Session | None], bool]) -> Session | None:
        """Wait until the session (None once it is gone) meets the condition, and return it."""
        while True:
            now = self.registry.get(session)
            if condition(now):
                return now
            await self._changes.setdefault(session, anyio.Event()).wait()

    # -- effects -------------------------------------------------------------------------------------------------

    async def submit(self, stimulus: stimuli.Stimulus) -> None:
        """Apply a stimulus and carry out what follows from it.

        Raises:
            Rejected: the registry refused, or a start failed.
        """
        await self._perform(self.registry.apply(stimulus))

    async def _perform(self, todo: Sequence[Effect]) -> None:
        saved = True
        for effect in todo:
            match effect:
                case effects.Save(project=project, removed=removed):
                    saved = await self._save_or_note(project, removed)
                case effects.Acknowledge() | effects.Forget() if not saved:
                    # What is not on disk here stays where it is on disk; everything else goes on.
                    continue
                case effects.Start():
                    await self._start(effect)
                case effects.End():
                    self._background.go(self._end, effect)
                case effects.Follow(session=session, run=run):
                    self._follow(session, run)
                case effects.Unfollow(run=run, exit=exit_):
                    self._feeds.finish(run, exit_)
                case effects.Acknowledge(run=run):
                    await self._acknowledge(run)
                case effects.Forget(session=session, runs=runs):
                    await self._forget(session, runs)
                case effects.Changed(session=session):
                    changed = self._changes.pop(session, None)
                    if changed is not None:
                        changed.set()
                case _:
                    assert_never(effect)

    async def _save_or_note(self, project: str | None, removed: str = "") -> bool:
        try:
            await self._saving.save(project, removed)
        except Rejected as error:
            log.error("project=%s event=save_failed fault=%r", project, error.fault)
            await self.submit(stimuli.SaveFailed(project=project, why=_why(error.fault)))
            return False
        if project in self.registry.unsaved():
            await self.submit(stimuli.Saved(project=project))
        return True

    async def _start(self, start: effects.Start) -> None:
        session = self.registry.get(start.session)
        assert session is not None
        try:
            live = await self._starter.start(start, session)
        except Rejected as error:
            log.warning("session=%s run=%s event=start_refused fault=%r", session.id, start.run, error.fault)
            await self.submit(
                stimuli.SpawnRefused(
                    session=session.id,
                    run=start.run,
                    fault=error.fault,
                    text=_why(error.fault),
                    now=self._machine.now(),
                )
            )
            raise
        if isinstance(live, LiveRun):
            log.info("session=%s run=%s event=spawned pid=%d", session.id, start.run, live.process.pid)
            self._feeds.spawned(live.run)
            await self.submit(
                stimuli.Spawned(
                    session=session.id, run=live.run, process=live.process, now=self._machine.now()
                )
            )
            crashpoint("new:active-saved")
        else:
            await self._exited(live.run, live.exit)

    def _follow(self, session_id: SessionId, run: RunId) -> None:
        session = self.registry.get(session_id)
        if session is not None:
            self._feeds.follow(session, run)

    def _reported(self, run: RunId, activity: Activity) -> None:
        stamped = replace(activity, since=self._machine.now())
        self._background.go(self.submit, stimuli.Reported(run=run, activity=stamped))

    async def _end(self, end: effects.End) -> None:
        leftovers = await self._ender.end(end)
        if leftovers is not None:
            await self.submit(stimuli.Cleared(run=end.run, leftovers=leftovers, now=self._machine.now()))

    async def _until_exited(self, session: SessionId) -> object:
        return await self.until(
            session, lambda now: now is None or now.exit is not None or not now.lifecycle.is_live
        )

    async def _acknowledge(self, run: RunId) -> None:
        crashpoint("exit:saved")
        session = self.registry.of_run(run)
        if session is not None:
            await anyio.to_thread.run_sync(self._conversations.release, session, run)
        try:
            await self.seat.keeper.acknowledge(run)
        except KeeperGone:
            log.info("run=%s event=acknowledge_later", run)

    async def _forget(self, session: SessionId, runs: tuple[RunId, ...]) -> None:
        self._starter.forget(session)
        try:
            for run in runs:
                await self.seat.keeper.forget(session, run)
        except KeeperGone as error:
            log.warning("session=%s event=forget_incomplete error=%s", session, error)
        await anyio.to_thread.run_sync(self._private.remove, session, runs)


def _is_settled(session: Session | None) -> bool:
    return session is None or session.lifecycle is not Lifecycle.STARTING


def _seen(project: StoredProject) -> stimuli.ProjectSeen:
    return stimuli.ProjectSeen(
        path=project.path,
        sessions=project.sessions,
        available=project.available,
        writable=project.writable,
        problem=project.problem,
        moved_from=project.moved_from,
        ours=project.ours,
    )


def _why(fault: AnyFault) -> str:
    """A fault in the few words that fit into a session's record; the sentence is the client's business."""
    fields = ((name, getattr(fault, name)) for name in fault.__struct_fields__)
    told = " ".join(f"{name}={value}" for name, value in fields if value not in ("", None, ()))
    return f"{type(fault).__name__}: {told}".rstrip(": ")
