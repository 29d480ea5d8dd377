"""`claudectl rename`: another name for a session."""

import click

from claudectl.commands.options import all_projects_option, id_argument, json_option, target_of
from claudectl.documents import SessionDocument, json_text
from claudectl.launch import Launcher
from claudectl.reports import session_line
from claudectl_protocol.calls import Rename


@click.command("rename")
@id_argument
@click.argument("name", metavar="NAME")
@all_projects_option
@json_option
@click.pass_obj
def command(launcher: Launcher, target: str, name: str, all_projects: bool, as_json: bool) -> None:
    """Give a session another name."""
    session = launcher.call(Rename(target=target_of(target, all_projects=all_projects), name=name))
    print(json_text(SessionDocument(session=session)) if as_json else f"renamed {session_line(session)}")
