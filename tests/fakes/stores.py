"""Stores in memory, with failures on order. They pass the same contract tests as the files do."""

from collections.abc import Sequence

import msgspec

from claudectl_protocol.faults import AnyFault, Rejected, StoreFailed, StoreReadOnly
from claudectl_protocol.sessions import RunId, SessionId
from claudectld.core.session import LaunchContext, Session
from claudectld.ports import Stored, StoredProject


class MemorySessionStore:
    """Projects by path. `failures` maps a path ("" for the global file) to what writing there raises;
    `saves` lists what was written, as (path or "", ids, reason)."""

    def __init__(
        self, projects: Sequence[StoredProject] = (), global_sessions: Sequence[Session] = ()
    ) -> None:
        self.files = {project.path: project for project in projects}
        self.listed = set(self.files)
        self.global_sessions = tuple(global_sessions)
        self.notices: tuple[str, ...] = ()
        self.failures: dict[str, AnyFault] = {}
        self.saves: list[tuple[str, tuple[SessionId, ...], str]] = []

    def load(self) -> Stored:
        return Stored(
            projects=tuple(self.files[path] for path in sorted(self.listed)),
            global_sessions=self.global_sessions,
            notices=self.notices,
        )

    def open_project(self, path: str) -> StoredProject:
        self._fail(path)
        self.listed.add(path)
        return self.files.setdefault(path, StoredProject(path=path))

    def find_project(self, path: str) -> StoredProject | None:
        found = self.files.get(path)
        return found if found is not None and (path in self.listed or not found.writable) else None

    def save_project(self, path: str, sessions: Sequence[Session], *, removed: str = "") -> None:
        self._fail(path)
        if path not in self.files or not self.files[path].available:
            raise Rejected(StoreFailed(path=path, error="ENOENT"))
        project = self.files[path]
        if not project.writable:
            raise Rejected(StoreReadOnly(path=path, why="copy", detail=project.problem))
        _check(project.sessions, sessions, removed)
        own = tuple(msgspec.structs.replace(session, project=path) for session in sessions)
        self.files[path] = msgspec.structs.replace(project, sessions=own)
        self.saves.append((path, tuple(session.id for session in sessions), removed))

    def save_global(self, sessions: Sequence[Session], *, removed: str = "") -> None:
        self._fail("")
        _check(self.global_sessions, sessions, removed)
        self.global_sessions = tuple(msgspec.structs.replace(session, project=None) for session in sessions)
        self.saves.append(("", tuple(session.id for session in sessions), removed))

    def close_project(self, path: str) -> None:
        self._fail("")
        self.listed.discard(path)

    def _fail(self, path: str) -> None:
        if path in self.failures:
            raise Rejected(self.failures[path])


class MemoryPrivateStore:
    """Contexts and checkpoints. `failure`, while set, is what every write raises."""

    def __init__(self) -> None:
        self.contexts: dict[SessionId, LaunchContext] = {}
        self.checkpoints: dict[RunId, tuple[int, bytes]] = {}
        self.failure: AnyFault | None = None

    def save_context(self, session: SessionId, context: LaunchContext) -> None:
        self._fail()
        self.contexts[session] = context

    def load_context(self, session: SessionId) -> LaunchContext | None:
        return self.contexts.get(session)

    def save_checkpoint(self, run: RunId, offset: int, data: bytes) -> None:
        self._fail()
        self.checkpoints[run] = (offset, data)

    def load_checkpoint(self, run: RunId) -> tuple[int, bytes] | None:
        return self.checkpoints.get(run)

    def remove(self, session: SessionId, runs: Sequence[RunId]) -> None:
        self._fail()
        self.contexts.pop(session, None)
        for run in runs:
            self.checkpoints.pop(run, None)

    def _fail(self) -> None:
        if self.failure is not None:
            raise Rejected(self.failure)


def _check(before: Sequence[Session], after: Sequence[Session], removed: str) -> None:
    ids = [session.id for session in after]
    if len(set(ids)) != len(ids):
        raise ValueError("a session is in the list twice")
    gone = {session.id for session in before}.difference(ids)
    if gone and not removed:
        raise ValueError(f"sessions are missing without a reason: {sorted(gone)}")
