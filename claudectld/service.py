"""One coroutine per call: from a client's words to what the supervisor is asked, and back to a reply."""

import os
import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import assert_never

import anyio
import anyio.to_thread

from claudectl_protocol import __version__, calls
from claudectl_protocol.diagnosis import Diagnosis
from claudectl_protocol.faults import (
    Denied,
    InvalidArgument,
    KeeperUnavailable,
    NotRunning,
    ProjectBusy,
    ProjectNotFound,
    Rejected,
    ShuttingDown,
    SpawnError,
    StoreFailed,
    StoreReadOnly,
    TimedOut,
)
from claudectl_protocol.sessions import (
    ConversationEntry,
    ConversationId,
    DaemonStatus,
    Lifecycle,
    ProjectInfo,
    RunId,
    SessionDetail,
    SessionId,
    SessionInfo,
    Size,
    Value,
    Wanted,
)
from claudectl_protocol.text import plain, session_table
from claudectld.attachment import Attachment, Wire
from claudectld.config import Places
from claudectld.core import names, stimuli
from claudectld.core.session import CLAUDE, LaunchContext, Run, Session
from claudectld.logs import open_log
from claudectld.ports import InputFull, KeeperGone, Machine
from claudectld.profile import profile_of
from claudectld.project import holds_sessions, project_of
from claudectld.supervisor import Supervisor
from claudectld.validity import check

DEFAULT_SIZE = Size(cols=120, rows=40)
STOPS_AT_ONCE = 8
STOP_GRACE_S = 5.0
NO_CELLS = "this daemon has no terminal emulator; see what was printed with 'claudectl logs'"
TYPING_S = 10.0
"""How long a program may leave what was typed unread before the caller is told."""


class Service:
    """Answers calls."""

    def __init__(
        self,
        supervisor: Supervisor,
        machine: Machine,
        places: Places,
        *,
        notices: tuple[str, ...],
        leave: Callable[[], None],
        diagnose: Callable[[Mapping[str, str], str], Diagnosis],
    ) -> None:
        """`leave` ends the daemon; `notices` are what it noticed before it served; `diagnose` blocks."""
        self._supervisor = supervisor
        self._machine = machine
        self._places = places
        self._notices = notices
        self._leave = leave
        self._diagnose = diagnose
        self._leaving = False
        self._started_at = machine.now()
        self._attachments: set[Attachment] = set()

    async def answer(self, call: calls.AnyCall) -> Value:
        """Do what a call asks. Cancelled, what has begun goes on as far as it has come.

        Raises:
            Rejected: it was refused; nothing has changed unless the fault says so.
        """
        if self._leaving:
            raise Rejected(ShuttingDown())
        check(call)
        here = _standpoint(call)
        if here is not None:
            await self._look_around(here)
        match call:
            case calls.New():
                return await self._new(call)
            case calls.List():
                return await self._list(call)
            case calls.Table():
                return await self._table(call)
            case calls.Show(target=target):
                return self._detail(self._resolve(target))
            case calls.Stop(target=target, force=force, grace_s=grace_s):
                return await self._stop(self._own(target), grace_s=grace_s, force=force)
            case calls.Restart(target=target, force=force, grace_s=grace_s):
                return await self._restart(self._own(target), grace_s=grace_s, force=force)
            case calls.Rename(target=target, name=name):
                session = self._own(target)
                await self._supervisor.submit(stimuli.Renamed(session=session.id, name=name))
                return self._info(session.id)
            case calls.Remove(target=target, force=force):
                return await self._remove(self._own(target), force=force)
            case calls.SendKeys(target=target, data=data, key=key):
                return await self._send_keys(self._own(target), data, key)
            case calls.Status():
                return self._status()
            case calls.ProjectAdd(path=path):
                await self._supervisor.open_project(self._directory(path))
                return self._supervisor.registry.project_info(self._directory(path))
            case calls.ProjectRemove(path=path):
                return await self._remove_project(path)
            case calls.ProjectListing():
                registry = self._supervisor.registry
                return calls.ProjectList(
                    projects=tuple(registry.project_info(project.path) for project in registry.projects())
                )
            case calls.ProjectShow(path=path):
                return self._show_project(path)
            case calls.Diagnose(cwd=cwd, env=env):
                return await anyio.to_thread.run_sync(self._diagnose, env, cwd, abandon_on_cancel=True)
            case calls.Shutdown(sessions=sessions):
                return await self._shutdown(sessions=sessions)
            case calls.UpgradeKeeper():
                return await self._supervisor.seat.upgrade()
            case calls.View():
                return await self._view(call)
            case calls.Attach() | calls.Logs():
                raise AssertionError("streams are opened by attach and logs")
            case _:
                assert_never(call)

    # -- streams -------------------------------------------------------------------------------------------------

    async def attach(self, call: calls.Attach, wire: Wire) -> tuple[calls.Attached, Attachment]:
        """Open a session's terminal. Raises Rejected."""
        check(call)
        await self._look_around(call.target.cwd)
        session = self._own(call.target)
        feed = self._supervisor.feed(session.run.id) if session.run is not None else None
        if feed is None:
            raise Rejected(NotRunning(session=session.id, name=session.name))
        attachment = Attachment(
            call,
            feed,
            wire=wire,
            terminal=self._supervisor,
            records=self._supervisor.records,
        )
        suspend_key = profile_of(session).suspend_key
        return attachment.attached(session.name, suspend_key), attachment

    async def serve(self, attachment: Attachment) -> None:
        """Keep a client attached until its session ends, the daemon leaves, or the wire breaks (and raises)."""
        self._attachments.add(attachment)
        try:
            await attachment.serve()
        finally:
            self._attachments.discard(attachment)

    async def logs(
        self, call: calls.Logs, wire: Wire
    ) -> tuple[calls.LogsStarted, Callable[[], Awaitable[None]]]:
        """Open the record of a session's run; the second value sends it. Raises Rejected."""
        check(call)
        await self._look_around(call.target.cwd)
        session = self._resolve(call.target)
        run = _run(session, call.run)
        return open_log(
            call,
            session.id,
            run,
            size=session.size,
            feed=self._supervisor.feed(run),
            records=self._supervisor.records,
            screens=self._supervisor.screens,
            wire=wire,
        )

    # -- finding -------------------------------------------------------------------------------------------------

    async def _look_around(self, cwd: str) -> None:
        project = self._project_of(cwd)
        if project is not None:
            await self._supervisor.find_project(project)

    def _project_of(self, cwd: str) -> str | None:
        return project_of(cwd, home=self._places.home)

    def _resolve(self, target: calls.Target) -> Session:
        registry = self._supervisor.registry
        project = self._project_of(target.cwd)
        return names.resolve(
            target,
            own=registry.in_project(project),
            everything=registry.visible(),
            scope=project or "no project",
        )

    def _own(self, target: calls.Target) -> Session:
        """The session that a call wants to change or enter."""
        session = self._resolve(target)
        if session.lifecycle is Lifecycle.UNAVAILABLE:
            raise Rejected(StoreReadOnly(path=session.project or "", why="copy"))
        return session

    def _info(self, session: SessionId) -> SessionInfo:
        found = self._supervisor.registry.get(session)
        if found is None:
            raise Rejected(SpawnError(stage="start", error="", detail="the session is gone"))
        return self._supervisor.registry.info(found)

    def _directory(self, path: str) -> str:
        real = os.path.realpath(path)
        try:
            real.encode()
        except UnicodeEncodeError as error:
            # A session in there could not be shown to anybody.
            raise Rejected(
                InvalidArgument(what=f"the directory '{plain(real)}'", why="is not UTF-8")
            ) from error
        return real

    # -- calls ---------------------------------------------------------------------------------------------------

    async def _new(self, call: calls.New) -> SessionInfo:
        cwd = self._directory(call.cwd)
        _check_cwd(cwd)
        if call.name is not None:
            names.check(call.name)
        project = None if call.no_project else self._project_of(cwd)
        now = self._machine.now()
        program = call.program or CLAUDE
        env = {**call.env, **{_text(name): _text(value) for name, value in call.raw_env.items()}}
        run = Run(id=RunId(str(uuid.uuid4())), boot_id=self._machine.boot_id(), started_at=now)
        conversations: tuple[ConversationEntry, ...] = ()
        if program == CLAUDE:
            conversation = ConversationId(str(uuid.uuid4()))
            conversations = (ConversationEntry(id=conversation, since=now, reason="created"),)
        session = Session(
            id=call.key,
            name=call.name or "",
            project=project,
            cwd=cwd,
            program=program,
            args=call.args,
            prompt=call.prompt,
            env_names=tuple(sorted(plain(name) for name in env)),
            restore=call.restore,
            via_npx=call.via_npx,
            size=call.size or DEFAULT_SIZE,
            wanted=Wanted.RUNNING,
            lifecycle=Lifecycle.STARTING,
            since=now,
            created_at=now,
            run=run,
            runs=(run.id,),
            conversations=conversations,
        )
        context = LaunchContext(env=env, umask=call.umask, rlimits=call.rlimits, groups=call.groups)
        created = await self._supervisor.create(session, context)
        return self._supervisor.registry.info(created)

    async def _list(self, call: calls.List) -> calls.SessionList:
        registry = self._supervisor.registry
        project = self._project_of(call.cwd)
        own = registry.visible() if call.all_projects else registry.in_project(project)
        shown = [
            session
            for session in own
            if call.stopped or session.lifecycle is not Lifecycle.STOPPED or session.wanted is Wanted.RUNNING
        ]
        notices = self._all_notices()
        if project is not None and registry.project(project) is None and holds_sessions(project):
            notices = (
                *notices,
                f"{project}: not on the list of projects; 'claudectl project add' lists it again",
            )
        return calls.SessionList(sessions=tuple(registry.info(session) for session in shown), notices=notices)

    async def _table(self, call: calls.Table) -> calls.TableText:
        listed = await self._list(
            calls.List(cwd=call.cwd, all_projects=call.all_projects, stopped=call.stopped)
        )
        if call.ids:
            text = "".join(f"{session.id}\n" for session in listed.sessions)
        else:
            text = session_table(
                listed.sessions,
                self._machine.now(),
                call.width,
                colour=call.colour,
                projects=call.all_projects,
            )
        return calls.TableText(text=text, notices=tuple(map(plain, listed.notices)))

    def _all_notices(self) -> tuple[str, ...]:
        supervisor = self._supervisor
        return (
            *self._notices,
            *supervisor.notices,
            *supervisor.seat.notices,
            *supervisor.registry.problems(),
        )

    def _detail(self, session: Session) -> SessionDetail:
        run = session.run
        process = run.process if run is not None else None
        return SessionDetail(
            info=self._supervisor.registry.info(session),
            argv=session.args,
            prompt=session.prompt,
            env_names=session.env_names,
            restore=session.restore,
            conversations=session.conversations,
            runs=session.runs,
            size=session.size,
            records=tuple(self._supervisor.records.info(session.id, run_id) for run_id in session.runs),
            boot_id=run.boot_id if run is not None else "",
            start_ticks=process.start_ticks if process is not None else None,
        )

    async def _view(self, call: calls.View) -> calls.ScreenView:
        session = self._resolve(call.target)
        run = _run(session, call.run)
        view = await self._supervisor.view(session, run, styled=call.styled)
        if view is None:
            raise Rejected(Denied(why=NO_CELLS))
        return view

    async def _stop(self, session: Session, *, grace_s: float, force: bool) -> SessionInfo:
        stopped = await self._supervisor.stop(session.id, grace_s=grace_s, force=force)
        return self._supervisor.registry.info(stopped or session)

    async def _restart(self, session: Session, *, grace_s: float, force: bool) -> SessionInfo:
        await self._supervisor.stop(session.id, grace_s=grace_s, force=force, again=True)
        await self._supervisor.start(session.id)
        return self._info(session.id)

    async def _remove(self, session: Session, *, force: bool) -> calls.Done:
        if force or not session.lifecycle.is_live:
            # Also of a session that has ended: with the record goes the way to find what it left behind.
            await self._supervisor.stop(session.id, grace_s=STOP_GRACE_S, force=False)
        await self._supervisor.submit(stimuli.Removed(session=session.id))
        if session.project in self._supervisor.registry.unsaved():
            raise Rejected(StoreFailed(path=session.project or "", error="the list could not be written"))
        return calls.Done()

    async def _send_keys(self, session: Session, data: bytes, key: str) -> calls.Done:
        if session.run is None or session.lifecycle is not Lifecycle.ACTIVE:
            raise Rejected(NotRunning(session=session.id, name=session.name))
        typed = None
        try:
            with anyio.move_on_after(TYPING_S):
                typed = await self._supervisor.type(session.run.id, f"send:{key}", data)
        except KeeperGone as error:
            raise Rejected(KeeperUnavailable(why=str(error))) from error
        except InputFull as error:
            raise Rejected(Denied(why=str(error))) from error
        except ValueError as error:
            raise Rejected(InvalidArgument(what="the keys", why=str(error))) from error
        if typed is None:
            raise Rejected(TimedOut(what="typing", timeout_s=TYPING_S))
        if not typed:
            raise Rejected(NotRunning(session=session.id, name=session.name))
        return calls.Done()

    def _status(self) -> DaemonStatus:
        supervisor = self._supervisor
        sessions = supervisor.registry.visible()
        return DaemonStatus(
            version=__version__,
            pid=os.getpid(),
            started_at=self._started_at,
            socket=self._places.socket,
            state_directory=self._places.state,
            keeper=supervisor.seat.state,
            keeper_pid=supervisor.seat.pid,
            sessions=len(sessions),
            active=sum(session.lifecycle.is_live for session in sessions),
            projects=len(supervisor.registry.projects()),
            problems=self._all_notices(),
            orphans=supervisor.orphans,
        )

    async def _remove_project(self, path: str) -> calls.Done:
        info = self._known_project(path)
        if info.active:
            raise Rejected(ProjectBusy(path=info.path, active=info.active))
        await self._supervisor.close_project(info.path)
        return calls.Done()

    def _show_project(self, path: str) -> calls.ProjectDetail:
        registry = self._supervisor.registry
        project = self._project_of(self._directory(path))
        info = self._known_project(project or path)
        return calls.ProjectDetail(
            project=info,
            sessions=tuple(registry.info(session) for session in registry.in_project(info.path)),
        )

    def _known_project(self, path: str) -> ProjectInfo:
        registry = self._supervisor.registry
        # A project whose directory is gone has no real path any more: it is known by the one it had.
        for known in (path, self._directory(path)):
            if registry.project(known) is not None:
                return registry.project_info(known)
        raise Rejected(ProjectNotFound(path=plain(path, 200)))

    async def _shutdown(self, *, sessions: bool) -> calls.Done:
        if sessions:
            limit = anyio.CapacityLimiter(STOPS_AT_ONCE)
            async with anyio.create_task_group() as stops:
                for session in self._supervisor.registry:
                    if session.lifecycle.is_live:
                        stops.start_soon(self._stop_one, session.id, limit)
        self._leaving = True
        for attachment in tuple(self._attachments):
            await attachment.dismiss()
        self._supervisor.release_keeper()
        self._leave()
        return calls.Done()

    async def _stop_one(self, session: SessionId, limit: anyio.CapacityLimiter) -> None:
        async with limit:
            await self._supervisor.stop(session, grace_s=STOP_GRACE_S, force=False)


def _standpoint(call: calls.AnyCall) -> str | None:
    """The directory from which a call looks at sessions, if it only looks."""
    match call:
        case (
            calls.Show(target=target)
            | calls.Stop(target=target)
            | calls.Restart(target=target)
            | calls.Rename(target=target)
            | calls.Remove(target=target)
            | calls.SendKeys(target=target)
            | calls.View(target=target)
        ):
            return target.cwd
        case calls.List(cwd=path) | calls.Table(cwd=path) | calls.ProjectShow(path=path):
            return path
        case _:
            return None


def _run(session: Session, wanted: RunId | None) -> RunId:
    """The run that was asked for, or the present or last one. Raises Rejected."""
    run = wanted or (session.run.id if session.run is not None else None)
    if run is None or run not in session.runs:
        raise Rejected(InvalidArgument(what="--run", why="is no run of this session"))
    return run


def _text(raw: bytes) -> str:
    # As Python itself keeps such variables, and as the keeper turns them into bytes again.
    return raw.decode("utf-8", "surrogateescape")


def _check_cwd(cwd: str) -> None:
    """Refuse a working directory that a child could not be started in. Raises Rejected(SpawnError)."""
    error = None
    if not os.path.lexists(cwd):
        error = "ENOENT"
    elif not os.path.isdir(cwd):
        error = "ENOTDIR"
    elif not os.access(cwd, os.R_OK | os.X_OK):
        error = "EACCES"
    if error is not None:
        raise Rejected(SpawnError(stage="cwd", error=error, path=cwd))
