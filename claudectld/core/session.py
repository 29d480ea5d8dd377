"""A session as it is stored and reasoned about, and the launch facts that are kept apart because they hold secrets."""

import msgspec

from claudectl_protocol.sessions import (
    Activity,
    ConversationEntry,
    ConversationId,
    Exit,
    Lifecycle,
    RunId,
    SessionId,
    SessionInfo,
    Size,
    Value,
    Wanted,
)

CLAUDE = "claude"
"""The `program` of a Claude Code session; anything else is a program's absolute path or name."""


class ProcessIdentity(Value):
    """A process that cannot be mistaken for a later one with the same pid.

    `start_ticks` is field 22 of /proc/PID/stat (clock ticks after boot): unlike a creation time derived from the
    wall clock it never moves.
    """

    boot_id: str
    pid: int
    start_ticks: int


class Run(Value):
    """One life of a child: what was asked of the keeper and, once known, who it is."""

    id: RunId
    boot_id: str
    """The boot it was asked for in: after another boot nothing of it can be alive."""
    started_at: float
    process: ProcessIdentity | None = None


class LaunchContext(Value):
    """What a child inherits from the client that asked for it. Holds secrets: never in a project file.

    `rlimits` maps resource numbers to (soft, hard) with -1 for no limit; `groups` are supplementary group ids.
    """

    env: dict[str, str]
    umask: int = 0o077
    rlimits: dict[int, tuple[int, int]] = {}
    groups: tuple[int, ...] = ()
    settings: str = ""
    """Claude's settings if they were given as JSON text."""


class Session(Value):
    """All that is needed to show a session and to start it again exactly."""

    id: SessionId
    name: str
    project: str | None
    cwd: str
    program: str
    args: tuple[str, ...] = ()
    """Arguments without the first prompt."""
    prompt: str | None = None
    """Passed only while no transcript exists, never on a resume."""
    env_names: tuple[str, ...] = ()
    restore: bool = False
    via_npx: bool = False
    """Where Claude Code is not installed, it may be run through npx."""
    size: Size = Size(cols=80, rows=24)
    wanted: Wanted = Wanted.RUNNING
    lifecycle: Lifecycle = Lifecycle.STARTING
    since: float = 0.0
    created_at: float = 0.0
    started_at: float | None = None
    ended_at: float | None = None
    exit: Exit | None = None
    run: Run | None = None
    """The present or the last run."""
    runs: tuple[RunId, ...] = ()
    """Every run, oldest first."""
    conversations: tuple[ConversationEntry, ...] = ()

    @property
    def is_claude(self) -> bool:
        """True for Claude Code, False for any other program."""
        return self.program == CLAUDE

    @property
    def conversation(self) -> ConversationId | None:
        """The present conversation of a Claude session."""
        return self.conversations[-1].id if self.conversations else None

    def info(self, activity: Activity | None = None, problem: str = "") -> SessionInfo:
        """The line that clients see, with what is known only while the daemon runs."""
        live = self.lifecycle.is_live
        process = self.run.process if self.run is not None else None
        return SessionInfo(
            id=self.id,
            name=self.name,
            project=self.project,
            cwd=self.cwd,
            program=self.program,
            lifecycle=self.lifecycle,
            wanted=self.wanted,
            created_at=self.created_at,
            activity=activity if live else None,
            since=self.since,
            pid=process.pid if live and process is not None else None,
            run=self.run.id if self.run is not None else None,
            started_at=self.started_at,
            ended_at=self.ended_at,
            exit=self.exit,
            conversation=self.conversation,
            problem=problem,
        )


def encode(session: Session) -> dict[str, object]:
    """The session as the JSON object that a store keeps."""
    built: dict[str, object] = msgspec.to_builtins(session)
    return built


def decode(value: object) -> Session:
    """The session in a stored JSON object.

    Raises:
        msgspec.ValidationError: a field is missing or has a wrong type.
    """
    return msgspec.convert(value, Session)
