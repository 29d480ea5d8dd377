"""`claudectl show`: everything about one session."""

import sys
from time import time

import click

from claudectl.commands.options import all_projects_option, id_argument, json_option, target_of
from claudectl.documents import DetailDocument, json_text
from claudectl.launch import Launcher
from claudectl.reports import session_report
from claudectl_protocol.calls import Show


@click.command("show")
@id_argument
@all_projects_option
@json_option
@click.pass_obj
def command(launcher: Launcher, target: str, all_projects: bool, as_json: bool) -> None:
    """Show everything about one session; values of its environment are never shown."""
    shown = launcher.call(Show(target=target_of(target, all_projects=all_projects)))
    if as_json:
        print(json_text(DetailDocument(session=shown.info, detail=shown)))
    else:
        sys.stdout.write(session_report(shown, time()))
