"""`claudectl new`: create a session and start its child."""

import os
import shutil
import sys
from uuid import uuid4

import click
from msgspec import structs

from claudectl.commands.attach import attach
from claudectl.commands.options import json_option, working_directory
from claudectl.creation import created_session
from claudectl.documents import SessionDocument, json_text
from claudectl.inheritance import (
    inherited_environment,
    inherited_groups,
    inherited_raw_environment,
    inherited_rlimits,
    inherited_umask,
)
from claudectl.launch import Launcher
from claudectl.reports import session_line
from claudectl.terminal import terminal_size
from claudectl_protocol.calls import New, Target
from claudectl_protocol.faults import ClaudeCodeNotFound, Rejected
from claudectl_protocol.sessions import SessionId


class ArgumentsAfterDashes(click.Command):
    """A command for which everything behind the first `--` belongs to the child, so that no word of it can be
    taken for the prompt or an option."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        cut = args.index("--") if "--" in args else len(args)
        ctx.meta[__name__] = tuple(args[cut + 1 :])
        return super().parse_args(ctx, args[:cut])

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        return [*super().collect_usage_pieces(ctx), "[-- ARGS...]"]


@click.command("new", cls=ArgumentsAfterDashes)
@click.argument("prompt", metavar="[PROMPT]", required=False)
@click.option("-n", "--name", metavar="NAME", help="Its name; one is made up otherwise.")
@click.option("-C", "--cwd", "directory", metavar="DIR", help="Start it in DIR instead of here.")
@click.option("--attach", "attached", is_flag=True, help="Attach to it at once.")
@click.option("--global", "no_project", is_flag=True, help="Keep it in no project.")
@click.option(
    "--command", "is_command", is_flag=True, help="ARGS are a program and its arguments, not Claude's."
)
@click.option("--restore", is_flag=True, help="With --command: run it again after an interruption.")
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    prompt: str | None,
    name: str | None,
    directory: str | None,
    attached: bool,
    no_project: bool,
    is_command: bool,
    restore: bool,
    as_json: bool,
) -> int | None:
    """Start a session: Claude Code with PROMPT and its own ARGS, or any program with --command."""
    arguments: tuple[str, ...] = ctx.meta[__name__]
    program = ""
    if is_command:
        if prompt is not None:
            raise click.UsageError("PROMPT is for Claude Code and cannot go with --command")
        if not arguments:
            raise click.UsageError("--command needs the program and its arguments after '--'")
        program, *rest = arguments
        arguments = tuple(rest)
    if restore and not is_command:
        raise click.UsageError("--restore is for --command; Claude Code sessions are always restored")
    if attached and as_json:
        raise click.UsageError("--attach and --json exclude each other")
    launcher: Launcher = ctx.obj
    call = New(
        key=SessionId(str(uuid4())),
        cwd=os.path.normpath(os.path.join(working_directory(), directory or "")),
        prompt=prompt,
        name=name,
        program=program,
        args=arguments,
        no_project=no_project,
        restore=restore,
        env=inherited_environment(os.environ),
        raw_env=inherited_raw_environment(os.environ),
        umask=inherited_umask(),
        rlimits=inherited_rlimits(),
        groups=inherited_groups(),
        size=terminal_size(0) or terminal_size(1) or terminal_size(2),
    )
    try:
        session = created_session(launcher, call)
    except Rejected as rejected:
        if not isinstance(rejected.fault, ClaudeCodeNotFound) or as_json or not _agrees_to_npx():
            raise
        session = created_session(launcher, structs.replace(call, via_npx=True))
    print(json_text(SessionDocument(session=session)) if as_json else session_line(session), flush=True)
    if not attached:
        return None
    return attach(launcher, Target(text=session.id, cwd=call.cwd), read_only=False, exit_status=False)


def _agrees_to_npx() -> bool:
    """Whether a person at a terminal wants what npx would download; asked once, and never without one."""
    if shutil.which("npx") is None or not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    question = "Claude Code is not installed. Run it through npx (downloads it now)? [y/N] "
    print(question, end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")
