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
    """Print what a session's terminal printed, while it runs or after; by default as text, line by line."""
    where = target_of(target, all_projects=all_projects)
    recording = Recording(launcher, where, None if run is None else RunId(run))
    tail = None if lines is None else recording.last_lines(lines)
    pieces = recording.rest(follow=follow) if follow or tail is None else iter(())
    if raw:
        for data in chain(() if tail is None else (tail,), pieces):
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
        return
    text = LogText()
    if tail is not None and lines is not None:
        shown = text.feed(tail) + ([] if follow else text.end())
        _print(shown[-lines:] if lines else [])
    for data in pieces:
        _print(text.feed(data))
    _print(text.end())


def _print(lines: list[str]) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()
