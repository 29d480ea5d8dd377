"""Options and arguments that several verbs share, and the values made of them."""

import os

import click

from claudectl_protocol.calls import Target
from claudectl_protocol.faults import InvalidArgument, Rejected

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
all_projects_option = click.option(
    "-g", "--all-projects", is_flag=True, help="Look for names in all projects, not only in this one."
)
force_option = click.option(
    "--force", is_flag=True, help="Kill at once what does not end, even a Claude younger than 10 s."
)
grace_option = click.option(
    "--grace",
    "grace_s",
    type=click.FloatRange(min=0),
    default=5.0,
    show_default=True,
    metavar="S",
    help="Seconds to end by itself before it is killed.",
)
id_argument = click.argument("target", metavar="ID")
ids_argument = click.argument("targets", metavar="ID...", nargs=-1, required=True)


def working_directory() -> str:
    """The directory of this process, from which names are looked up.

    Raises:
        Rejected: InvalidArgument when it has been deleted.
    """
    try:
        return os.getcwd()
    except FileNotFoundError as error:
        gone = InvalidArgument(what="the current directory", why="does not exist any more; cd to another one")
        raise Rejected(gone) from error


def target_of(text: str, *, all_projects: bool) -> Target:
    """The session that a person means by `text` here. Raises Rejected as `working_directory`."""
    return Target(text=text, cwd=working_directory(), all_projects=all_projects)
