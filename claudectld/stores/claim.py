"""Whose the files of a project directory are, and so what we may do with them."""

import os
from typing import NamedTuple

from claudectl_protocol.faults import StoreFailed, StoreReadOnly
from claudectld.stores import roll, stamp
from claudectld.stores.document import Condition, Document, Reading
from claudectld.stores.files import Directory
from claudectld.stores.stamp import Stamp, Standing

DIRECTORY = ".claudectl"
PROJECT = "project.json"
SESSIONS = "sessions.json"


class Claim(NamedTuple):
    """What we may do in a project's directory: everything if `refusal` is None."""

    refusal: StoreReadOnly | StoreFailed | None = None
    stamped: bool = False
    """The stamp is there and right; otherwise it is due at the next write."""
    expected: bool = False
    """The directory has held our sessions, so a missing file is a loss."""
    moved_from: str | None = None
    ours: bool = False
    """The stamp says that no other directory can have these sessions, whether or not we may write."""
    problem: str = ""
    notices: tuple[str, ...] = ()


def claim(directory: Directory, project: Document, sessions: Document, here: Stamp, now: float) -> Claim:
    """Find out; nothing is written or repaired.

    Args:
        directory: the project's `.claudectl`.
        project: its `project.json`, which holds the stamp.
        sessions: its `sessions.json`: without a stamp only a directory without sessions is ours to take.
        here: the stamp that the directory would get now.
        now: seconds since the epoch.
    """
    reading = project.read(directory, now, repair=False)
    match reading.condition:
        case Condition.UNREADABLE:
            refusal = StoreFailed(path=os.path.join(directory.path, PROJECT), error=reading.error)
            return Claim(
                refusal, ours=_is_ours(reading, here), problem=reading.problem, notices=reading.notices
            )
        case Condition.NEWER | Condition.FOREIGN:
            newer = StoreReadOnly(path=directory.path, why="newer_schema", detail=reading.problem)
            return Claim(
                newer, ours=_is_ours(reading, here), problem=reading.problem, notices=reading.notices
            )
        case Condition.MISSING | Condition.LOST:
            return _unstamped(directory, reading, sessions.read(directory, now, repair=False))
        case Condition.GOOD:
            return _stamped(directory, reading, here)


def _unstamped(directory: Directory, reading: Reading, sessions: Reading) -> Claim:
    if sessions.condition in (Condition.GOOD, Condition.MISSING) and not sessions.body.get(roll.SESSIONS):
        return Claim(notices=reading.notices)
    why = f"{PROJECT} does not say that these sessions are ours: they are only shown"
    refusal = StoreReadOnly(path=directory.path, why="not_trusted", detail=why)
    return Claim(refusal, problem=why, notices=(*reading.notices, why))


def _stamped(directory: Directory, reading: Reading, here: Stamp) -> Claim:
    found = stamp.decode(reading.body)
    match found.standing(here, _is_gone):
        case Standing.OURS:
            # A stamp that came from the backup is written again.
            stamped = found == here and not reading.problem
            return Claim(
                stamped=stamped, expected=True, ours=True, problem=reading.problem, notices=reading.notices
            )
        case Standing.MOVED:
            why = f"moved here from {found.path}"
            notices = (*reading.notices, why)
            return Claim(expected=True, moved_from=found.path, ours=True, problem=why, notices=notices)
        case Standing.COPY:
            why = f"{found.origin(here)}: its sessions are shown and never restored"
            refusal = StoreReadOnly(path=directory.path, why="copy", detail=found.origin(here))
            return Claim(refusal, problem=why, notices=(*reading.notices, why))


def _is_ours(reading: Reading, here: Stamp) -> bool:
    """What a stamp says that may be of a later version, or of the version before."""
    if stamp.shape(reading.body):
        return False
    return stamp.decode(reading.body).standing(here, _is_gone) is Standing.OURS


def _is_gone(project: str) -> bool:
    try:
        os.lstat(os.path.join(project, DIRECTORY))
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False
