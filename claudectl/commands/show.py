"""`claudectl show`: everything about one session."""

import sys
from time import time

import click

from claudectl.commands.options import all_projects_option, id_argument, json_option, target_of
from claudectl.documents import DetailDocument, ScreenDocument, json_text
from claudectl.launch import Launcher
from claudectl.reports import session_report
from claudectl_protocol.calls import Show, Target, View
from claudectl_protocol.text import plain


@click.command("show")
@id_argument
@click.option("--screen", is_flag=True, help="What its terminal shows, or showed at its end.")
@click.option("--ansi", is_flag=True, help="With --screen: in its colours.")
@all_projects_option
@json_option
@click.pass_obj
def command(
    launcher: Launcher, target: str, screen: bool, ansi: bool, all_projects: bool, as_json: bool
) -> None:
    """Show everything about one session; values of its environment are never shown."""
    where = target_of(target, all_projects=all_projects)
    if ansi and not screen:
        raise click.UsageError("--ansi goes with --screen")
    if screen:
        _show_screen(launcher, where, ansi=ansi, as_json=as_json)
        return
    shown = launcher.call(Show(target=where))
    if as_json:
        print(json_text(DetailDocument(session=shown.info, detail=shown)))
    else:
        sys.stdout.write(session_report(shown, time()))


def _show_screen(launcher: Launcher, target: Target, *, ansi: bool, as_json: bool) -> None:
    view = launcher.call(View(target=target, styled=ansi))
    if as_json:
        print(json_text(ScreenDocument(screen=view)))
    else:
        # Colours come from the daemon's own hand; a row without them is the child's text.
        sys.stdout.write("".join(f"{row if ansi else plain(row)}\n" for row in view.rows))
