"""`claudectl ls`: the sessions of this project, or of all."""

import os
import shutil
import sys
from time import time

import click

from claudectl.commands.options import json_option, working_directory
from claudectl.documents import json_text, listing
from claudectl.launch import Launcher
from claudectl_protocol.calls import List
from claudectl_protocol.text import plain, session_table


@click.command("ls")
@click.option("-g", "--all-projects", is_flag=True, help="Sessions of all projects.")
@click.option("-a", "--all", "stopped", is_flag=True, help="Also sessions that were stopped.")
@click.option("-q", "--quiet", is_flag=True, help="Ids only, whole, one per line.")
@json_option
@click.pass_obj
def command(launcher: Launcher, all_projects: bool, stopped: bool, quiet: bool, as_json: bool) -> None:
    """List sessions."""
    if quiet and as_json:
        raise click.UsageError("-q and --json exclude each other")
    reply = launcher.call(List(cwd=working_directory(), all_projects=all_projects, stopped=stopped))
    if as_json:
        print(json_text(listing(reply)))
        return
    for notice in reply.notices:
        print(f"claudectl: {plain(notice)}", file=sys.stderr)
    if quiet:
        sys.stdout.write("".join(f"{session.id}\n" for session in reply.sessions))
        return
    is_tty = sys.stdout.isatty()
    table = session_table(
        reply.sessions,
        time(),
        shutil.get_terminal_size().columns if is_tty else None,
        colour=is_tty and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb",
        projects=all_projects,
        ascii_only=not _shows_symbols(),
    )
    sys.stdout.write(table)


def _shows_symbols() -> bool:
    try:
        "●◐○▸✗⟳■…".encode(sys.stdout.encoding)
    except UnicodeEncodeError:
        return False
    return True
