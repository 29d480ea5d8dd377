"""The command line: global options, the verbs by name, and how a failure is told."""

import importlib
import os
import sys
from collections.abc import Sequence

import click

from claudectl.exit_codes import ExitCode
from claudectl.failures import EXPECTED, failure, tell
from claudectl.launch import Launcher
from claudectl_protocol import __version__
from claudectl_protocol.endpoint import socket_path, state_directory

VERBS = (
    "new",
    "ls",
    "attach",
    "send",
    "stop",
    "restart",
    "rename",
    "rm",
    "logs",
    "show",
    "status",
    "project",
    "daemon",
    "doctor",
    "completion",
    "config",
)
HINT = "claudectl: start a session with 'claudectl new', see all verbs with 'claudectl --help'"
_OFF = ("0", "no", "off", "false")


class Verbs(click.Group):
    """The verbs; a verb's module is imported when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in VERBS:
            return None
        command: click.Command = importlib.import_module(f"claudectl.commands.{cmd_name}").command
        return command


@click.command(
    cls=Verbs,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 ok, 1 failed, 2 usage, 3 no such session, 4 refused, 6 timeout, 7 program not found, "
    "8 spawn failed, 69 daemon unreachable, 70 internal or version mismatch.",
)
@click.option("--socket", metavar="PATH", help="The daemon's socket (also CLAUDECTL_SOCKET).")
@click.option("--no-start", is_flag=True, help="Start no daemon if none runs (also CLAUDECTL_AUTOSTART=0).")
@click.version_option(__version__, message="claudectl %(version)s")
@click.pass_context
def root(ctx: click.Context, socket: str | None, no_start: bool) -> None:
    """Supervise Claude Code sessions that outlive terminals, upgrades and reboots.

    Without a verb: list the sessions of this project.
    """
    state = state_directory(os.environ, os.getuid())
    ctx.obj = Launcher(
        socket or socket_path(os.environ, os.getuid(), state),
        state,
        os.environ,
        autostart=not no_start and os.environ.get("CLAUDECTL_AUTOSTART", "1").lower() not in _OFF,
        say=lambda sentence: print(f"claudectl: {sentence}", file=sys.stderr, flush=True),
    )
    if ctx.invoked_subcommand is None:
        listing = root.get_command(ctx, "ls")
        assert listing is not None
        ctx.invoke(listing)
        print(HINT, file=sys.stderr)


def run(arguments: Sequence[str]) -> int:
    """Do what `arguments` say and return the exit code; failures are told on stderr."""
    try:
        code = _invoke(arguments)
        sys.stdout.flush()
        return code
    except EXPECTED as error:
        told = failure(error)
        options = arguments[: arguments.index("--")] if "--" in arguments else arguments
        tell(told, as_json="--json" in options)
        return told.code
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        # Python flushes stdout once more at exit, and must not find the closed pipe again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.PIPE_CLOSED


def _invoke(arguments: Sequence[str]) -> int:
    # Not click's own main: it turns a closed pipe into exit code 1.
    try:
        with root.make_context("claudectl", list(arguments)) as context:
            result = root.invoke(context)
    except click.exceptions.Exit as left:
        return left.exit_code
    return result if isinstance(result, int) else ExitCode.OK
