"""The exit codes, fixed from the first release, and which fault ends with which."""

from enum import IntEnum
from typing import assert_never

from claudectl_protocol import faults


class ExitCode(IntEnum):
    """What a script can rely on."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    REFUSED = 4
    NEEDS_INPUT = 5
    TIMED_OUT = 6
    PROGRAM_NOT_FOUND = 7
    SPAWN_FAILED = 8
    UNREACHABLE = 69
    INTERNAL = 70
    INTERRUPTED = 130
    """Ctrl-C: 128 and SIGINT, as shells do."""
    PIPE_CLOSED = 141
    """The reader of our output left: 128 and SIGPIPE."""


def exit_code(fault: faults.AnyFault) -> ExitCode:
    """The exit code of a command that was refused with `fault`."""
    match fault:
        case faults.InvalidArgument() | faults.BadName() | faults.ForbiddenArgument():
            return ExitCode.USAGE
        case faults.SessionNotFound() | faults.SessionAmbiguous() | faults.ProjectNotFound():
            return ExitCode.NOT_FOUND
        case (
            faults.NameTaken()
            | faults.ProcessAlreadyRunning()
            | faults.NotRunning()
            | faults.ProjectUnwritable()
            | faults.StoreReadOnly()
            | faults.ProjectBusy()
            | faults.Denied()
            | faults.OldRunAlive()
        ):
            return ExitCode.REFUSED
        case faults.TimedOut():
            return ExitCode.TIMED_OUT
        case faults.ClaudeCodeNotFound() | faults.ProgramNotFound():
            return ExitCode.PROGRAM_NOT_FOUND
        case faults.SpawnError():
            return ExitCode.SPAWN_FAILED
        case faults.ShuttingDown():
            return ExitCode.UNREACHABLE
        case faults.Unsupported() | faults.BadRequest() | faults.Internal():
            return ExitCode.INTERNAL
        case faults.StoreFailed() | faults.KeeperUnavailable():
            return ExitCode.FAILED
        case _:
            assert_never(fault)
