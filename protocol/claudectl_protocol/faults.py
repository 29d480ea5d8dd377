"""Everything that can be refused, as data. English is written in one place only: claudectl/render.py."""

from typing import dataclass_transform

import msgspec

from claudectl_protocol.sessions import SessionId


@dataclass_transform(frozen_default=True, field_specifiers=(msgspec.field,))
class Fault(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="t"):
    """The base of all faults."""


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """A session that an ambiguous target could mean."""

    id: SessionId
    name: str
    project: str | None


class InvalidArgument(Fault, tag="invalid_argument"):
    """An argument is wrong in itself. `what` is the argument as the user knows it, `why` completes 'it …'."""

    what: str
    why: str


class BadName(Fault, tag="bad_name"):
    """A session name breaks the rule; `name` is already free of control characters."""

    name: str
    why: str


class ForbiddenArgument(Fault, tag="forbidden_argument"):
    """One of ARGS would take the conversation out of claudectl's hands (-p, --resume, --bg …)."""

    argument: str
    why: str


class SessionNotFound(Fault, tag="session_not_found"):
    """No session answers to `target`; `scope` is the project's directory or `all`."""

    target: str
    scope: str


class SessionAmbiguous(Fault, tag="session_ambiguous"):
    """More than one session answers to `target`."""

    target: str
    candidates: tuple[Candidate, ...]


class ProjectNotFound(Fault, tag="project_not_found"):
    """The directory is no known project."""

    path: str


class ProjectBusy(Fault, tag="project_busy"):
    """A project with live sessions cannot be taken off the list."""

    path: str
    active: int


class NameTaken(Fault, tag="name_taken"):
    """Another session of the same project has this name."""

    name: str
    session: SessionId


class ProcessAlreadyRunning(Fault, tag="process_already_running"):
    """The session runs (`pid` is None), or its conversation is open in another process (`pid`, if it is known)."""

    session: SessionId
    name: str
    pid: int | None = None


class NotRunning(Fault, tag="not_running"):
    """The act needs a running session."""

    session: SessionId
    name: str


class ClaudeCodeNotFound(Fault, tag="claude_code_not_found"):
    """Claude Code is not installed where we looked."""

    searched: tuple[str, ...]


class ProgramNotFound(Fault, tag="program_not_found"):
    """A --command program does not exist or may not be executed."""

    program: str
    searched: tuple[str, ...]
    executable: bool = True
    """False when a file is there but may not be executed."""


class SpawnError(Fault, tag="spawn_error"):
    """The child could not be started. `stage` is what was being done (cwd, pty, fork, setsid, limits, groups,
    chdir, exec, keeper), `error` the errno's name, `path` the file it concerns."""

    stage: str
    error: str
    path: str = ""
    detail: str = ""


class ProjectUnwritable(Fault, tag="project_unwritable"):
    """The project's directory cannot hold `.claudectl/`; --global is the way out."""

    path: str
    error: str


class StoreReadOnly(Fault, tag="store_read_only"):
    """A store may not be changed: `why` is newer_schema, copy, read_only or not_trusted."""

    path: str
    why: str
    detail: str = ""


class StoreFailed(Fault, tag="store_failed"):
    """A file could not be written; what was asked was not done."""

    path: str
    error: str


class KeeperUnavailable(Fault, tag="keeper_unavailable"):
    """The keeper does not answer; sessions live on, but nothing can be typed or started now."""

    why: str


class OldRunAlive(Fault, tag="old_run_alive"):
    """Processes of an earlier run could not be ended, so the conversation was not started a second time."""

    session: SessionId
    pids: tuple[int, ...]


class Unsupported(Fault, tag="unsupported"):
    """The daemon does not know this call; `call` is its tag."""

    call: str


class BadRequest(Fault, tag="bad_request"):
    """The bytes were no request: too large, malformed, out of order."""

    why: str


class Denied(Fault, tag="denied"):
    """The caller may not do this."""

    why: str


class TimedOut(Fault, tag="timed_out"):
    """It did not happen in time; it may still happen."""

    what: str
    timeout_s: float


class ShuttingDown(Fault, tag="shutting_down"):
    """The daemon is leaving; sessions go on, ask again in a moment."""


class Internal(Fault, tag="internal"):
    """A defect of the daemon; the log has the details under `ticket`."""

    ticket: str


AnyFault = (
    InvalidArgument
    | BadName
    | ForbiddenArgument
    | SessionNotFound
    | SessionAmbiguous
    | ProjectNotFound
    | ProjectBusy
    | NameTaken
    | ProcessAlreadyRunning
    | NotRunning
    | ClaudeCodeNotFound
    | ProgramNotFound
    | SpawnError
    | ProjectUnwritable
    | StoreReadOnly
    | StoreFailed
    | KeeperUnavailable
    | OldRunAlive
    | Unsupported
    | BadRequest
    | Denied
    | TimedOut
    | ShuttingDown
    | Internal
)


class Rejected(Exception):
    """The one exception that carries a fault, the same class on both sides."""

    def __init__(self, fault: AnyFault) -> None:
        super().__init__(fault)
        self.fault: AnyFault = fault
