"""`claudectl attach`: a session in this terminal."""

import sys

import click

from claudectl.attachment import Attachment, Detached, Parting
from claudectl.commands.options import all_projects_option, id_argument, target_of
from claudectl.exit_codes import ExitCode
from claudectl.launch import Launcher
from claudectl.reports import exit_text
from claudectl.terminal import Terminal
from claudectl_protocol.calls import Target
from claudectl_protocol.faults import InvalidArgument, Rejected, ShuttingDown
from claudectl_protocol.sessions import Exit
from claudectl_protocol.stream import EndReason
from claudectl_protocol.text import plain


@click.command("attach")
@id_argument
@click.option("--read-only", is_flag=True, help="Only watch: no keys, no size; works without a terminal too.")
@click.option(
    "--history",
    type=click.IntRange(min=0),
    default=0,
    metavar="N",
    help="First print the last N lines that have scrolled away, for the terminal's own scrollback.",
)
@click.option(
    "--exit-status", is_flag=True, help="Exit as the child did (128 and the signal's number for one)."
)
@all_projects_option
@click.option("--json", "as_json", is_flag=True, help="Tell errors as a JSON document.")
@click.pass_obj
def command(
    launcher: Launcher,
    target: str,
    read_only: bool,
    history: int,
    exit_status: bool,
    all_projects: bool,
    as_json: bool,  # noqa: ARG001 - read by the command line itself, before a command can fail
) -> int:
    """Show a session in this terminal and type into it. Ctrl-Q leaves; the session goes on.

    Ctrl-Q in a paste is passed on. Ctrl-Z is not passed to a Claude Code, which it would freeze. With --read-only
    Ctrl-C leaves too. When the daemon goes the view starts another one, or waits for one with --no-start; keys
    typed meanwhile are discarded. The session has the size of the window in which somebody last typed; in another
    window one sees what fits.
    """
    where = target_of(target, all_projects=all_projects)
    return attach(launcher, where, read_only=read_only, exit_status=exit_status, history=history)


def attach(
    launcher: Launcher, target: Target, *, read_only: bool, exit_status: bool, history: int = 0
) -> int:
    """Attach this process's terminal until the person leaves or the session ends; returns the exit code."""
    terminal = Terminal(0, 1)
    if not terminal.has_keys and not read_only:
        raise Rejected(
            InvalidArgument(what="attach", why="needs a terminal on stdin; use --read-only to watch")
        )
    attachment = Attachment(launcher, target, terminal, read_only=read_only, history=history)
    try:
        parting = attachment.run()
    finally:
        if attachment.reconnections:
            times = "once" if attachment.reconnections == 1 else f"{attachment.reconnections} times"
            notice = f"claudectl: reconnected {times}; keys typed while no daemon ran were discarded"
            print(notice, file=sys.stderr)
    return _told(parting, exit_status=exit_status)


def _told(parting: Parting, *, exit_status: bool) -> int:
    name = plain(parting.name)
    match parting.end:
        case Detached():
            print(f"[detached from {name}]", file=sys.stderr)
            return ExitCode.OK
        case end if end.reason is EndReason.SHUTTING_DOWN:
            raise Rejected(ShuttingDown())
        case end if end.reason is EndReason.REMOVED:
            print(f"[{name} was removed]", file=sys.stderr)
            return ExitCode.OK
        case end:
            ending = end.exit or Exit()
            print(f"[{name} {exit_text(ending)}]", file=sys.stderr)
            return _child_status(ending) if exit_status else ExitCode.OK


def _child_status(ending: Exit) -> int:
    if ending.signal is not None:
        return 128 + ending.signal
    # Unknown is never success.
    return ExitCode.FAILED if ending.code is None else ending.code
