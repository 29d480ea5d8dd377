"""The global file, `data.json`: which directories are projects, and the sessions that belong to none."""

import itertools
import os
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from claudectl_protocol.faults import Rejected, StoreFailed, StoreReadOnly
from claudectl_protocol.sessions import SessionId
from claudectl_protocol.text import plain
from claudectld.core.session import Session, encode
from claudectld.stores import legacy, roll
from claudectld.stores.document import Condition, Document, Reading
from claudectld.stores.envelope import JsonObject
from claudectld.stores.files import BACKUP, Directory, error_name, make_directories
from claudectld.stores.legacy import Older

DATA = "data.json"
OLDER = ".older-"
"""Between the name of the file and the date at which an earlier version's was kept."""

_PROJECTS = legacy.PROJECTS
_ENTRY = frozenset({"path", "added_at"})
_OLDER_COPY = "older_copy"
"""Names the copy of the earlier version's file that this one was made from."""


class GlobalContent(NamedTuple):
    """What the global file holds: the known projects' directories, sorted, and sessions."""

    projects: tuple[str, ...] = ()
    sessions: tuple[Session, ...] = ()
    notices: tuple[str, ...] = ()


class Left(NamedTuple):
    """What an earlier version has left to be moved: sessions of all projects, and projects that have no files of
    ours yet."""

    sessions: tuple[Older, ...] = ()
    unopened: tuple[str, ...] = ()
    closed: frozenset[str] = frozenset()
    """Projects that the person has taken off the list since."""
    notices: tuple[str, ...] = ()
    """What had to be repaired to read it."""


class GlobalFile:
    """The global file of a configuration directory. Safe to call from several threads.

    Every method but `read` raises Rejected(StoreFailed | StoreReadOnly) and changes nothing then.
    """

    def __init__(self, directory: str, now: Callable[[], float]) -> None:
        self._directory = directory
        self._now = now
        self._lock = threading.Lock()
        self._document = Document(DATA, _shape, lenient=True)
        self._known: frozenset[SessionId] | None = None

    @property
    def path(self) -> str:
        """Where the file is."""
        return os.path.join(self._directory, DATA)

    def read(self) -> GlobalContent:
        """Everything in it; writes nothing, except that a damaged file is set aside."""
        with self._lock:
            try:
                with Directory.open(self._directory, follow=True) as directory:
                    reading = self._document.read(directory, self._now(), repair=True)
            except FileNotFoundError:
                return GlobalContent()
            except OSError as error:
                why = f"{self._directory} cannot be opened ({error_name(error)})"
                return GlobalContent(notices=(plain(why),))
            body = _body(reading)
            old = frozenset(older.place for older in legacy.find(body, "/", self._now()))
            found = roll.read(legacy.without(body, old), None, DATA)
            self._known = frozenset(session.id for session in found.sessions)
            entries = _entries(body)
            notices = (*reading.notices, *_strange(entries), *found.notices)
            return GlobalContent(
                tuple(sorted(_listed(entries))),
                found.sessions,
                self._told(notices),
            )

    def left(self, home: str) -> Left:
        """What an earlier version has left here; nothing where the file is not ours to change. `home` is $HOME."""
        with self._lock:
            try:
                with Directory.open(self._directory, follow=True) as directory:
                    reading = self._document.read(directory, self._now(), repair=True)
            except OSError:
                return Left()
            if not reading.is_writable:
                return Left()
            body = _body(reading)
            entries = _entries(body)
            return Left(
                legacy.find(body, home, self._now()),
                tuple(sorted(_listed(entries) - _listed(entries, opened=True))),
                frozenset(path for entry in entries if (path := _path(entry))) - _listed(entries),
                self._told(reading.notices),
            )

    def check_writable(self) -> None:
        """Refuse now what would be refused later."""
        with self._writing():
            pass

    def save_sessions(self, sessions: Sequence[Session], removed: str) -> None:
        """Replace the sessions; raises ValueError if some are missing without a reason."""
        with self._writing() as (directory, body):
            self._write(directory, roll.updated(body, sessions, self._known, removed, self._now()))
            self._known = frozenset(session.id for session in sessions)

    def add(self, path: str, *, instead_of: str | None = None) -> None:
        """Put a project on the list, in the place of the path it was moved from."""
        with self._writing() as (directory, body):
            entries = _entries(body)
            listed = _listed(entries)
            if path in _listed(entries, opened=True) and instead_of not in listed:
                return
            if instead_of is not None:
                entries = _without(entries, instead_of, self._now())
            following = {**body, _PROJECTS: _with(entries, path, self._now())}
            # Twice, so that the backup knows the project too: one that is on no list has no sessions to be seen.
            self._write(directory, following)
            self._write(directory, following)

    def settle(self, home: str, moved: Collection[SessionId], own: Sequence[Session]) -> str:
        """Take out sessions of an earlier version that are in their projects' files now. Returns the name of the
        copy that is kept of the earlier version's file.

        Args:
            home: as for `left`.
            moved: which.
            own: those that belong to no project: they take their places here.
        """
        with self._writing() as (directory, body):
            gone = [older for older in legacy.find(body, home, self._now()) if older.session.id in moved]
            following = legacy.without(body, frozenset(older.place for older in gone))
            present = following.get(roll.SESSIONS)
            entries = present if isinstance(present, list) else []
            known = {entry.get("id") for entry in entries if isinstance(entry, dict)}
            new = [encode(session) for session in own if session.id not in known]
            self._write(directory, {**following, roll.SESSIONS: [*entries, *new]})
            if self._known is not None:
                self._known |= {session.id for session in own}
            return str(self._document.read(directory, self._now(), repair=True).body.get(_OLDER_COPY))

    def drop(self, path: str) -> None:
        """Take a project off the list; what else an older version kept with it stays in the file."""
        with self._writing() as (directory, body):
            entries = _entries(body)
            if path in _listed(entries):
                self._write(directory, {**body, _PROJECTS: _without(entries, path, self._now())})

    def _told(self, notices: Iterable[str]) -> tuple[str, ...]:
        return tuple(plain(f"{self._directory}: {notice}") for notice in notices)

    def _write(self, directory: Directory, body: JsonObject) -> None:
        directory.sweep(DATA, self._now())
        present = self._document.read(directory, self._now(), repair=True).body
        if _OLDER_COPY in present:
            body = {**body, _OLDER_COPY: present[_OLDER_COPY]}
        elif legacy.is_old(present):
            body = {**body, _OLDER_COPY: self._keep(directory)}
        self._document.write(directory, {_PROJECTS: [], roll.SESSIONS: [], **body})

    def _keep(self, directory: Directory) -> str:
        """Keep an earlier version's file for good, as it is; returns the copy's name."""
        name = DATA if directory.signature(DATA) is not None else DATA + BACKUP
        content = directory.read(name)
        for present in directory.names():
            # A death before the file itself was written.
            if present.startswith(DATA + OLDER) and directory.read(present) == content:
                return present
        stem = f"{DATA}{OLDER}{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime(self._now()))}"
        for number in itertools.count():
            copy = f"{stem}-{number:02d}" if number else stem
            try:
                directory.create_exclusively(copy, content)
            except FileExistsError:
                continue
            return copy
        raise AssertionError("there is always another number")

    @contextmanager
    def _writing(self) -> Iterator[tuple[Directory, JsonObject]]:
        with self._lock:
            try:
                make_directories(self._directory)
                with Directory.open(self._directory, follow=True) as directory:
                    reading = self._document.read(directory, self._now(), repair=True)
                    self._refuse(reading)
                    yield directory, _body(reading)
            except OSError as error:
                raise Rejected(StoreFailed(path=self.path, error=error_name(error))) from error

    def _refuse(self, reading: Reading) -> None:
        match reading.condition:
            case Condition.UNREADABLE:
                raise Rejected(StoreFailed(path=self.path, error=reading.error))
            case Condition.NEWER:
                raise Rejected(StoreReadOnly(path=self.path, why="newer_schema", detail=reading.problem))
            case Condition.FOREIGN:
                raise Rejected(StoreReadOnly(path=self.path, why="not_trusted", detail=reading.problem))
            case Condition.GOOD | Condition.MISSING | Condition.LOST:
                return


def _shape(body: JsonObject) -> str:
    return "has projects or sessions of a shape that is not ours" if legacy.normal(body) is None else ""


def _body(reading: Reading) -> JsonObject:
    """The content in the present shape, whoever wrote it."""
    return legacy.normal(reading.body) or {}


def _entries(body: JsonObject) -> list[object]:
    entries = body.get(_PROJECTS)
    return entries if isinstance(entries, list) else []


def _path(entry: object) -> str | None:
    path = entry.get("path") if isinstance(entry, dict) else None
    return path if isinstance(path, str) and os.path.isabs(path) and _can_be(path) else None


def _can_be(path: str) -> bool:
    """True where the system would look for such a file, and a client could be told of it."""
    try:
        return "\0" not in path and bool(path.encode())
    except UnicodeEncodeError:
        return False


def _with(entries: list[object], path: str, now: float) -> list[object]:
    following = list(entries)
    place = next((i for i, entry in enumerate(entries) if _path(entry) == path), len(entries))
    before = entries[place] if place < len(entries) else {}
    entry = {"path": path, "added_at": now, **(before if isinstance(before, dict) else {})}
    entry.pop("closed_at", None)
    following[place : place + 1] = [entry]
    return following


def _without(entries: list[object], path: str, now: float) -> list[object]:
    following: list[object] = []
    for entry in entries:
        if not isinstance(entry, dict) or _path(entry) != path:
            following.append(entry)
        elif not _ENTRY.issuperset(entry):
            following.append({"closed_at": now, **entry})
    return following


def _listed(entries: list[object], *, opened: bool = False) -> frozenset[str]:
    """The projects on the list; with `opened` those that a version of this shape has put there."""
    return frozenset(
        path
        for entry in entries
        if isinstance(entry, dict)
        and "closed_at" not in entry
        and ("added_at" in entry or not opened)
        and (path := _path(entry)) is not None
    )


def _strange(entries: list[object]) -> Iterator[str]:
    for number, entry in enumerate(entries, start=1):
        if _path(entry) is None:
            yield f"{DATA}: project {number} has no path and is kept as it is"
        elif isinstance(entry, dict) and roll.SESSIONS in entry:
            yield f"{DATA}: project {number} still holds what an older version kept there"
