"""The outside world as the daemon sees it. Each port is small, has a fake in tests/fakes/ that passes the same
contract tests as the real thing, and its real implementation is named only in daemon.py.
"""

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from claudectl_protocol.sessions import (
    Activity,
    ConversationId,
    Exit,
    RecordInfo,
    RunId,
    SessionId,
    Size,
    Value,
)
from claudectld.core.session import LaunchContext, ProcessIdentity, Session

# --- keeper -----------------------------------------------------------------------------------------------------


class SpawnSpec(Value):
    """What the keeper needs to start one run. `argv[0]` is an absolute path; `env` is complete."""

    run: RunId
    session: SessionId
    argv: tuple[str, ...]
    cwd: str
    context: LaunchContext
    size: Size
    segment_bytes: int
    limit_bytes: int


class LiveRun(Value):
    """A run whose child the keeper has not seen end."""

    run: RunId
    session: SessionId
    process: ProcessIdentity
    size_bytes: int
    """The record's length."""


class EndedRun(Value):
    """A run that ended; `exit` has neither code nor signal when nobody could learn the status."""

    run: RunId
    session: SessionId
    exit: Exit
    size_bytes: int


class KeeperHello(Value):
    """The keeper's whole truth in one reply, so that adoption is atomic."""

    keeper: ProcessIdentity
    epoch: int
    """Grows with each controller; an older controller's requests are refused."""
    live: tuple[LiveRun, ...]
    ended: tuple[EndedRun, ...]
    """Exits that no daemon has acknowledged yet."""
    code: str = ""
    """Which copy of its code it runs; empty when it does not say."""


class KeeperCode(Value):
    """A copy of the keeper's code: what `hello` calls it, the directory it lies in, the interpreter to run it."""

    name: str
    directory: str
    interpreter: str


class Grown(Value):
    """The record of `run` now has `size_bytes`; said once per `watch`."""

    run: RunId
    size_bytes: int


class KeeperLost(Value):
    """The connection to the keeper ended. Children live on: the daemon holds the second leg."""

    why: str


KeeperEvent = Grown | EndedRun | KeeperLost


class SpawnFailed(Exception):
    """The child was not started. `stage` and `error` as in faults.SpawnError."""

    def __init__(self, stage: str, error: str, path: str = "", detail: str = "") -> None:
        super().__init__(f"{stage}: {error} {path} {detail}".rstrip())
        self.stage = stage
        self.error = error
        self.path = path
        self.detail = detail


class KeeperGone(Exception):
    """The keeper did not answer; what was asked may or may not have been done (and is safe to ask again)."""


class UpgradeRefused(Exception):
    """The keeper goes on in the code that it runs. `is_busy` when asking again later may help."""

    def __init__(self, why: str, *, is_busy: bool = False) -> None:
        super().__init__(why)
        self.is_busy = is_busy


class InputFull(Exception):
    """The child does not read what was typed before, and no more is kept for it. Nothing was typed."""


class Keeper(Protocol):
    """Runs: who lives, who ended, and starting one."""

    async def hello(self) -> KeeperHello:
        """Become the controller, collect duplicates of all masters, and learn everything at once.

        Raises KeeperGone.
        """
        ...

    async def spawn(self, spec: SpawnSpec) -> LiveRun | EndedRun:
        """Start a run, or answer with what became of it if it was started before. Raises SpawnFailed, KeeperGone."""
        ...

    async def acknowledge(self, run: RunId) -> None:
        """Say that a run's exit is on disk; the keeper will not report it again."""
        ...

    async def forget(self, session: SessionId, run: RunId) -> None:
        """Delete a run's files. A live run is refused (ValueError)."""
        ...

    async def upgrade(self, code: KeeperCode) -> str:
        """Have the keeper go on in other code, as the same process and parent; returns the name of what it runs then.

        Nothing in flight is lost. Raises UpgradeRefused; KeeperGone also when the new code speaks another protocol.
        """
        ...

    def events(self) -> AsyncIterator[KeeperEvent]:
        """What happens, in order; ends after KeeperLost."""
        ...


class KeeperTerminal(Protocol):
    """The terminals of live runs. Every method raises KeeperGone."""

    async def type(self, run: RunId, batch: str, data: bytes) -> bool:
        """Write one atomic batch of at most 1 MiB; returns when the child's terminal has taken it.

        A batch id that was seen before types nothing again. False when the run has ended. Raises InputFull.
        """
        ...

    async def resize(self, run: RunId, size: Size) -> None:
        """Set the terminal's size and record it at the present offset; nothing for a run that has ended."""
        ...

    async def signal(self, run: RunId, signal: int) -> None:
        """Signal the run's main process, only while it has not been reaped."""
        ...

    async def end(self, run: RunId, signal: int) -> tuple[int, ...]:
        """Signal everything the run started (descendants and orphans that carry its marker), main process included
        if alive; signal 0 only looks. Returns the pids that were still there. Works after the main process ended."""
        ...

    async def watch(self, run: RunId, size_bytes: int) -> None:
        """Ask for one Grown as soon as the record is longer than `size_bytes`."""
        ...


class WholeKeeper(Keeper, KeeperTerminal, Protocol):
    """Both ports of one keeper."""


class KeeperLink(Protocol):
    """How the daemon reaches the keeper that serves."""

    async def connect(self) -> WholeKeeper:
        """Reach the keeper, starting one if there is none. Raises KeeperGone."""
        ...

    async def installed(self) -> KeeperCode:
        """The code that a keeper started now would run. Raises KeeperGone when it cannot be copied."""
        ...

    def release(self) -> None:
        """Tell the keeper that it is not needed: it leaves as soon as it has no child."""
        ...

    async def replace(self) -> WholeKeeper:
        """After KeeperLost: reach it again, or start a successor and hand it every child. Raises KeeperGone."""
        ...


# --- record -----------------------------------------------------------------------------------------------------


class SizeChange(Value):
    """From the byte at `offset` on, the terminal had `size`."""

    offset: int
    size: Size


class Records(Protocol):
    """Reading what the keeper wrote. Blocking, but only for the time of a local read."""

    def read(self, session: SessionId, run: RunId, offset: int, size_bytes: int) -> tuple[int, bytes]:
        """At most `size_bytes` from the first recorded byte at or after `offset`; never across a gap.

        Returns (offset of the first byte, bytes); no bytes at the end of the record.
        """
        ...

    def extent(self, session: SessionId, run: RunId) -> tuple[int, int]:
        """(first offset on disk, length of the record); (0, 0) when there is none."""
        ...

    def sizes(self, session: SessionId, run: RunId) -> tuple[SizeChange, ...]:
        """Every size the terminal has had, in order; the first is the one it started with."""
        ...

    def info(self, session: SessionId, run: RunId) -> RecordInfo:
        """The record as clients see it: where it lies, its extent, what is missing from it."""
        ...

    def exit(self, session: SessionId, run: RunId) -> Exit | None:
        """The keeper's exit file, or None if it never wrote one."""
        ...


# --- screen -----------------------------------------------------------------------------------------------------


class Screen(Protocol):
    """What a terminal would show after a run's bytes. The only one that answers terminal queries."""

    def feed(self, data: bytes, *, live: bool) -> bytes:
        """Take bytes; return what must be typed back to answer the queries in them (nothing unless `live`)."""
        ...

    def resize(self, size: Size) -> None:
        """The terminal's size changed."""
        ...

    def repaint(self, history: int = 0) -> bytes:
        """Bytes that bring a freshly reset terminal of the same size to this screen and these modes.

        They leave out the last `held_bytes` of what was fed. Up to `history` lines that have scrolled away are
        printed first, so that the terminal has them to scroll back to.
        """
        ...

    @property
    def cells(self) -> "Cells | None":
        """What stands where; None for a screen that does not know."""
        ...

    def trim(self) -> None:
        """Give memory back, because nobody looks; what the screen shows stays."""
        ...

    @property
    def held_bytes(self) -> int:
        """How much at the end of what was fed is an unfinished sequence: it must follow a repaint."""
        ...

    @property
    def wants_jiggle(self) -> bool:
        """True when only the child itself can paint exactly, so that its size should be changed and changed back."""
        ...

    @property
    def activity(self) -> Activity | None:
        """The last report of the child's own state (`since` is 0: a screen has no clock), or None."""
        ...

    def checkpoint(self) -> bytes:
        """Everything needed to go on from here in another process."""
        ...


class Cells(Protocol):
    """A screen cell by cell."""

    def fitted(self, size: Size) -> bytes:
        """Bytes that paint on a terminal of another size as much of the screen as fits, around the cursor."""
        ...

    def rows(self, *, styled: bool = False) -> tuple[str, ...]:
        """The visible rows as text, without trailing blanks; `styled`, each with its colours as SGR sequences that
        end in a reset."""
        ...


class RenderedLog(Protocol):
    """A run's output as lines of text, as a terminal with endless scrollback would have kept them."""

    def feed(self, data: bytes) -> list[str]:
        """Take bytes; the lines that nothing can change any more. Blocking for as long as the bytes take to parse."""
        ...

    def resize(self, size: Size) -> None:
        """The terminal's size changed."""
        ...

    def finish(self) -> list[str]:
        """The lines that are left, down to the last row that is not blank."""
        ...


class Screens(Protocol):
    """Makes screens."""

    def fresh(self, size: Size) -> Screen:
        """A screen on which nothing has been printed."""
        ...

    def restored(self, checkpoint: bytes) -> Screen | None:
        """The screen that a checkpoint was made of, or None if it cannot be used."""
        ...

    def log(self, size: Size) -> RenderedLog | None:
        """A log that begins with an empty screen of this size; None where there is no emulator."""
        ...


# --- stores -----------------------------------------------------------------------------------------------------


class StoredProject(Value):
    """A project file's content. `problem` says why it is read-only or was repaired; `writable` is False for a copy,
    a newer schema or a read-only directory; `available` is False when the directory is missing."""

    path: str
    sessions: tuple[Session, ...] = ()
    available: bool = True
    writable: bool = True
    problem: str = ""
    moved_from: str | None = None
    """Where it was before it was found here."""
    ours: bool = False
    """True when it is proven to be no copy, whether or not it may be written."""


class Stored(Value):
    """Everything the stores hold. `notices` are sentences for people about what had to be repaired."""

    projects: tuple[StoredProject, ...] = ()
    global_sessions: tuple[Session, ...] = ()
    notices: tuple[str, ...] = ()


class SessionStore(Protocol):
    """The session files. Blocking (fsync): call from a worker thread. Raises Rejected(StoreFailed | StoreReadOnly |
    ProjectUnwritable) and changes nothing then."""

    def load(self) -> Stored:
        """Read the global file and every known project; never raises for bad content."""
        ...

    def open_project(self, path: str) -> StoredProject:
        """Make `path` a known project, creating `.claudectl/` if needed, and return what it holds."""
        ...

    def find_project(self, path: str) -> StoredProject | None:
        """What somebody finds who only looks: a project that was moved to `path`, which takes the place of its old
        path; one on the list that was out of reach; one that is not ours to change. None for anything else. Makes
        no project."""
        ...

    def save_project(self, path: str, sessions: Sequence[Session], *, removed: str = "") -> None:
        """Replace a project's sessions; fewer than last time needs the reason in `removed`."""
        ...

    def save_global(self, sessions: Sequence[Session], *, removed: str = "") -> None:
        """Replace the sessions that belong to no project; the list of projects is kept."""
        ...

    def close_project(self, path: str) -> None:
        """Take a project off the list; its files stay."""
        ...


class PrivateStore(Protocol):
    """Per-session secrets and daemon state outside projects. Blocking: call from a worker thread.

    What cannot be written raises Rejected(StoreFailed) and changes nothing.
    """

    def save_context(self, session: SessionId, context: LaunchContext) -> None:
        """Keep a session's launch context (0600, fsynced)."""
        ...

    def load_context(self, session: SessionId) -> LaunchContext | None:
        """The launch context, or None when it is missing or unreadable."""
        ...

    def save_checkpoint(self, run: RunId, offset: int, data: bytes) -> None:
        """Keep a screen's checkpoint; not fsynced: an older one costs only time."""
        ...

    def load_checkpoint(self, run: RunId) -> tuple[int, bytes] | None:
        """The newest whole checkpoint of a run as (offset, data)."""
        ...

    def remove(self, session: SessionId, runs: Sequence[RunId]) -> None:
        """Delete the context, settings and checkpoints of a session."""
        ...


class Conversations(Protocol):
    """One conversation has one writer. Blocking: call from a worker thread."""

    def acquire(self, session: Session, run: RunId) -> None:
        """Take the conversation of a Claude session for a run; nothing for other programs.

        Raises Rejected(ProcessAlreadyRunning) when somebody else has it and is not proven gone.
        """
        ...

    def confirm(self, session: Session, run: RunId, process: ProcessIdentity) -> None:
        """Say who the run's process is: from then on only its end makes the claim stale. Raises Rejected."""
        ...

    def release(self, session: Session, run: RunId) -> None:
        """Give up what a run of the session has; what its next run has taken already stays taken."""
        ...


# --- the machine ------------------------------------------------------------------------------------------------


class Machine(Protocol):
    """Clock, identities and processes."""

    def now(self) -> float:
        """Seconds since the epoch."""
        ...

    def boot_id(self) -> str:
        """Differs after every boot."""
        ...

    def is_alive(self, process: ProcessIdentity) -> bool:
        """False only when it is proven gone; unknown is not dead."""
        ...

    def marked(self, runs: Sequence[RunId]) -> tuple[RunId, ...]:
        """Those of `runs` whose marker a process of ours carries in its environment."""
        ...

    def wait_gone(self, pids: tuple[int, ...], timeout_s: float) -> bool:
        """Block until all the processes have ended or the time is over; True if all have ended."""
        ...


# --- launching --------------------------------------------------------------------------------------------------


class Launcher(Protocol):
    """What is to be executed for a session. Blocking: call from a worker thread."""

    def admit(self, session: Session, context: LaunchContext) -> tuple[Session, LaunchContext]:
        """Refuse what `prepare` would refuse, without writing anything; move what is secret into the context.

        Raises Rejected.
        """
        ...

    def prepare(self, session: Session, context: LaunchContext) -> SpawnSpec:
        """Resolve the program, build argv and environment, write the settings file.

        Raises Rejected (ClaudeCodeNotFound, ProgramNotFound, ForbiddenArgument, InvalidArgument, SpawnError for an
        unusable cwd, ProcessAlreadyRunning when the conversation is open elsewhere).
        """
        ...

    def conversation(self, session: Session, context: LaunchContext) -> ConversationId | None:
        """The conversation a live session's process says it is in, or None."""
        ...
