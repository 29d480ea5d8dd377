"""The settings that Claude is started with: the person's and ours in one file, as of two only the last counts."""

import json
from collections.abc import Mapping
from pathlib import Path

from claudectl_protocol.faults import InvalidArgument, Rejected, StoreFailed
from claudectl_protocol.sessions import SessionId
from claudectld.stores.files import Directory, make_directories

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]
"""A JSON value. Settings are Claude's own and are passed through, not understood."""

_WHAT = "--settings"


def read(given: str, cwd: str) -> dict[str, Json]:
    """The settings that a person gave as JSON text or as a file, relative to `cwd`.

    Raises:
        Rejected: InvalidArgument when the file cannot be read or the text is no JSON object.
    """
    text = given
    if not is_text(given):
        path = Path(cwd, given)
        try:
            text = path.read_text(encoding="utf-8-sig")
        except (OSError, ValueError) as error:
            why = f"names {path}, which cannot be read: {_reason(error)}"
            raise Rejected(InvalidArgument(what=_WHAT, why=why)) from error
    try:
        value: Json = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Rejected(InvalidArgument(what=_WHAT, why=f"is no JSON: {error}")) from error
    if not isinstance(value, dict):
        raise Rejected(InvalidArgument(what=_WHAT, why="is no JSON object"))
    return value


def merge(theirs: Mapping[str, Json], ours: Mapping[str, Json]) -> dict[str, Json]:
    """Both in one: objects key by key, lists one after the other, and of two other values ours."""
    merged = dict(theirs)
    for key, value in ours.items():
        present = merged.get(key)
        if isinstance(present, dict) and isinstance(value, dict):
            merged[key] = merge(present, value)
        elif isinstance(present, list) and isinstance(value, list):
            merged[key] = [*present, *value]
        else:
            merged[key] = value
    return merged


def write(
    state: Path, session: SessionId, given: str | None, cwd: str, ours: Mapping[str, Json] | None = None
) -> Path | None:
    """The settings file for one start; None when nobody has any settings.

    It is STATE/settings/SESSION.json (0600), except that a file of the person's to which nothing has to be added
    stays where it is: its rules that begin with `/` count from its directory, and elsewhere they would silently
    allow or deny something else.

    Args:
        given: the value of the person's --settings.
        ours: what claudectl adds.

    Raises:
        Rejected: InvalidArgument as `read`; StoreFailed when the file cannot be written.
    """
    path = state / "settings" / f"{session}.json"
    theirs = read(given, cwd) if given is not None else {}
    try:
        if not ours and (given is None or not is_text(given)):
            path.unlink(missing_ok=True)
            return None if given is None else Path(cwd, given)
        make_directories(str(state))
        with Directory.create(str(path.parent)) as directory:
            directory.replace(path.name, json.dumps(merge(theirs, ours or {})).encode())
    except OSError as error:
        raise Rejected(StoreFailed(path=str(path), error=_reason(error))) from error
    return path


def is_text(given: str) -> bool:
    """True when settings were given as JSON text, not as a file."""
    return given.lstrip().startswith("{")


def _reason(error: OSError | ValueError) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)
