"""What can happen to the registry. A stimulus carries its own time: the core has no clock."""

from claudectl_protocol.faults import AnyFault
from claudectl_protocol.sessions import Activity, ConversationId, Exit, RunId, SessionId, Size, Value
from claudectld.core.session import ProcessIdentity, Run, Session


class ProjectSeen(Value):
    """A project's file was read: at start, or when somebody first used the project.

    `moved_from` is where the project was before; its sessions name the new path already. `ours` says of a project
    that may not be written that its sessions are nevertheless this daemon's, and no copies of somebody's.
    """

    path: str
    sessions: tuple[Session, ...]
    available: bool
    writable: bool
    problem: str
    moved_from: str | None = None
    ours: bool = False


class GlobalSeen(Value):
    """The sessions that belong to no project were read."""

    sessions: tuple[Session, ...]


class ProjectDropped(Value):
    """A project was taken off the list."""

    path: str


class Requested(Value):
    """Somebody wants a new session; `session` is complete and `starting`, its name may still be empty."""

    session: Session


class StartWanted(Value):
    """Run a session that does not run: `restart`, or restore at the daemon's start."""

    session: SessionId
    run: Run
    now: float


class Spawned(Value):
    """The keeper started the run, or had started it before."""

    session: SessionId
    run: RunId
    process: ProcessIdentity
    now: float


class SpawnRefused(Value):
    """The run could not be started; nothing runs."""

    session: SessionId
    run: RunId
    fault: AnyFault
    text: str
    now: float


class StopWanted(Value):
    """Somebody wants the session ended and to stay so; with `again`, ended only to be run again."""

    session: SessionId
    grace_s: float
    force: bool
    again: bool
    now: float


class Exited(Value):
    """A run's main process ended, or is proven gone (`exit` unknown)."""

    run: RunId
    exit: Exit
    now: float


class Cleared(Value):
    """Nothing a run has started is left, except `leftovers` that could not be ended."""

    run: RunId
    leftovers: tuple[int, ...]
    now: float


class Renamed(Value):
    """Somebody wants another name for a session."""

    session: SessionId
    name: str


class Removed(Value):
    """Somebody wants a session forgotten."""

    session: SessionId


class Resized(Value):
    """A session's terminal has another size."""

    session: SessionId
    size: Size


class Reported(Value):
    """A source said what a run's child is doing."""

    run: RunId
    activity: Activity


class ConversationSeen(Value):
    """Claude itself says which conversation a run is in."""

    run: RunId
    conversation: ConversationId
    reason: str
    now: float


class Compared(Value):
    """What the keeper and the exit files know of a session's run, against which the registry sets itself right.

    `live` is the child if the keeper holds it, `ended` its exit if that is on record. `expected` says that the run
    was active before the keeper was asked: only then can it be found missing. `at_start` is True once per daemon:
    a run that was asked for and never seen is then asked for again.
    """

    session: SessionId
    boot_id: str
    expected: bool
    live: ProcessIdentity | None
    ended: Exit | None
    now: float
    at_start: bool


class SaveFailed(Value):
    """A store could not be written; sessions go on, and it is tried again."""

    project: str | None
    why: str


class Saved(Value):
    """A store is written and whole."""

    project: str | None


Stimulus = (
    ProjectSeen
    | GlobalSeen
    | ProjectDropped
    | Requested
    | StartWanted
    | Spawned
    | SpawnRefused
    | StopWanted
    | Exited
    | Cleared
    | Renamed
    | Removed
    | Resized
    | Reported
    | ConversationSeen
    | Compared
    | SaveFailed
    | Saved
)
