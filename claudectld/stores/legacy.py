"""What earlier claudectls kept in `data.json`, read generously: projects, and the sessions of all of them. Pure."""

import json
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from claudectld.core.session import Session
from claudectld.stores import legacy_session
from claudectld.stores.envelope import JsonObject
from claudectld.stores.legacy_session import DIRECTORIES, IDS, REFERENCES, absolute, word

PROJECTS = "projects"
SESSIONS = "sessions"
PATH = "path"

_PATHS = (PATH, "root", "rootdir", "projectpath", *DIRECTORIES)


class Place(NamedTuple):
    """Where a session stands in a normal body: in the sessions of project number `project` (None: of the file)."""

    project: int | None
    entry: int


class Older(NamedTuple):
    """A session that an earlier version left. `project` is the directory it was said to belong to, or None; `env`
    the variables that stood with it, which may be secret."""

    place: Place
    project: str | None
    session: Session
    env: dict[str, str]


def normal(body: JsonObject) -> JsonObject | None:
    """The content with two lists, `projects` of objects with a `path`, and `sessions`; all else as it was.

    Returns:
        None for a shape that nobody here knows. Strange entries of a list stay as they are.
    """
    following = dict(body)
    if PROJECTS in body:
        projects = _listed(body[PROJECTS], PATH)
        if projects is None or (isinstance(body[PROJECTS], dict) and not all(map(_has_path, projects))):
            return None
        following[PROJECTS] = [_with_path(entry) for entry in projects]
    if SESSIONS in body:
        sessions = _listed(body[SESSIONS], None)
        if sessions is None:
            return None
        following[SESSIONS] = sessions
    return following


def is_old(body: JsonObject) -> bool:
    """True for a body that this version would not have written."""
    following = normal(body)
    return following is not None and (following != body or any(True for _ in _entries(following)))


def find(body: JsonObject, home: str, now: float) -> tuple[Older, ...]:
    """Every session of an earlier version in a normal body.

    Args:
        home: what `~` means, and where a session ran that says no directory at all.
        now: the time of a session that says none, in seconds since the epoch.
    """
    paths = _paths_by_reference(body, home)
    seen: Counter[str] = Counter()
    found: list[Older] = []
    for place, listed, entry in _entries(body):
        session = legacy_session.own(entry)
        if session is not None:
            found.append(Older(place, listed or session.project, session, {}))
            continue
        reference = listed or word(entry, REFERENCES) or ""
        project = paths.get(reference) or absolute(reference, home)
        key = "\0".join((reference, word(entry, DIRECTORIES) or "", word(entry, IDS) or json.dumps(entry)))
        seen[key] += 1
        alone = seen[key] == 1 and legacy_session.has_uuid(entry)
        session = legacy_session.convert(entry, "" if alone else f"{key}\0{seen[key]}", project, home, now)
        found.append(Older(place, project, session, legacy_session.environment(entry)))
    return tuple(found)


def without(body: JsonObject, places: frozenset[Place]) -> JsonObject:
    """A normal body less the sessions at `places`."""
    following = dict(body)
    if SESSIONS in body:
        following[SESSIONS] = [
            entry for at, entry in enumerate(_list(body, SESSIONS)) if Place(None, at) not in places
        ]
    if PROJECTS in body:
        following[PROJECTS] = [
            _project_without(entry, number, places) for number, entry in enumerate(_list(body, PROJECTS))
        ]
    return following


def _project_without(entry: object, number: int, places: frozenset[Place]) -> object:
    if not isinstance(entry, dict) or SESSIONS not in entry:
        return entry
    nested = _listed(entry[SESSIONS], None)
    if nested is None or not any(Place(number, at) in places for at in range(len(nested))):
        return entry
    left = [inner for at, inner in enumerate(nested) if Place(number, at) not in places]
    rest = {name: value for name, value in entry.items() if name != SESSIONS}
    return {**rest, SESSIONS: left} if left else rest


def _entries(body: JsonObject) -> Iterator[tuple[Place, str | None, JsonObject]]:
    """Each old session with its place and the directory of the project that it stands in."""
    for at, entry in enumerate(_list(body, SESSIONS)):
        if isinstance(entry, dict) and _is_old_session(entry, nested=False):
            yield Place(None, at), None, entry
    for number, project in enumerate(_list(body, PROJECTS)):
        if not isinstance(project, dict):
            continue
        path = project.get(PATH)
        for at, entry in enumerate(_listed(project.get(SESSIONS), None) or ()):
            if isinstance(entry, dict) and _is_old_session(entry, nested=True):
                yield Place(number, at), path if isinstance(path, str) else None, entry


def _is_old_session(entry: JsonObject, *, nested: bool) -> bool:
    session = legacy_session.own(entry)
    if session is not None:
        # The present shape, but of a project: earlier ones of this shape kept all in one file.
        return nested or session.project is not None
    return legacy_session.is_session(entry) or (nested and word(entry, (*IDS, "name")) is not None)


def _listed(value: object, short: str | None) -> list[object] | None:
    """Entries that may stand in a list, or in an object under their ids; None for another shape.

    Args:
        short: the field that an entry means which is a text only.
    """
    if isinstance(value, dict):
        entries = [_under(str(key), entry, short) for key, entry in value.items()]
        return entries if all(isinstance(entry, dict) for entry in entries) else None
    if not isinstance(value, list):
        return None
    return [{short: entry} if _is_short(entry, short) else entry for entry in value]


def _under(key: str, entry: object, short: str | None) -> object:
    where = {PATH: key} if short == PATH and key.startswith("/") else {"id": key}
    if isinstance(entry, dict):
        return {**where, **entry}
    if _is_short(entry, short):
        return {**where, str(short): entry}
    # A project with nothing but its sessions below its path.
    return {**where, SESSIONS: entry} if short == PATH and isinstance(entry, list) else entry


def _is_short(entry: object, short: str | None) -> bool:
    return short is not None and isinstance(entry, str) and entry.startswith("/")


def _has_path(entry: object) -> bool:
    return isinstance(entry, dict) and word(entry, _PATHS) is not None


def _with_path(entry: object) -> object:
    if not isinstance(entry, dict) or PATH in entry:
        return entry
    path = word(entry, _PATHS)
    return entry if path is None or not path.startswith("/") else {PATH: path, **entry}


def _paths_by_reference(body: JsonObject, home: str) -> dict[str, str]:
    """Projects by all that a session may call them: their ids, and their names where they are not ambiguous."""
    paths: dict[str, str] = {}
    for fields in (("name",), ("slug",), ("uuid",), ("id", "projectid")):
        for entry in _list(body, PROJECTS):
            reference = word(entry, fields) if isinstance(entry, dict) else None
            path = absolute(word(entry, (PATH,)), home) if isinstance(entry, dict) else None
            if reference is not None and path is not None:
                paths[reference] = path
    return paths


def _list(body: JsonObject, name: str) -> list[object]:
    value = body.get(name)
    return value if isinstance(value, list) else []
