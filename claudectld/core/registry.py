"""The only holder of session state. `apply` is the only door by which it changes, and it never awaits."""

from collections.abc import Iterator, Sequence
from typing import assert_never

from msgspec.structs import replace

from claudectl_protocol.faults import NameTaken, ProcessAlreadyRunning, Rejected, StoreReadOnly
from claudectl_protocol.sessions import (
    Activity,
    ActivityState,
    ConversationEntry,
    Exit,
    Lifecycle,
    ProjectInfo,
    RunId,
    SessionId,
    SessionInfo,
    Value,
    Wanted,
)
from claudectld.core import effects, names, stimuli
from claudectld.core.effects import Effect
from claudectld.core.endings import Ending, ending_of
from claudectld.core.session import ProcessIdentity, Session

SILENT = Activity(state=ActivityState.UNKNOWN, text="no report since start")
"""What a Claude session is doing before it has said so."""


class Project(Value):
    """A known project as it was last seen."""

    path: str
    available: bool = True
    writable: bool = True
    problem: str = ""


class _Stop(Value):
    """How a session that is stopping was asked to."""

    grace_s: float
    force: bool


class Registry:
    """Sessions, projects and what sessions are doing, changed by stimuli and answered with effects."""

    def __init__(self) -> None:
        self._sessions: dict[SessionId, Session] = {}
        self._projects: dict[str, Project] = {}
        self._copies: dict[str, tuple[Session, ...]] = {}
        """Sessions of copied projects: shown, never touched; their ids may equal those of the original."""
        self._by_run: dict[RunId, SessionId] = {}
        self._activities: dict[RunId, Activity] = {}
        self._unsaved: dict[str | None, str] = {}
        self._leftovers: dict[SessionId, tuple[int, ...]] = {}
        self._stops: dict[SessionId, _Stop] = {}

    # -- reading -------------------------------------------------------------------------------------------------

    def __iter__(self) -> Iterator[Session]:
        return iter(tuple(self._sessions.values()))

    def get(self, session: SessionId) -> Session | None:
        """The session, or None if there is none of that id."""
        return self._sessions.get(session)

    def of_run(self, run: RunId) -> Session | None:
        """The session that a run belongs to."""
        session = self._by_run.get(run)
        return None if session is None else self._sessions.get(session)

    def is_live(self, session: SessionId, run: RunId) -> bool:
        """True while a child of this run may exist."""
        found = self._sessions.get(session)
        return found is not None and found.run is not None and found.run.id == run and found.lifecycle.is_live

    def in_project(self, project: str | None) -> tuple[Session, ...]:
        """The sessions of one project, or (None) those of no project, oldest first."""
        own = [session for session in self._sessions.values() if session.project == project]
        if project is not None:
            own.extend(self._copies.get(project, ()))
        return tuple(sorted(own, key=lambda session: (session.created_at, session.id)))

    def savable(self, project: str | None) -> tuple[Session, ...]:
        """What belongs into the file of a project, or (None) into the global file."""
        return tuple(session for session in self if session.project == project)

    def visible(self) -> tuple[Session, ...]:
        """All sessions, those of copied projects included, oldest first."""
        everything = [*self._sessions.values()]
        for copies in self._copies.values():
            everything.extend(copies)
        return tuple(sorted(everything, key=lambda session: (session.created_at, session.id)))

    def projects(self) -> tuple[Project, ...]:
        """All known projects by path."""
        return tuple(self._projects[path] for path in sorted(self._projects))

    def project(self, path: str) -> Project | None:
        """The known project at `path`."""
        return self._projects.get(path)

    def project_info(self, path: str) -> ProjectInfo:
        """A known project as clients see it."""
        project = self._projects[path]
        sessions = self.in_project(path)
        return ProjectInfo(
            path=path,
            sessions=len(sessions),
            active=sum(session.lifecycle.is_live for session in sessions),
            available=project.available,
            writable=project.writable,
            problem=project.problem or self._unsaved.get(path, ""),
        )

    def info(self, session: Session) -> SessionInfo:
        """A session as clients see it."""
        activity = None
        if session.lifecycle is Lifecycle.ACTIVE and session.run is not None:
            activity = self._activities.get(session.run.id)
            if activity is None and session.is_claude:
                activity = replace(SILENT, since=session.started_at or session.since)
        return session.info(activity, self._problem(session))

    def unsaved(self) -> tuple[str | None, ...]:
        """Projects (None: the global file) whose last save failed."""
        return tuple(self._unsaved)

    def problems(self) -> tuple[str, ...]:
        """One sentence for each thing that is not as it should be."""
        found = [f"{path or 'global sessions'}: not saved: {why}" for path, why in self._unsaved.items()]
        found.extend(f"{project.path}: {project.problem}" for project in self.projects() if project.problem)
        return tuple(found)

    def expected(self) -> tuple[RunId, ...]:
        """Runs whose child should be alive now."""
        return tuple(
            session.run.id
            for session in self
            if session.run is not None and session.lifecycle in (Lifecycle.ACTIVE, Lifecycle.STOPPING)
        )

    def restorable(self) -> tuple[SessionId, ...]:
        """Sessions that are wanted and do not run, oldest first."""
        return tuple(
            session.id
            for session in sorted(self, key=lambda session: session.created_at)
            if session.wanted is Wanted.RUNNING
            and not session.lifecycle.is_live
            and (session.is_claude or session.restore)
            and self._is_writable(session.project)
        )

    def _problem(self, session: Session) -> str:
        if session.id in self._leftovers:
            pids = ", ".join(map(str, self._leftovers[session.id]))
            return f"processes it started could not be ended: {pids}"
        if session.project in self._unsaved:
            return f"not saved: {self._unsaved[session.project]}"
        if session.project is not None and session.project in self._projects:
            return self._projects[session.project].problem
        return ""

    def _is_writable(self, project: str | None) -> bool:
        if project is None:
            return True
        known = self._projects.get(project)
        return known is not None and known.available and known.writable

    def _check_writable(self, project: str | None) -> None:
        if not self._is_writable(project):
            path = project or ""
            known = self._projects.get(path, Project(path=path))
            raise Rejected(StoreReadOnly(path=path, why="read_only", detail=known.problem))

    # -- changing ------------------------------------------------------------------------------------------------

    def apply(self, stimulus: stimuli.Stimulus) -> list[Effect]:
        """Take one stimulus; return what is to be done about it.

        Raises:
            Rejected: a request that cannot be; nothing has changed.
        """
        match stimulus:
            case stimuli.ProjectSeen():
                return self._project_seen(stimulus)
            case stimuli.GlobalSeen(sessions=sessions):
                for session in sessions:
                    if session.id not in self._sessions:
                        self._put(session)
                return []
            case stimuli.ProjectDropped(path=path):
                return self._project_dropped(path)
            case stimuli.Requested():
                return self._requested(stimulus)
            case stimuli.StartWanted():
                return self._start_wanted(stimulus)
            case stimuli.Spawned():
                return self._spawned(stimulus)
            case stimuli.SpawnRefused():
                return self._spawn_refused(stimulus)
            case stimuli.StopWanted():
                return self._stop_wanted(stimulus)
            case stimuli.Exited():
                return self._exited(stimulus)
            case stimuli.Cleared():
                return self._cleared(stimulus)
            case stimuli.Renamed():
                return self._renamed(stimulus)
            case stimuli.Removed(session=session_id):
                return self._removed(session_id)
            case stimuli.Resized(session=session_id, size=size):
                session = self._sessions[session_id]
                self._put(replace(session, size=size))
                return []
            case stimuli.Reported(run=run, activity=activity):
                return self._reported(run, activity)
            case stimuli.ConversationSeen():
                return self._conversation_seen(stimulus)
            case stimuli.Compared():
                return self._compared(stimulus)
            case stimuli.SaveFailed(project=project, why=why):
                # A save that was under way when the project was moved or dropped says nothing about it now.
                if project is None or project in self._projects:
                    self._unsaved[project] = why
                return []
            case stimuli.Saved(project=project):
                self._unsaved.pop(project, None)
                known = None if project is None else self._projects.get(project)
                if known is not None and not known.writable:
                    self._projects[known.path] = Project(path=known.path)
                return []
            case _:
                assert_never(stimulus)

    def _put(self, session: Session) -> None:
        self._sessions[session.id] = session
        if session.run is not None:
            self._by_run[session.run.id] = session.id

    def _drop(self, session: Session) -> None:
        del self._sessions[session.id]
        for run in session.runs:
            self._by_run.pop(run, None)
            self._activities.pop(run, None)
        self._stops.pop(session.id, None)
        self._leftovers.pop(session.id, None)

    def _project_seen(self, seen: stimuli.ProjectSeen) -> list[Effect]:
        self._projects[seen.path] = Project(
            path=seen.path, available=seen.available, writable=seen.writable, problem=seen.problem
        )
        if not seen.writable and not seen.ours:
            self._show_copies(seen.path, seen.sessions)
            return []
        # Somebody has copied them from one file to another by hand.
        self._show_copies(seen.path, [one for one in seen.sessions if self._is_elsewhere(one, seen)])
        todo = [] if seen.moved_from is None else self._moved(seen.moved_from, seen)
        for session in seen.sessions:
            if session.id not in self._sessions:
                self._put(session)
        return todo

    def _is_elsewhere(self, session: Session, seen: stimuli.ProjectSeen) -> bool:
        known = self._sessions.get(session.id)
        return known is not None and known.project not in (seen.path, seen.moved_from)

    def _show_copies(self, project: str, sessions: Sequence[Session]) -> None:
        self._copies[project] = tuple(
            replace(session, lifecycle=Lifecycle.UNAVAILABLE) for session in sessions
        )

    def _moved(self, old: str, seen: stimuli.ProjectSeen) -> list[Effect]:
        """Take what is known of a project along to its new path: it is newer than what the files say."""
        cwds = {session.id: session.cwd for session in seen.sessions}
        known = [session for session in self if session.project == old]
        for session in known:
            self._put(replace(session, project=seen.path, cwd=cwds.get(session.id, session.cwd)))
        self._projects.pop(old, None)
        self._unsaved.pop(old, None)
        if not known:
            return []
        return [
            *(effects.Changed(session=session.id) for session in known),
            effects.Save(project=seen.path),
        ]

    def _project_dropped(self, path: str) -> list[Effect]:
        for session in self.in_project(path):
            if session.id in self._sessions:
                self._drop(session)
        self._projects.pop(path, None)
        self._copies.pop(path, None)
        self._unsaved.pop(path, None)
        return []

    def _requested(self, request: stimuli.Requested) -> list[Effect]:
        session = request.session
        if session.id in self._sessions:
            return []
        self._check_writable(session.project)
        siblings = self.in_project(session.project)
        if session.name:
            self._check_name(session.name, session)
        else:
            session = replace(session, name=names.default_name(session.program, siblings))
        self._put(session)
        assert session.run is not None
        return [
            effects.Start(session=session.id, run=session.run.id, fresh=True),
            effects.Changed(session=session.id),
        ]

    def _check_name(self, name: str, session: Session) -> None:
        names.check(name)
        for sibling in self.in_project(session.project):
            if sibling.name == name and sibling.id != session.id:
                raise Rejected(NameTaken(name=name, session=sibling.id))

    def _start_wanted(self, wanted: stimuli.StartWanted) -> list[Effect]:
        session = self._sessions[wanted.session]
        if session.lifecycle.is_live:
            raise Rejected(self._already_running(session))
        self._check_writable(session.project)
        self._leftovers.pop(session.id, None)
        self._put(
            replace(
                session,
                wanted=Wanted.RUNNING,
                lifecycle=Lifecycle.STARTING,
                since=wanted.now,
                run=wanted.run,
                runs=(*session.runs, wanted.run.id),
                exit=None,
                ended_at=None,
            )
        )
        return [
            effects.Start(session=session.id, run=wanted.run.id, old=session.runs),
            effects.Changed(session=session.id),
        ]

    def _already_running(self, session: Session) -> ProcessAlreadyRunning:
        # A pid would name a stranger's process.
        return ProcessAlreadyRunning(session=session.id, name=session.name)

    def _spawned(self, spawned: stimuli.Spawned) -> list[Effect]:
        session = self._sessions.get(spawned.session)
        if session is None or session.run is None or session.run.id != spawned.run:
            return []
        session = replace(session, run=replace(session.run, process=spawned.process))
        follow = effects.Follow(session=session.id, run=spawned.run)
        save = effects.Save(project=session.project)
        changed = effects.Changed(session=session.id)
        if session.lifecycle is Lifecycle.STARTING:
            session = replace(
                session, lifecycle=Lifecycle.ACTIVE, since=spawned.now, started_at=spawned.now, exit=None
            )
            self._put(session)
            return [follow, changed, save]
        self._put(session)
        if session.lifecycle is Lifecycle.STOPPING:
            return [follow, changed, save, self._end(session)]
        # It has ended already, before we heard that it had begun.
        return [changed, save]

    def _end(self, session: Session) -> effects.End:
        stop = self._stops.get(session.id, _Stop(grace_s=5.0, force=False))
        assert session.run is not None
        return effects.End(session=session.id, run=session.run.id, grace_s=stop.grace_s, force=stop.force)

    def _spawn_refused(self, refused: stimuli.SpawnRefused) -> list[Effect]:
        session = self._sessions.get(refused.session)
        if session is None or session.run is None or session.run.id != refused.run:
            return []
        if session.started_at is None and len(session.runs) == 1:
            # Nobody ever saw this session run: an error message is all that stays of it.
            self._drop(session)
            return [
                effects.Changed(session=session.id),
                effects.Forget(session=session.id, runs=session.runs),
                effects.Save(project=session.project, removed="the first run could not be started"),
            ]
        exit_ = Exit(reason="spawn_failed", by="claudectl", at=refused.now, text=refused.text)
        self._put(
            replace(session, lifecycle=Lifecycle.FAILED, since=refused.now, ended_at=refused.now, exit=exit_)
        )
        return [effects.Changed(session=session.id), effects.Save(project=session.project)]

    def _stop_wanted(self, stop: stimuli.StopWanted) -> list[Effect]:
        session = self._sessions[stop.session]
        wanted = Wanted.RUNNING if stop.again else Wanted.STOPPED
        changed = effects.Changed(session=session.id)
        save = effects.Save(project=session.project)
        if stop.again and not session.lifecycle.is_live:
            return []
        self._stops[session.id] = _Stop(grace_s=stop.grace_s, force=stop.force)
        starting = session.lifecycle is Lifecycle.STARTING
        session = replace(session, wanted=wanted, lifecycle=Lifecycle.STOPPING, since=stop.now)
        self._put(session)
        # A run that is still being spawned is ended as soon as the keeper has it. Of one that has ended, what it
        # left behind is ended.
        return [changed, save] if starting else [changed, save, self._end(session)]

    def _exited(self, exited: stimuli.Exited) -> list[Effect]:
        session = self.of_run(exited.run)
        if session is None:
            return []
        save = effects.Save(project=session.project)
        acknowledge = effects.Acknowledge(run=exited.run)
        current = session.run is not None and session.run.id == exited.run
        if not current or not session.lifecycle.is_live:
            return [save, acknowledge]
        ended_at = exited.exit.at if exited.exit.at is not None else exited.now
        if session.lifecycle is Lifecycle.STOPPING:
            # Cleared says when everything else that the run started has gone too.
            exit_ = session.exit or replace(exited.exit, by="claudectl")
            session = replace(session, exit=exit_, ended_at=session.ended_at or ended_at)
        else:
            ending = ending_of(exited.exit, claude=session.is_claude)
            keeps = session.is_claude or session.restore
            session = replace(
                session,
                exit=exited.exit,
                started_at=session.started_at or exited.now,
                ended_at=ended_at,
                since=exited.now,
                wanted=session.wanted if keeps and ending is not Ending.LEFT else Wanted.STOPPED,
                lifecycle=_lifecycle_after(ending),
            )
        self._put(session)
        self._activities.pop(exited.run, None)
        return [
            effects.Unfollow(run=exited.run, exit=exited.exit),
            effects.Changed(session=session.id),
            save,
            acknowledge,
        ]

    def _cleared(self, cleared: stimuli.Cleared) -> list[Effect]:
        session = self.of_run(cleared.run)
        if session is None or session.run is None or session.run.id != cleared.run:
            return []
        if session.lifecycle is not Lifecycle.STOPPING:
            return []
        self._stops.pop(session.id, None)
        if cleared.leftovers:
            self._leftovers[session.id] = cleared.leftovers
        self._put(
            replace(
                session,
                lifecycle=Lifecycle.STOPPED,
                since=cleared.now,
                ended_at=session.ended_at or cleared.now,
                exit=session.exit or Exit(reason="unknown", by="claudectl", at=cleared.now),
            )
        )
        return [effects.Changed(session=session.id), effects.Save(project=session.project)]

    def _renamed(self, renamed: stimuli.Renamed) -> list[Effect]:
        session = self._sessions[renamed.session]
        self._check_writable(session.project)
        self._check_name(renamed.name, session)
        self._put(replace(session, name=renamed.name))
        return [effects.Changed(session=session.id), effects.Save(project=session.project)]

    def _removed(self, session_id: SessionId) -> list[Effect]:
        session = self._sessions[session_id]
        if session.lifecycle.is_live:
            raise Rejected(self._already_running(session))
        self._check_writable(session.project)
        self._drop(session)
        return [
            effects.Changed(session=session.id),
            effects.Save(project=session.project, removed="rm"),
            effects.Forget(session=session.id, runs=session.runs),
        ]

    def _reported(self, run: RunId, activity: Activity) -> list[Effect]:
        session = self.of_run(run)
        if session is None or not session.lifecycle.is_live:
            return []
        known = self._activities.get(run)
        if known is not None and replace(known, since=0.0) == replace(activity, since=0.0):
            return []
        self._activities[run] = activity
        return [effects.Changed(session=session.id)]

    def _conversation_seen(self, seen: stimuli.ConversationSeen) -> list[Effect]:
        session = self.of_run(seen.run)
        if session is None or session.conversation == seen.conversation:
            return []
        entry = ConversationEntry(id=seen.conversation, since=seen.now, reason=seen.reason)
        self._put(replace(session, conversations=(*session.conversations, entry)))
        return [effects.Changed(session=session.id), effects.Save(project=session.project)]

    # -- setting right -------------------------------------------------------------------------------------------

    def _compared(self, compared: stimuli.Compared) -> list[Effect]:
        session = self._sessions.get(compared.session)
        if session is None or session.run is None:
            return []
        if compared.live is not None:
            return self._found_live(session, compared.live, compared)
        if compared.ended is not None:
            return self._found_ended(session, compared.ended, compared)
        if session.lifecycle.is_live:
            return self._found_nowhere(session, compared)
        return []

    def _found_live(
        self, session: Session, process: ProcessIdentity, compared: stimuli.Compared
    ) -> list[Effect]:
        assert session.run is not None
        run = session.run.id
        follow = effects.Follow(session=session.id, run=run)
        if session.lifecycle is Lifecycle.ACTIVE:
            return [follow]
        if session.lifecycle is Lifecycle.STARTING:
            return self._spawned(
                stimuli.Spawned(session=session.id, run=run, process=process, now=compared.now)
            )
        if not compared.at_start and not session.lifecycle.is_live and session.exit is not None:
            # It ended after the keeper had answered.
            return []
        if session.lifecycle is Lifecycle.STOPPING or session.wanted is Wanted.STOPPED:
            session = replace(session, lifecycle=Lifecycle.STOPPING)
            self._put(session)
            return [follow, self._end(session)]
        # The file says it ended, the keeper holds it: the keeper is right.
        self._put(replace(session, lifecycle=Lifecycle.ACTIVE, since=compared.now, exit=None, ended_at=None))
        return [follow, effects.Changed(session=session.id), effects.Save(project=session.project)]

    def _found_ended(self, session: Session, exit_: Exit, compared: stimuli.Compared) -> list[Effect]:
        assert session.run is not None
        stopping = session.lifecycle is Lifecycle.STOPPING
        todo = self._exited(stimuli.Exited(run=session.run.id, exit=exit_, now=compared.now))
        if stopping and compared.at_start:
            todo.append(self._end(session))
        return todo

    def _found_nowhere(self, session: Session, compared: stimuli.Compared) -> list[Effect]:
        assert session.run is not None
        same_boot = session.run.boot_id == compared.boot_id
        if session.lifecycle is Lifecycle.STARTING:
            if not compared.at_start:
                return []
            if same_boot:
                old = tuple(run for run in session.runs if run != session.run.id)
                return [effects.Start(session=session.id, run=session.run.id, old=old)]
        elif not compared.expected:
            return []
        unknown = Exit(reason="unknown", by="system", at=compared.now)
        todo = self._exited(stimuli.Exited(run=session.run.id, exit=unknown, now=compared.now))
        if session.lifecycle is Lifecycle.STOPPING and compared.at_start:
            todo.append(self._end(session))
        return todo


def _lifecycle_after(ending: Ending) -> Lifecycle:
    match ending:
        case Ending.LEFT:
            return Lifecycle.STOPPED
        case Ending.FAILED:
            return Lifecycle.FAILED
        case Ending.INTERRUPTED:
            return Lifecycle.INTERRUPTED
        case _:
            assert_never(ending)
