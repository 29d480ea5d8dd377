"""The files of one project, `PROJECT/.claudectl/`: whose they are, what they hold, and writing them."""

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import msgspec

from claudectl_protocol.faults import ProjectUnwritable, Rejected, StoreFailed, StoreReadOnly
from claudectl_protocol.sessions import SessionId
from claudectl_protocol.text import plain
from claudectld.core.session import Session
from claudectld.ports import StoredProject
from claudectld.stores import legacy_session, roll, stamp
from claudectld.stores.claim import DIRECTORY, PROJECT, SESSIONS, Claim, claim
from claudectld.stores.document import Condition, Document, Reading
from claudectld.stores.envelope import JsonObject
from claudectld.stores.files import BACKUP, Directory, Untrusted, error_name
from claudectld.stores.roll import Roll
from claudectld.stores.stamp import Owner, Stamp

IGNORE = ".gitignore"


class Loaded(NamedTuple):
    """What a project's files say; `moved_from` is the path in the stamp of a project that was moved."""

    project: StoredProject
    notices: tuple[str, ...] = ()
    moved_from: str | None = None


class ProjectFiles:
    """One project's files. Safe to call from several threads.

    Args:
        path: the project's directory, absolute.
        owner: who we are.
        now: the clock, seconds since the epoch.
    """

    def __init__(self, path: str, owner: Owner, now: Callable[[], float]) -> None:
        self.path = path
        self._owner = owner
        self._now = now
        self._lock = threading.Lock()
        self._project = Document(PROJECT, stamp.shape)
        self._sessions = Document(SESSIONS, roll.shape)
        self._known: frozenset[SessionId] | None = None

    def load(self, *, expected: bool = True) -> Loaded:
        """Read everything; writes nothing, except that damaged files of ours are set aside.

        Args:
            expected: False for a project of an earlier version, which has never had files of ours.
        """
        with self._lock:
            try:
                directory = Directory.open(self._directory)
            except Untrusted as error:
                return self._closed(f"{DIRECTORY} is not used: {error.strerror}", available=True)
            except FileNotFoundError:
                if os.path.isdir(self.path):
                    lost = f"{DIRECTORY} is gone: the sessions it held are lost"
                    why = lost if expected else f"{DIRECTORY} could not be made yet"
                    # Known to be empty: the next save makes the directory again.
                    self._known = self._known or frozenset()
                    return self._closed(why, available=True, writable=os.access(self.path, os.W_OK))
                return self._closed("the directory is missing", available=False)
            except OSError as error:
                return self._closed(f"the directory cannot be opened ({error_name(error)})", available=False)
            with directory:
                return self._read(directory)

    def open(self) -> Loaded:
        """Make the directory and its files if they are missing, then read; a move is not settled yet.

        Raises:
            Rejected: ProjectUnwritable.
        """
        with self._lock:
            try:
                with Directory.create(self._directory) as directory:
                    directory.check_writable()
                    loaded = self._read(directory)
                    own = self._claim(directory)
                    if own.refusal is None and not own.stamped and own.moved_from is None:
                        self._establish(directory)
                    return loaded
            except OSError as error:
                raise Rejected(ProjectUnwritable(path=self.path, error=error_name(error))) from error

    def add(self, sessions: Sequence[Session]) -> None:
        """Put sessions to those that are there; one whose id is there already is not touched. After `open`.

        Raises:
            Rejected: StoreFailed, StoreReadOnly; nothing was changed.
        """
        with self._writing() as directory:
            own = self._claim(directory)
            if own.refusal is not None:
                raise Rejected(own.refusal)
            reading = self._readable(directory)
            present = self._roll(reading.body, own.moved_from).sessions
            known = {session.id for session in present}
            new = legacy_session.named_apart(
                [session for session in sessions if session.id not in known], present
            )
            if new:
                self._write(directory, reading.body, [*present, *new], "")

    def settle(self) -> None:
        """Take over a project that was moved: its sessions and its stamp name the new path from now on.

        Raises:
            Rejected: StoreFailed, StoreReadOnly.
        """
        with self._writing() as directory:
            own = self._claim(directory)
            if own.refusal is None and own.moved_from is not None:
                reading = self._readable(directory)
                moved = self._roll(reading.body, own.moved_from).sessions
                self._write(directory, reading.body, moved, "")
                self._write_stamp(directory)

    def save(self, sessions: Sequence[Session], removed: str) -> None:
        """Replace the sessions.

        Raises:
            Rejected: StoreFailed, StoreReadOnly; nothing was changed.
            ValueError: sessions are missing without a reason.
        """
        with self._writing() as directory:
            own = self._claim(directory)
            if own.refusal is not None:
                raise Rejected(own.refusal)
            if not own.stamped and own.moved_from is None:
                self._establish(directory)
            reading = self._readable(directory)
            self._write(directory, reading.body, sessions, removed)
            if own.moved_from is not None:
                # After the sessions: only while the stamp names the old path is it replaced in them.
                self._write_stamp(directory)

    @property
    def _directory(self) -> str:
        return os.path.join(self.path, DIRECTORY)

    @property
    def _file(self) -> str:
        return os.path.join(self._directory, SESSIONS)

    @contextmanager
    def _writing(self) -> Iterator[Directory]:
        with self._lock:
            try:
                with self._open_or_recreate() as directory:
                    yield directory
            except Untrusted as error:
                why = StoreReadOnly(path=self._directory, why="not_trusted", detail=error.strerror or "")
                raise Rejected(why) from error
            except OSError as error:
                raise Rejected(StoreFailed(path=self._file, error=error_name(error))) from error

    def _open_or_recreate(self) -> Directory:
        try:
            return Directory.open(self._directory)
        except FileNotFoundError:
            # `git clean -xfd` and the like: the sessions we hold are the only ones left.
            if self._known is None:
                raise
            return Directory.create(self._directory)

    def _here(self, directory: Directory) -> Stamp:
        identity = directory.identity
        return Stamp(
            machine=self._owner.machine,
            uid=self._owner.uid,
            state=self._owner.state,
            path=self.path,
            device=identity.device,
            inode=identity.inode,
        )

    def _claim(self, directory: Directory) -> Claim:
        return claim(directory, self._project, self._sessions, self._here(directory), self._now())

    def _read(self, directory: Directory) -> Loaded:
        own = self._claim(directory)
        reading = self._sessions.read(directory, self._now(), repair=own.refusal is None)
        problems = [own.problem, reading.problem]
        notices = [*own.notices, *reading.notices]
        if reading.condition is Condition.MISSING and own.expected:
            why = f"{SESSIONS} and its backup are missing: the sessions they held are lost"
            problems.append(why)
            notices.append(why)
        found = self._roll(reading.body, own.moved_from)
        writable = own.refusal is None and reading.is_writable
        if writable and not directory.is_writable:
            writable = False
            problems.append("the directory cannot be written")
        self._known = frozenset(session.id for session in found.sessions)
        return Loaded(
            StoredProject(
                path=self.path,
                sessions=found.sessions,
                writable=writable,
                ours=own.ours or own.refusal is None,
                problem=plain("; ".join(problem for problem in problems if problem)),
            ),
            tuple(plain(f"{self.path}: {notice}") for notice in (*notices, *found.notices)),
            own.moved_from,
        )

    def _roll(self, body: JsonObject, moved_from: str | None) -> Roll:
        found = roll.read(body, self.path, SESSIONS)
        if moved_from is None:
            return found
        return found._replace(
            sessions=tuple(_moved(session, moved_from, self.path) for session in found.sessions)
        )

    def _closed(self, problem: str, *, available: bool, writable: bool = False) -> Loaded:
        problem = plain(problem)
        project = StoredProject(path=self.path, available=available, writable=writable, problem=problem)
        return Loaded(project, (plain(f"{self.path}: {problem}"),))

    def _readable(self, directory: Directory) -> Reading:
        reading = self._sessions.read(directory, self._now(), repair=True)
        if reading.condition is Condition.UNREADABLE:
            raise Rejected(StoreFailed(path=self._file, error=reading.error))
        if not reading.is_writable:
            raise Rejected(StoreReadOnly(path=self._file, why="newer_schema", detail=reading.problem))
        return reading

    def _write(
        self, directory: Directory, body: JsonObject, sessions: Sequence[Session], removed: str
    ) -> None:
        following = roll.updated(body, sessions, self._known, removed, self._now())
        directory.sweep(SESSIONS, self._now())
        self._sessions.write(directory, following)
        self._known = frozenset(session.id for session in sessions)

    def _establish(self, directory: Directory) -> None:
        """Make this directory ours. The stamp comes last: from then on a missing file is a loss."""
        try:
            directory.create_exclusively(IGNORE, b"*\n")
        except FileExistsError:
            pass
        if self._readable(directory).condition is Condition.MISSING:
            self._sessions.write(directory, {roll.SESSIONS: []})
        self._write_stamp(directory)

    def _write_stamp(self, directory: Directory) -> None:
        reading = self._project.read(directory, self._now(), repair=True)
        if not reading.is_writable:
            raise Rejected(StoreFailed(path=os.path.join(self._directory, PROJECT), error=reading.error))
        born = {"created_at": self._now(), "name": os.path.basename(self.path)}
        directory.sweep(PROJECT, self._now())
        content = {**born, **reading.body, "stamp": msgspec.to_builtins(self._here(directory))}
        self._project.write(directory, content)
        if directory.signature(PROJECT + BACKUP) is None:
            # Without a stamp that can be read the sessions are locked: it has a backup from the start.
            self._project.write(directory, content)


def _moved(session: Session, old: str, new: str) -> Session:
    if session.cwd == old:
        return msgspec.structs.replace(session, cwd=new)
    if session.cwd.startswith(old + "/"):
        return msgspec.structs.replace(session, cwd=new + session.cwd[len(old) :])
    return session
