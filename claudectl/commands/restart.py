"""`claudectl restart`: a new run of a session."""

import click

from claudectl.commands.options import (
    all_projects_option,
    force_option,
    grace_option,
    id_argument,
    json_option,
    target_of,
)
from claudectl.documents import SessionDocument, json_text
from claudectl.launch import Launcher
from claudectl.reports import session_line
from claudectl_protocol.calls import Restart


@click.command("restart")
@id_argument
@force_option
@grace_option
@all_projects_option
@json_option
@click.pass_obj
def command(
    launcher: Launcher, target: str, force: bool, grace_s: float, all_projects: bool, as_json: bool
) -> None:
    """Start a session again, stopping it first if it runs; Claude resumes its conversation."""
    where = target_of(target, all_projects=all_projects)
    session = launcher.call(Restart(target=where, force=force, grace_s=grace_s))
    print(json_text(SessionDocument(session=session)) if as_json else f"restarted {session_line(session)}")
