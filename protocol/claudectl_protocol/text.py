"""Text made from sessions: what a terminal may safely be shown, names, widths, ages and the table of `ls`.

Pure and shared by both sides, so that finished text is the same whoever makes it. Sentences about faults are
in claudectl/render.py.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from types import MappingProxyType

from claudectl_protocol.sessions import Activity, ActivityState, Exit, Lifecycle, SessionInfo, Value

NAME_CHARACTERS = 64
ID_DIGITS = 8
"""How much of an id is shown; a target of this many hex digits or more is an id and never a name."""
NO_LIMIT = 1 << 20

_PROJECT_CELLS = 12
"""A project's path is never cut shorter than this."""

# An unfinished sequence takes the rest with it, as it would on a terminal. An introducer has two forms:
# ESC and a letter, or one C1 character.
_SEQUENCE = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"  # CSI
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?"  # OSC, DCS, SOS, PM, APC
    r"|\x1b[ -/]*[0-~]?"
)
_BLANK = re.compile(r"[\t\n\v\f\r\x85\u2028\u2029]+")
_UNSEEN = re.compile(
    r"[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    r"\U000e0000-\U000e007f]"
)
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_MARKS = 3
"""Zero-width characters that may follow each other: enough for any script and for emoji, not for a flood."""
_HEX = re.compile(r"[0-9a-fA-F]+")


def plain(text: str, limit: int = NO_LIMIT) -> str:
    """`text` on one line, free of everything that acts on a terminal or hides what is read.

    Escape sequences, control characters, direction marks and invisible characters go; line ends become
    spaces; of zero-width characters in a row three are kept; a text of over `limit` characters ends in `…`.
    """
    if not (text.isascii() and text.isprintable()):
        text = _SEQUENCE.sub("", text)
        text = _BLANK.sub(" ", text)
        text = _UNSEEN.sub("", text)
        text = _SURROGATE.sub("\N{REPLACEMENT CHARACTER}", text)
        text = "".join(_few_marks(text))
    if len(text) > limit:
        text = text[: limit - 1] + "…" if limit > 0 else ""
    return text


def name_problem(name: str) -> str | None:
    """Why `name` cannot name a session, completing 'it …'; None for a good one."""
    if not name:
        return "is empty"
    if len(name) > NAME_CHARACTERS:
        return f"is longer than {NAME_CHARACTERS} characters"
    if plain(name) != name:
        return "holds control or invisible characters"
    if name != name.strip():
        return "begins or ends with a space"
    if name.startswith("-"):
        return "begins with '-', like an option"
    if "/" in name:
        return "holds '/'"
    if len(name) >= ID_DIGITS and _HEX.fullmatch(name):
        return "looks like an id"
    return None


def cell_width(text: str) -> int:
    """Columns that `text` takes on a terminal; `text` holds no control characters."""
    if text.isascii():
        return len(text)
    return sum(1 if character < "\x80" else _cells(character) for character in text)


def fit(text: str, cells: int) -> str:
    """`text` cut to at most `cells` columns, with `…` where something was cut."""
    if cell_width(text) <= cells:
        return text
    kept = ""
    left = cells - 1
    for character in text:
        left -= _cells(character)
        if left < 0:
            break
        kept += character
    return kept + "…" if cells > 0 else ""


def fit_end(text: str, cells: int) -> str:
    """As `fit`, but what is kept is the end: of a path, that tells more."""
    return fit(text[::-1], cells)[::-1]


def age(seconds: float) -> str:
    """A length of time in one unit: `12s`, `3m`, `2h`, `5d`. A time in the future counts as none at all."""
    if not seconds > 0:
        return "0s"
    if seconds < 60:
        return f"{int(seconds)}s"
    if seconds < 3600:
        return f"{int(seconds // 60)}m"
    if seconds < 48 * 3600:
        return f"{int(seconds // 3600)}h"
    return f"{int(min(seconds, 1e12) // 86400)}d"


# --- states -------------------------------------------------------------------------------------------------


class Colour(Enum):
    """A state's colour, as the parameter of SGR. Only a help: the word is always printed."""

    GREEN = "32"
    YELLOW = "33"
    RED = "31"
    DIM = "2"
    NONE = ""


class Look(Value):
    """How a state is shown: a symbol of one column, its ASCII stand-in, and a word."""

    symbol: str
    ascii: str
    word: str
    colour: Colour


_ACTIVITY_LOOKS: Mapping[ActivityState, Look] = MappingProxyType(
    {
        ActivityState.WORKING: Look(symbol="●", ascii="*", word="working", colour=Colour.GREEN),
        ActivityState.NEEDS_INPUT: Look(symbol="◐", ascii="!", word="needs input", colour=Colour.YELLOW),
        ActivityState.IDLE: Look(symbol="○", ascii="o", word="idle", colour=Colour.DIM),
        ActivityState.ERROR: Look(symbol="✗", ascii="x", word="error", colour=Colour.RED),
        ActivityState.UNKNOWN: Look(symbol="?", ascii="?", word="unknown", colour=Colour.NONE),
    }
)

_LIFECYCLE_LOOKS: Mapping[Lifecycle, Look] = MappingProxyType(
    {
        Lifecycle.QUEUED: Look(symbol="…", ascii=".", word="queued", colour=Colour.DIM),
        Lifecycle.STARTING: Look(symbol="⟳", ascii="~", word="starting", colour=Colour.NONE),
        Lifecycle.ACTIVE: Look(symbol="▸", ascii=">", word="active", colour=Colour.GREEN),
        Lifecycle.STOPPING: Look(symbol="⟳", ascii="~", word="stopping", colour=Colour.NONE),
        Lifecycle.STOPPED: Look(symbol="■", ascii="-", word="stopped", colour=Colour.DIM),
        Lifecycle.FAILED: Look(symbol="✗", ascii="x", word="failed", colour=Colour.RED),
        Lifecycle.INTERRUPTED: Look(symbol="✗", ascii="x", word="interrupted", colour=Colour.YELLOW),
        Lifecycle.UNAVAILABLE: Look(symbol="?", ascii="?", word="unavailable", colour=Colour.NONE),
    }
)


def look(session: SessionInfo) -> Look:
    """How a session's state is shown: what it is doing where that is known, else how far its process is."""
    activity = _present_activity(session)
    return _LIFECYCLE_LOOKS[session.lifecycle] if activity is None else _ACTIVITY_LOOKS[activity.state]


def state_since(session: SessionInfo) -> float:
    """When the shown state began, in seconds since the epoch; 0 when nobody knows."""
    activity = _present_activity(session)
    if activity is not None and activity.since:
        return activity.since
    return session.since


def detail(session: SessionInfo) -> str:
    """What is worth reading beside the state: the question, the error, how it ended, what is wrong."""
    activity = _present_activity(session)
    parts = [session.problem]
    if activity is not None:
        parts += [activity.kind, activity.text]
    elif session.exit is not None and not session.lifecycle.is_live:
        parts += [_ending(session.exit), session.exit.text]
    return ": ".join(shown for part in parts if (shown := plain(part)))


def _present_activity(session: SessionInfo) -> Activity | None:
    return session.activity if session.lifecycle is Lifecycle.ACTIVE else None


def _ending(ending: Exit) -> str:
    if ending.signal is not None:
        return f"signal {ending.signal}"
    if ending.code is not None:
        return f"exit {ending.code}"
    return "exit unknown"


# --- the table ----------------------------------------------------------------------------------------------


def session_table(
    sessions: Sequence[SessionInfo],
    now: float,
    width: int | None = None,
    *,
    colour: bool = False,
    projects: bool = False,
    ascii_only: bool = False,
) -> str:
    """The table of `ls`: a heading and one line for each session in the given order; nothing for no sessions.

    Args:
        now: seconds since the epoch, for ages.
        width: columns of the terminal, or None when the lines may have any length.
        colour: mark the state with SGR colours.
        projects: show the project of each session.
        ascii_only: keep to ASCII symbols (text of the sessions stays as it is).

    Returns:
        Lines that each end in a newline.
    """
    if not sessions:
        return ""
    heading = ["STATE", "NAME", "ID", *(["PROJECT"] if projects else []), "AGE", "DETAIL"]
    project_cells = None if width is None else max(_PROJECT_CELLS, width // 3)
    rows = [heading]
    colours = [Colour.DIM if colour else Colour.NONE]
    for session in sessions:
        shown = look(session)
        since = state_since(session)
        state = f"{shown.ascii if ascii_only else shown.symbol} {shown.word}"
        project = [_project(session, project_cells)] if projects else []
        elapsed = age(now - since) if since else "-"
        rows.append([state, plain(session.name), session.id[:ID_DIGITS], *project, elapsed, detail(session)])
        colours.append(shown.colour if colour else Colour.NONE)
    # Measured once: with many sessions this is what a list costs.
    taken = [[cell_width(cell) for cell in row[:-1]] for row in rows]
    widths = [max(column) for column in zip(*taken, strict=True)]
    lines = (
        _line(row, [size - own for size, own in zip(widths, cells, strict=True)], width, paint)
        for row, cells, paint in zip(rows, taken, colours, strict=True)
    )
    return "".join(f"{line}\n" for line in lines)


def _project(session: SessionInfo, cells: int | None) -> str:
    if session.project is None:
        return "-"
    path = plain(session.project)
    return path if cells is None else fit_end(path, cells)


def _line(row: list[str], gaps: list[int], width: int | None, colour: Colour) -> str:
    """`gaps` are the columns that each cell but the last leaves free."""
    *columns, last = row
    padded = [cell + " " * gap for cell, gap in zip(columns, gaps, strict=True)]
    line = "  ".join([*padded, last]).rstrip()
    if width is not None:
        line = fit(line, width)
    if colour is Colour.NONE:
        return line
    state = line[: len(padded[0])]
    return f"\x1b[{colour.value}m{state}\x1b[0m{line[len(padded[0]) :]}"


# --- characters ---------------------------------------------------------------------------------------------


def _few_marks(text: str) -> Iterator[str]:
    marks = 0
    for character in text:
        marks = 0 if _cells(character) else marks + 1
        if marks <= _MARKS:
            yield character


def _cells(character: str) -> int:
    if character.isascii():
        return 1
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1
