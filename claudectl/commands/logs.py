"""`claudectl logs`: what a session's terminal printed."""

import sys
from itertools import chain

import click

from claudectl.commands.options import all_projects_option, id_argument, target_of
from claudectl.launch import Launcher
from claudectl.log_text import LogText
from claudectl.recording import Recording
from claudectl_protocol.sessions import RunId


@click.command("logs")
@id_argument
@click.option("-f", "--follow", is_flag=True, help="Go on until the run has ended.")
@click.option("--raw", is_flag=True, help="The exact bytes, escape sequences and all.")
@click.option("--tail", "lines", type=click.IntRange(min=0), metavar="N", help="Only the last N lines.")
@click.option("--run", metavar="RUN", help="An earlier run of the session, as 'show' lists them.")
@all_projects_option
@click.option("--json", "as_json", is_flag=True, help="Tell errors as a JSON document.")
@click.pass_obj
def command(
    launcher: Launcher,
    target: str,
    follow: bool,
    raw: bool,
    lines: int | None,
    run: str | None,
    all_projects: bool,
    as_json: bool,  # noqa: ARG001 - read by the command line itself, before a command can fail
) -> None:
    """Print what a session's terminal printed, while it runs or after: by default the lines that one would have seen.

    With --follow it is told line by line as it was printed, also what was painted over later.
    """
    where = target_of(target, all_projects=all_projects)
    recording = Recording(launcher, where, None if run is None else RunId(run))
    if not raw and not follow:
        for text in recording.text(lines):
            _print(text)
        return
    tail = None if lines is None else recording.last_lines(lines)
    pieces = recording.rest(follow=follow) if follow or tail is None else iter(())
    if raw:
        for data in chain(() if tail is None else (tail,), pieces):
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
        return
    printed = LogText()
    for data in chain(() if tail is None else (tail,), pieces):
        _print("".join(f"{line}\n" for line in printed.feed(data)))
    _print("".join(f"{line}\n" for line in printed.end()))


def _print(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
