"""The nouns both sides show: sessions, projects, exits and what a session is doing.

Times are seconds since the Unix epoch (float), sizes are bytes, terminal sizes are cells.
"""

from enum import StrEnum
from typing import NewType, dataclass_transform

import msgspec

SessionId = NewType("SessionId", str)
"""A canonical lower-case uuid; people see and type its first eight hex digits or any unique prefix."""
RunId = NewType("RunId", str)
"""One life of a child: a canonical lower-case uuid."""
ConversationId = NewType("ConversationId", str)
"""Claude Code's own session id: the uuid that names a transcript."""


class Lifecycle(StrEnum):
    """What was last observed of a session's process."""

    QUEUED = "queued"
    STARTING = "starting"
    ACTIVE = "active"
    STOPPING = "stopping"
    STOPPED = "stopped"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    UNAVAILABLE = "unavailable"

    @property
    def is_live(self) -> bool:
        """True while a child may exist."""
        return self in (Lifecycle.STARTING, Lifecycle.ACTIVE, Lifecycle.STOPPING)


class Wanted(StrEnum):
    """What the person wants, kept apart from what is observed."""

    RUNNING = "running"
    STOPPED = "stopped"


class ActivityState(StrEnum):
    """What an active session is doing, as far as a source has said so."""

    WORKING = "working"
    IDLE = "idle"
    NEEDS_INPUT = "needs_input"
    ERROR = "error"
    UNKNOWN = "unknown"


@dataclass_transform(frozen_default=True, field_specifiers=(msgspec.field,))
class Value(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The base of every struct on the wire: frozen, a map, defaults left out."""


class Size(Value):
    """A terminal's size in cells, and in pixels where known (0 means unknown)."""

    cols: int
    rows: int
    xpixel: int = 0
    ypixel: int = 0


class Activity(Value):
    """One report of what a session is doing.

    `kind` is for needs_input: permission, question, trust or dialog. `text` is the source's own words, free of
    control characters. `source` says who reported it (osc7501, registry, process, none).
    """

    state: ActivityState
    kind: str = ""
    text: str = ""
    source: str = "none"
    since: float = 0.0


class Exit(Value):
    """How a run ended. Both `code` and `signal` are None when nobody could learn it: unknown is never 0.

    `reason` is one word (exited, signalled, unknown, spawn_failed, interrupted); `by` names who ended it (user,
    claudectl, system, or empty); `text` adds what is worth reading.
    """

    code: int | None = None
    signal: int | None = None
    at: float | None = None
    reason: str = "exited"
    by: str = ""
    text: str = ""


class SessionInfo(Value):
    """One line of `claudectl ls`."""

    id: SessionId
    name: str
    project: str | None
    """The project's directory, or None for a session that belongs to none."""
    cwd: str
    program: str
    """`claude`, or the program given with --command."""
    lifecycle: Lifecycle
    wanted: Wanted
    created_at: float
    activity: Activity | None = None
    since: float = 0.0
    """When `lifecycle` last changed."""
    pid: int | None = None
    run: RunId | None = None
    started_at: float | None = None
    ended_at: float | None = None
    exit: Exit | None = None
    conversation: ConversationId | None = None
    problem: str = ""
    """Why the session cannot be trusted to be saved or restored; empty when all is well."""


class ConversationEntry(Value):
    """One conversation a session has had; the last entry is the present one."""

    id: ConversationId
    since: float
    reason: str
    """created, restored, clear, resume or fork."""


class RecordInfo(Value):
    """The record of one run: everything its terminal printed, by offset."""

    run: RunId
    path: str
    start: int
    """The first offset still on disk."""
    end: int
    """The offset after the last byte."""
    gaps: tuple[tuple[int, int], ...] = ()
    """Known holes as (offset, size_bytes): bytes that could not be written."""
    possible_gaps: tuple[tuple[int, int], ...] = ()
    """Places where at most size_bytes may be missing because a keeper died: (offset, size_bytes)."""


class SessionDetail(Value):
    """Everything known about one session; values of environment variables are never part of it."""

    info: SessionInfo
    argv: tuple[str, ...]
    prompt: str | None
    env_names: tuple[str, ...]
    restore: bool
    conversations: tuple[ConversationEntry, ...]
    runs: tuple[RunId, ...]
    size: Size
    records: tuple[RecordInfo, ...] = ()
    boot_id: str = ""
    start_ticks: int | None = None


class ProjectInfo(Value):
    """One project: a directory with `.claudectl/` in it."""

    path: str
    sessions: int
    active: int
    available: bool = True
    writable: bool = True
    problem: str = ""


class DaemonStatus(Value):
    """What `claudectl status` and `claudectl daemon status` show."""

    version: str
    pid: int
    started_at: float
    socket: str
    state_directory: str
    keeper: str
    """ok, stalled or gone."""
    keeper_pid: int | None
    sessions: int
    active: int
    projects: int
    problems: tuple[str, ...] = ()
    orphans: tuple[str, ...] = ()
    """Runs the keeper has that no session knows; listed, never ended by themselves."""
