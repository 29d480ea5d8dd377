"""The file that a running Claude keeps about itself, sessions/PID.json: its conversation, what it is doing.

Undocumented, so it is only read, and only believed when it names the very process that has the pid.
"""

import os
import uuid
from pathlib import Path

import msgspec

from claudectl_protocol.sessions import Activity, ActivityState, ConversationId, Value
from claudectl_protocol.text import plain
from claudectld.machine import start_ticks

SOURCE = "registry"
_LARGEST_BYTES = 65536


class _File(msgspec.Struct, frozen=True, rename="camel"):
    pid: int
    session_id: str
    proc_start: str | int | None = None
    cwd: str = ""
    kind: str = ""
    status: str = ""
    waiting_for: str | None = None
    status_updated_at: float = 0.0


class Entry(Value):
    """What one live Claude says about itself.

    `status` is idle, busy, waiting or shell, `waiting_for` what it waits for, both in its own words and free
    of control characters; `at` is when the status last changed (epoch seconds).
    """

    pid: int
    conversation: ConversationId
    cwd: str = ""
    status: str = ""
    waiting_for: str = ""
    at: float = 0.0


def read(config: Path, pid: int) -> Entry | None:
    """What the live process `pid` says about itself.

    None while it has said nothing (trust and key dialogs), when the file is unreadable or half written, and
    when it was left behind by an earlier process with the same pid.
    """
    return _read(config / "sessions" / f"{pid}.json", pid)


def holders(config: Path, conversation: ConversationId) -> tuple[Entry, ...]:
    """Every live process, ours included, that has this conversation open; by pid."""
    found = []
    for path in config.glob("sessions/*.json"):
        if path.stem.isdecimal():
            entry = _read(path, int(path.stem))
            if entry is not None and entry.conversation == conversation:
                found.append(entry)
    return tuple(sorted(found, key=lambda entry: entry.pid))


def activity(entry: Entry) -> Activity | None:
    """The entry's status as an activity; None for a status this version does not know."""
    match entry.status:
        case "idle":
            return Activity(state=ActivityState.IDLE, source=SOURCE, since=entry.at)
        case "busy" | "shell":
            return Activity(state=ActivityState.WORKING, source=SOURCE, since=entry.at)
        case "waiting":
            return Activity(
                state=ActivityState.NEEDS_INPUT,
                kind=_kind(entry.waiting_for),
                text=entry.waiting_for,
                source=SOURCE,
                since=entry.at,
            )
        case _:
            return None


def _read(path: Path, pid: int) -> Entry | None:
    try:
        with path.open("rb") as file:
            content = msgspec.json.decode(file.read(_LARGEST_BYTES), type=_File)
    except (OSError, msgspec.MsgspecError, RecursionError):
        return None
    if content.pid != pid or not _is_live(pid, content.proc_start):
        return None
    try:
        conversation = str(uuid.UUID(content.session_id))
    except ValueError:
        return None
    return Entry(
        pid=pid,
        conversation=ConversationId(conversation),
        cwd=content.cwd,
        status=plain(content.status, 64),
        waiting_for=plain(content.waiting_for or "", 200),
        at=content.status_updated_at / 1000,
    )


def _is_live(pid: int, proc_start: str | int | None) -> bool:
    try:
        ticks = start_ticks(pid)
    except OSError:
        ticks = None
    if ticks is not None:
        # Claude writes the raw start ticks as text; an unknown start is not a proof against it.
        return proc_start is None or str(proc_start) == str(ticks)
    if os.path.isdir("/proc/self"):
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _kind(waiting_for: str) -> str:
    match waiting_for:
        case "permission prompt":
            return "permission"
        case "input needed":
            return "question"
        case _:
            return "dialog"
