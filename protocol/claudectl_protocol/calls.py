"""Every call a client can make, with the reply it gets. To add one: a struct here, an arm in service.py."""

from enum import StrEnum
from typing import Generic, TypeVar, dataclass_transform

import msgspec

from claudectl_protocol.diagnosis import Diagnosis
from claudectl_protocol.sessions import (
    DaemonStatus,
    ProjectInfo,
    RunId,
    SessionDetail,
    SessionId,
    SessionInfo,
    Size,
    Value,
)

R = TypeVar("R")


@dataclass_transform(frozen_default=True, field_specifiers=(msgspec.field,))
class Call(msgspec.Struct, Generic[R], frozen=True, kw_only=True, omit_defaults=True, tag_field="t"):
    """A request whose reply is an `R`; a refusal is a Fault instead."""


class Target(Value):
    """How a person names a session: a name or an id prefix, seen from a directory.

    Exact names resolve in the project of `cwd` (everywhere with `all_projects`); prefixes under eight hex digits
    likewise, longer ones anywhere.
    """

    text: str
    cwd: str
    all_projects: bool = False


class Done(Value):
    """A reply that says no more than that it was done."""


class SessionList(Value):
    """Sessions in the order they are shown, and what the reader should be told beside them."""

    sessions: tuple[SessionInfo, ...]
    notices: tuple[str, ...] = ()


class TableText(Value):
    """Finished text, each line with its newline; `notices` are to be told beside it."""

    text: str
    notices: tuple[str, ...] = ()


class ProjectList(Value):
    """All known projects by path."""

    projects: tuple[ProjectInfo, ...]


class ProjectDetail(Value):
    """One project and its sessions."""

    project: ProjectInfo
    sessions: tuple[SessionInfo, ...]


class New(Call[SessionInfo], tag="new"):
    """Create a session and start its child; the reply comes when the child has been exec'ed.

    `key` becomes the session's id: the same call with the same key starts nothing twice, and after a broken
    connection `Show` of the key tells whether anything was started. `program` empty means Claude Code and `args`
    are its arguments; otherwise the program to run with `args`. `env` is the client's whole environment; the
    daemon scrubs it. `rlimits` maps resource numbers to (soft, hard), -1 for no limit.
    """

    key: SessionId
    cwd: str
    prompt: str | None = None
    name: str | None = None
    program: str = ""
    args: tuple[str, ...] = ()
    no_project: bool = False
    restore: bool = False
    """For other programs than Claude: run again after an interruption."""
    env: dict[str, str] = {}
    raw_env: dict[bytes, bytes] = {}
    """The variables that are no UTF-8."""
    umask: int = 0o077
    rlimits: dict[int, tuple[int, int]] = {}
    groups: tuple[int, ...] = ()
    size: Size | None = None
    via_npx: bool = False
    """At each start at which Claude Code is not installed, run it through npx, which downloads it."""


class List(Call[SessionList], tag="list"):
    """Sessions of the project of `cwd`, or all; stopped ones only with `stopped`."""

    cwd: str
    all_projects: bool = False
    stopped: bool = False


class Table(Call[TableText], tag="table"):
    """The sessions that List gives as the text that `claudectl ls` prints, for clients that must start at once.

    `width` is the terminal's, or None when lines may have any length. `ids` gives whole ids only, one per line.
    """

    cwd: str
    all_projects: bool = False
    stopped: bool = False
    ids: bool = False
    width: int | None = None
    colour: bool = False


class Show(Call[SessionDetail], tag="show"):
    """Everything about one session."""

    target: Target


class Stop(Call[SessionInfo], tag="stop"):
    """End a session and everything it started; the reply comes when it has ended.

    Terminates first and kills after `grace_s`; a Claude younger than 10 s is not killed unless `force`.
    """

    target: Target
    force: bool = False
    grace_s: float = 5.0


class Restart(Call[SessionInfo], tag="restart"):
    """Stop the session if it runs and start a new run of it: Claude resumes its conversation."""

    target: Target
    force: bool = False
    grace_s: float = 5.0


class Rename(Call[SessionInfo], tag="rename"):
    """Give a session another name."""

    target: Target
    name: str


class Remove(Call[Done], tag="remove"):
    """Forget a session and delete its records and secrets; a running one only with `force`, which stops it."""

    target: Target
    force: bool = False


class SendKeys(Call[Done], tag="send_keys"):
    """Type bytes into a session's terminal, as one batch, at most once per `key`."""

    target: Target
    data: bytes
    key: str


class Status(Call[DaemonStatus], tag="status"):
    """How the daemon itself is."""


class ProjectAdd(Call[ProjectInfo], tag="project_add"):
    """Make `path` a known project (creates `.claudectl/`)."""

    path: str


class ProjectRemove(Call[Done], tag="project_remove"):
    """Take a project off the list; its files stay."""

    path: str


class ProjectListing(Call[ProjectList], tag="project_list"):
    """All known projects."""


class ProjectShow(Call[ProjectDetail], tag="project_show"):
    """The project that `path` lies in."""

    path: str


class Diagnose(Call[Diagnosis], tag="diagnose"):
    """How the daemon's side of this machine is, for a caller with this environment in this directory."""

    cwd: str
    env: dict[str, str] = {}


class Shutdown(Call[Done], tag="shutdown"):
    """End the daemon. Sessions go on unless `sessions`, which stops each of them first."""

    sessions: bool = False


class UpgradeState(StrEnum):
    """What became of an upgrade."""

    UPGRADED = "upgraded"
    """By this daemon, now or since it started."""
    CURRENT = "current"
    """There was nothing to do."""
    REFUSED = "refused"
    """The keeper goes on in the code that it ran."""


class KeeperUpgrade(Value):
    """What was done about the keeper's code; `why` is a sentence where there is more to say."""

    state: UpgradeState
    why: str = ""


class UpgradeKeeper(Call[KeeperUpgrade], tag="upgrade_keeper"):
    """Bring the keeper to the code of the daemon's version, in place: no session is touched."""


class Attached(Value):
    """The connection is now a terminal: data, repaint, resize and end frames only.

    `offset` is the record offset from which data will follow (a repaint frame says its own).
    """

    session: SessionId
    name: str
    run: RunId
    offset: int
    size: Size
    resumed: bool
    """True when data goes on exactly at the offset asked for, without a repaint."""
    suspend_key: bool = True
    """False when Ctrl-Z must not reach the child because it would freeze it."""


class Attach(Call[Attached], tag="attach"):
    """Turn this connection into the session's terminal.

    `run` and `offset` say "I have up to byte N of this run": data goes on there if it still can, else a repaint
    comes first. While the session's terminal has another size than the client's, the client gets repaints of what
    fits into its window, and no data. A read-only client without a size is no terminal: it gets all data.
    """

    target: Target
    size: Size | None = None
    read_only: bool = False
    run: RunId | None = None
    offset: int | None = None
    history: int = 0
    """How many lines that have scrolled away the first repaint is to begin with, as far as they are known."""


class ScreenView(Value):
    """What a run's terminal shows, or showed when the run ended."""

    session: SessionId
    run: RunId
    size: Size
    rows: tuple[str, ...]
    """The visible rows without trailing blanks; with SGR sequences for their colours if that was asked for."""
    offset: int
    """How much of the record has been taken into account."""
    live: bool
    """False when the run has ended."""


class View(Call[ScreenView], tag="view"):
    """A look at a session's screen, without attaching; `run` defaults to the present or last one."""

    target: Target
    run: RunId | None = None
    styled: bool = False


class LogsStarted(Value):
    """The connection now carries data frames of one run's record, then an end frame."""

    session: SessionId
    run: RunId
    start: int
    """The first offset that will be sent; larger than asked for when older segments are gone."""
    end: int
    """The record's length when the call was answered."""
    rendered: bool = False
    """True when lines of text follow, False when it is the record itself, also because there is no emulator."""


class Logs(Call[LogsStarted], tag="logs"):
    """Read a session's record from disk, while it runs or after.

    `tail_bytes` starts that many bytes before the end; `follow` goes on until the run has ended. `rendered` gives
    lines of text (UTF-8, each with a line feed) as a terminal with endless scrollback would have kept them, up to
    the record's present end; the offsets are still the record's.
    """

    target: Target
    run: RunId | None = None
    offset: int = 0
    tail_bytes: int | None = None
    follow: bool = False
    rendered: bool = False


AnyCall = (
    New
    | List
    | Table
    | Show
    | Stop
    | Restart
    | Rename
    | Remove
    | SendKeys
    | Status
    | ProjectAdd
    | ProjectRemove
    | ProjectListing
    | ProjectShow
    | Diagnose
    | Shutdown
    | UpgradeKeeper
    | View
    | Attach
    | Logs
)
