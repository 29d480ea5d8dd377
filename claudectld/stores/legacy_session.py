"""One session as an earlier claudectl wrote it down, under several spellings, and the session that it is now. Pure."""

import os
import uuid
from collections.abc import Iterator, Sequence
from datetime import datetime

import msgspec

from claudectl_protocol.sessions import (
    ConversationEntry,
    ConversationId,
    Lifecycle,
    RunId,
    SessionId,
    Wanted,
)
from claudectl_protocol.text import name_problem, plain
from claudectld.core.session import CLAUDE, Run, Session, decode
from claudectld.stores.envelope import JsonObject

IDS = ("id", "uuid", "sessionid")
"""Fields are named here as `word` compares them."""
REFERENCES = ("projectid", "project", "projectpath", "projectdir")
DIRECTORIES = ("cwd", "workingdirectory", "workingdir", "workdir", "directory", "dir", "path")
_NAMES = ("name", "title", "label")
_STATES = ("status", "state")
_CREATED = ("createdat", "created", "startedat", "started", "starttime", "timestamp")
_CONVERSATIONS = (
    "claudesessionid",
    "claudesession",
    "claudeid",
    "conversationid",
    "conversation",
    "resumeid",
    "sessionid",
)
_ENVIRONMENTS = ("env", "environment")
_RUNNING = frozenset(("active", "running"))
_NAMESPACE = uuid.UUID("6b1d5b0e-5a56-4b3c-9a43-0a7d9a1c5f10")
_MOST_SECONDS = 1e11
"""No session is from the year 5138: a larger number counts milliseconds."""
_NAME_CHARACTERS = 64


def own(entry: JsonObject) -> Session | None:
    """The session in an entry of the present shape; None in any other."""
    try:
        session = decode(entry)
        msgspec.msgpack.encode(session.info())
    except (msgspec.ValidationError, UnicodeEncodeError, OverflowError):
        return None
    return session


def is_session(entry: JsonObject) -> bool:
    """True for an entry of an earlier version: it says who it is, and what became of it or where it was."""
    named = word(entry, (*IDS, *_NAMES))
    return bool(named and word(entry, (*_STATES, *REFERENCES, *DIRECTORIES)))


def convert(entry: JsonObject, key: str, project: str | None, home: str, now: float) -> Session:
    """The session that an entry of an earlier version means.

    It runs Claude with its defaults: what else stood there, a first prompt above all, might do again by itself what
    was done long ago.

    Args:
        key: tells it from every other entry of the file, at every reading. Empty where its own id does.
        project: the directory it was said to belong to.
        home: what `~` means, and where a session ran that says no directory at all.
        now: the time for one that says none, in seconds since the epoch.
    """
    id_ = (not key and _uuid(word(entry, IDS))) or str(uuid.uuid5(_NAMESPACE, key))
    created_at = _created_at(entry, now)
    running = (word(entry, _STATES) or "").casefold() in _RUNNING
    # Without an id of its own the conversation may have the session's.
    conversation = next(filter(None, (_uuid(word(entry, (name,))) for name in _CONVERSATIONS)), id_)
    # The life that the earlier version knew: nothing of it is on record, but it was the first.
    run = Run(id=RunId(str(uuid.uuid5(_NAMESPACE, f"run {id_}"))), boot_id="", started_at=created_at)
    return Session(
        id=SessionId(id_),
        name=_name(entry, id_),
        project=project,
        cwd=absolute(word(entry, DIRECTORIES), home) or project or home,
        program=CLAUDE,
        wanted=Wanted.RUNNING if running else Wanted.STOPPED,
        lifecycle=Lifecycle.INTERRUPTED if running else Lifecycle.STOPPED,
        since=created_at,
        created_at=created_at,
        started_at=created_at,
        run=run,
        runs=(run.id,),
        conversations=(
            ConversationEntry(id=ConversationId(conversation), since=created_at, reason="created"),
        ),
    )


def named_apart(sessions: Sequence[Session], present: Sequence[Session]) -> list[Session]:
    """Sessions that come to others, with a number behind each name that is taken."""
    taken = {session.name for session in present}
    apart: list[Session] = []
    for session in sessions:
        name, number = session.name, 1
        while name in taken:
            number += 1
            name = f"{session.name[: _NAME_CHARACTERS - 8]}-{number}"
        taken.add(name)
        apart.append(msgspec.structs.replace(session, name=name))
    return apart


def has_uuid(entry: JsonObject) -> bool:
    """True where an entry's own id can be the session's."""
    return _uuid(word(entry, IDS)) is not None


def environment(entry: JsonObject) -> dict[str, str]:
    """The variables that stood with a session."""
    for value in _fields(entry, _ENVIRONMENTS):
        if isinstance(value, dict):
            return {
                str(name): each
                for name, each in value.items()
                if isinstance(each, str) and name and "=" not in name and "\0" not in name + each
            }
    return {}


def word(entry: JsonObject, names: Sequence[str]) -> str | None:
    """What stands in the first of several fields that has something; numbers count as their digits.

    Args:
        names: in lower case and without `_` and `-`, so that each stands for all its spellings.
    """
    for value in _fields(entry, names):
        if isinstance(value, str) and value.strip():
            return value.strip()
        if type(value) is int:
            return str(value)
    return None


def absolute(path: str | None, home: str) -> str | None:
    """A path that people wrote, as the system would look for it; None when it is no absolute one."""
    if path is None:
        return None
    if path == "~" or path.startswith("~/"):
        path = home + path[1:]
    try:
        path.encode()
    except UnicodeEncodeError:
        return None
    # Of two leading slashes normpath keeps both.
    return os.path.normpath("/" + path.lstrip("/")) if path.startswith("/") and "\0" not in path else None


def _fields(entry: JsonObject, names: Sequence[str]) -> Iterator[object]:
    values = {name.casefold().replace("_", "").replace("-", ""): value for name, value in entry.items()}
    for name in names:
        if name in values:
            yield values[name]


def _uuid(text: str | None) -> str | None:
    try:
        return None if text is None else str(uuid.UUID(text))
    except ValueError:
        return None


def _name(entry: JsonObject, session: str) -> str:
    given = plain(word(entry, _NAMES) or "").replace("/", "-").lstrip("-")[:_NAME_CHARACTERS].strip()
    candidates = (given, f"claude {given}", f"claude {session[:4]}")
    return next(name for name in candidates if name_problem(name) is None)


def _created_at(entry: JsonObject, now: float) -> float:
    for value in _fields(entry, _CREATED):
        if isinstance(value, str):
            try:
                return datetime.fromisoformat(value.strip()).timestamp()
            except (ValueError, OverflowError):
                continue
        if isinstance(value, int | float) and not isinstance(value, bool) and value > 0:
            while value > _MOST_SECONDS:
                value /= 1000
            return float(value)
    return now
