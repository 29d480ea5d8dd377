"""The person's claudectld.toml: what is set in it, what is wrong with it and where, and setting one thing."""

import fcntl
import os
import re
import stat
import tempfile
import tomllib
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import NamedTuple

import msgspec

from claudectl_protocol.endpoint import make_directory
from claudectl_protocol.faults import InvalidArgument, Rejected, StoreFailed, StoreReadOnly
from claudectl_protocol.sessions import Value
from claudectl_protocol.settings import Config, Key, Setting, keys
from claudectl_protocol.text import plain

_AT = re.compile(r" \(at line (\d+), column (\d+)\)$")
_HEADER = re.compile(r"\s*\[\[?\s*(?P<name>[^\]]+?)\s*\]")
_ASSIGNMENT = re.compile(r"""\s*(?P<name>(?:[A-Za-z0-9_.\s-]|"[^"]*"|'[^']*')+?)\s*=""")
_VALUE_CHARACTERS = 60


class Problem(Value):
    """Something in the file that the daemon would refuse; then it uses nothing of the file."""

    why: str
    """A sentence."""
    line: int | None = None
    """From 1; None where it cannot be told."""
    column: int | None = None


class Reading(NamedTuple):
    """What the file says. With a problem nothing of it holds, so that the config is the defaults."""

    config: Config
    given: Mapping[str, int | None]
    """The dotted keys that are set in it, with their lines."""
    problems: tuple[Problem, ...]


def read(path: str) -> Reading:
    """What the file at `path` says; a missing one says nothing.

    Raises:
        Rejected: StoreFailed, it cannot be read.
    """
    try:
        with open(path, "rb") as file:
            text = file.read().decode()
        document = tomllib.loads(text)
    except FileNotFoundError:
        return Reading(Config(), {}, ())
    except OSError as error:
        raise Rejected(StoreFailed(path=path, error=_reason(error))) from error
    except UnicodeDecodeError as error:
        return Reading(Config(), {}, (Problem(why=f"byte {error.start} is no UTF-8"),))
    except tomllib.TOMLDecodeError as error:
        return Reading(Config(), {}, (_syntax(str(error)),))
    problems = tuple(_problems(document, text))
    config = Config() if problems else msgspec.convert(document, Config)
    return Reading(config, dict(_given(document, text)), problems)


def key(dotted: str) -> Key:
    """The setting of this name. Raises Rejected (InvalidArgument with the nearest name)."""
    known = {one.dotted: one for one in keys()}
    if dotted not in known:
        what = f"the setting '{plain(dotted, _VALUE_CHARACTERS)}'"
        why = f"does not exist{_nearest(dotted, [*known])}; 'claudectl config show' lists all"
        raise Rejected(InvalidArgument(what=what, why=why))
    return known[dotted]


def value_of(text: str, wanted: Key) -> Setting:
    """The value that a person typed. Raises Rejected (InvalidArgument)."""
    try:
        text.encode()
        return wanted.convert(text, from_text=True)
    except UnicodeEncodeError as error:
        raise Rejected(InvalidArgument(what=wanted.dotted, why="can only be UTF-8")) from error
    except msgspec.ValidationError as error:
        what = f"{wanted.dotted} '{plain(text, _VALUE_CHARACTERS)}'"
        raise Rejected(InvalidArgument(what=what, why=f"is wrong: {_lower(str(error))}")) from error


def write(path: str, wanted: Key, value: Setting) -> None:
    """Set one thing; comments, order and all that is unknown stay. After a crash the file is the old or the new one.

    Raises:
        Rejected: StoreReadOnly, the file is not TOML or has something else in the section's place; StoreFailed.
            Nothing has changed then.
    """
    # People keep such files elsewhere and link to them: the link stays.
    target = os.path.realpath(path)
    directory = os.path.dirname(target)
    try:
        make_directory(directory)
        lock = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            _replace(target, _edited(path, target, wanted, value))
            os.fsync(lock)
        finally:
            os.close(lock)
    except OSError as error:
        raise Rejected(StoreFailed(path=path, error=_reason(error))) from error


def _edited(path: str, target: str, wanted: Key, value: Setting) -> bytes:
    import tomlkit  # 29 ms that nothing else needs
    from tomlkit.exceptions import TOMLKitError

    try:
        with open(target, "rb") as file:
            text = file.read().decode()
    except FileNotFoundError:
        text = ""
    except UnicodeDecodeError as error:
        raise Rejected(StoreReadOnly(path=path, why="it is no UTF-8; mend it first")) from error
    try:
        document = tomlkit.parse(text)
    except TOMLKitError as error:
        why = f"it is not TOML ({plain(str(error))}); mend it first"
        raise Rejected(StoreReadOnly(path=path, why=why)) from error
    if wanted.section not in document:
        document.add(wanted.section, tomlkit.table())
    section = document[wanted.section]
    if not isinstance(section, dict):
        why = f"'{wanted.section}' is no section in it; mend it first"
        raise Rejected(StoreReadOnly(path=path, why=why))
    section[wanted.name] = value
    return tomlkit.dumps(document).encode()


def _replace(target: str, data: bytes) -> None:
    try:
        mode = stat.S_IMODE(os.stat(target).st_mode)
    except FileNotFoundError:
        mode = 0o600
    fd, made = tempfile.mkstemp(prefix=".claudectld.toml.", dir=os.path.dirname(target))
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        os.replace(made, target)
    except OSError:
        os.unlink(made)
        raise


def _problems(document: Mapping[str, object], text: str) -> Iterator[Problem]:
    sections = {one.section for one in keys()}
    known = {one.dotted: one for one in keys()}
    for section, content in document.items():
        line = _line(text, section, None)
        if section not in sections:
            names = [*sections, *known]
            yield Problem(why=f"there is no section {_shown(section)}{_nearest(section, names)}", line=line)
        elif not isinstance(content, dict):
            yield Problem(why=f"{section} is a section, written [{section}]", line=line)
        else:
            yield from _section_problems(section, content, known, text)


def _section_problems(
    section: str, content: Mapping[str, object], known: Mapping[str, Key], text: str
) -> Iterator[Problem]:
    for name, value in content.items():
        dotted = f"{section}.{name}"
        line = _line(text, section, name)
        if dotted not in known:
            yield Problem(why=f"there is no setting {_shown(dotted)}{_nearest(dotted, [*known])}", line=line)
            continue
        try:
            known[dotted].convert(value)
        except msgspec.ValidationError as error:
            why = f"{dotted} {_shown(str(value))} is wrong: {_lower(str(error))}"
            yield Problem(why=why, line=line)


def _given(document: Mapping[str, object], text: str) -> Iterator[tuple[str, int | None]]:
    for one in keys():
        section = document.get(one.section)
        if isinstance(section, dict) and one.name in section:
            yield one.dotted, _line(text, one.section, one.name)


def _line(text: str, section: str, name: str | None) -> int | None:
    """Where something is set, as people write it; tomllib does not tell. The section itself with no `name`."""
    inside: tuple[str, ...] = ()
    for number, line in enumerate(text.splitlines(), start=1):
        header = _HEADER.match(line)
        found = header or _ASSIGNMENT.match(line)
        if found is None:
            continue
        here = _parts(found["name"])
        if header:
            inside = here
        else:
            here = (*inside, *here)
        if (
            here == (section, name)
            or (name is None and here[0] == section)
            or (
                # An inline table has it on the section's own line.
                not header and here == (section,)
            )
        ):
            return number
    return None


def _parts(name: str) -> tuple[str, ...]:
    return tuple(part.strip().strip("\"'") for part in name.split("."))


def _syntax(message: str) -> Problem:
    at = _AT.search(message)
    if at is None:
        return Problem(why=f"it is not TOML: {plain(message)}")
    why = f"it is not TOML: {plain(_lower(message[: at.start()]))}"
    return Problem(why=why, line=int(at[1]), column=int(at[2]))


def _nearest(name: str, names: list[str]) -> str:
    close = get_close_matches(name, names, n=1)
    return f"; did you mean '{close[0]}'?" if close else ""


def _shown(text: str) -> str:
    return f"'{plain(text, _VALUE_CHARACTERS)}'"


def _lower(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:]


def _reason(error: OSError) -> str:
    return error.strerror or type(error).__name__
