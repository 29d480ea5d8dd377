"""Moving what an earlier claudectl kept in one file for all to where it belongs: to the projects.

Each session is in a project's file before it leaves the old one, and has the same id at every attempt: a death in
between costs only the repetition.
"""

import os
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from claudectl_protocol.faults import AnyFault, ProjectUnwritable, Rejected, StoreFailed, StoreReadOnly
from claudectl_protocol.sessions import SessionId
from claudectl_protocol.text import plain
from claudectld.core.session import LaunchContext, Session
from claudectld.ports import PrivateStore
from claudectld.stores.global_file import GlobalFile, Left
from claudectld.stores.legacy import Older


class Heritage(NamedTuple):
    """What sessions of an earlier version get that their file did not say.

    Args:
        home: $HOME, where a session ran that names no directory.
        env: what a child inherits beside the variables that stood with its session: they had no client of ours.
        private: keeps that for each session.
        project_of: the project of a directory, or None.
    """

    home: str
    env: Mapping[str, str]
    private: PrivateStore
    project_of: Callable[[str], str | None]


class Moved(NamedTuple):
    """What came of an attempt: which projects are waited for, and what people should know."""

    waiting: frozenset[str] = frozenset()
    notices: tuple[str, ...] = ()


class Migration:
    """Moves what can be moved.

    Args:
        file: the file for all.
        place: opens a project and puts sessions to those it has; raises Rejected.
    """

    def __init__(
        self, file: GlobalFile, heritage: Heritage, place: Callable[[str, Sequence[Session]], None]
    ) -> None:
        self._file = file
        self._heritage = heritage
        self._place = place

    def run(self, only: str | None = None) -> Moved:
        """Move everything, or what belongs to the project `only`. Never raises for what cannot be moved yet."""
        left = self._file.left(self._heritage.home)
        targets = self._targets(left)
        if only is not None:
            targets = {path: target for path, target in targets.items() if path == only}
        if not targets:
            return Moved(notices=left.notices)
        try:
            self._file.check_writable()
        except Rejected as error:
            why = f"what an older version left cannot be moved: {_sentence(error.fault)}"
            return Moved(frozenset(filter(None, targets)), (*left.notices, self._notice(why)))
        moved: list[SessionId] = []
        own: list[Session] = []
        waiting: dict[str, str] = {}
        for path, target in targets.items():
            try:
                own += self._move(path, target, left.closed)
            except Rejected as error:
                waiting[path or ""] = _sentence(error.fault)
            else:
                moved += [older.session.id for older in target.sessions]
        return Moved(
            frozenset(waiting),
            (
                *left.notices,
                *self._settled(moved, own),
                *(
                    self._notice(
                        f"{_sessions(targets[path].sessions)} of an older version for {path} kept here for now: {why}"
                    )
                    for path, why in waiting.items()
                    if targets[path].sessions
                ),
            ),
        )

    def _targets(self, left: Left) -> dict[str | None, "_Target"]:
        """What is to be moved, by the project's directory as the system calls it; None for sessions of no project."""
        targets: defaultdict[str | None, _Target] = defaultdict(lambda: _Target([], []))
        for path in left.unopened:
            targets[self._real(path)].listed.append(path)
        for older in left.sessions:
            belongs = older.project
            project = self._heritage.project_of(older.session.cwd) if belongs is None else self._real(belongs)
            targets[project].sessions.append(older)
        return dict(targets)

    def _real(self, path: str) -> str | None:
        """The project that an earlier version had at a path; None where this version has none."""
        return None if self._heritage.project_of(path) is None else os.path.realpath(path)

    def _move(self, path: str | None, target: "_Target", closed: frozenset[str]) -> list[Session]:
        """Put sessions into a project's file; those of no project are given back. Raises Rejected."""
        if path in closed:
            raise Rejected(
                StoreReadOnly(path=path or "", why="read_only", detail="it was taken off the list")
            )
        if path is not None and not os.path.isdir(path):
            raise Rejected(StoreFailed(path=path, error="ENOENT"))
        sessions = [self._with_context(older, path) for older in target.sessions]
        if path is not None:
            self._place(path, sessions)
        for listed in target.listed:
            if path is None:
                self._file.drop(listed)
            elif listed != path:
                self._file.add(path, instead_of=listed)
        return sessions if path is None else []

    def _with_context(self, older: Older, project: str | None) -> Session:
        """The session, after what its child inherits is on disk. Raises Rejected."""
        private = self._heritage.private
        context = private.load_context(older.session.id)
        if context is None:
            context = LaunchContext(env={**self._heritage.env, **older.env})
            private.save_context(older.session.id, context)
        names = tuple(sorted(plain(name) for name in context.env))
        return msgspec.structs.replace(older.session, project=project, env_names=names)

    def _settled(self, moved: Sequence[SessionId], own: Sequence[Session]) -> tuple[str, ...]:
        if not moved:
            return ()
        try:
            copy = self._file.settle(self._heritage.home, frozenset(moved), own)
        except Rejected as error:
            why = (
                f"{_sessions(moved)} moved to their projects could not be taken out: {_sentence(error.fault)}"
            )
            return (self._notice(why),)
        why = f"{_sessions(moved)} of an older version moved to where they belong (the file before is kept as {copy})"
        return (self._notice(why),)

    def _notice(self, text: str) -> str:
        return plain(f"{self._file.path}: {text}")


class _Target(NamedTuple):
    """What goes to one project: the paths that it is listed under, and sessions."""

    listed: list[str]
    sessions: list[Older]


def _sessions(some: Sequence[object]) -> str:
    return "1 session" if len(some) == 1 else f"{len(some)} sessions"


def _sentence(fault: AnyFault) -> str:
    match fault:
        case StoreFailed(error="ENOENT"):
            return "the directory is missing"
        case ProjectUnwritable(error=error) | StoreFailed(error=error):
            return f"it cannot be written ({error})"
        case StoreReadOnly(detail=detail):
            return detail
        case _:
            return type(fault).__name__
