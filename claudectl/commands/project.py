"""`claudectl project`: the directories that sessions belong to."""

import os
import shutil
import sys
from time import time

import click

from claudectl.commands.options import json_option, working_directory
from claudectl.documents import ProjectDocument, ProjectsDocument, TargetsDocument, json_text, project
from claudectl.launch import Launcher
from claudectl.reports import project_line, project_table
from claudectl_protocol.calls import ProjectAdd, ProjectListing, ProjectRemove, ProjectShow
from claudectl_protocol.text import plain, session_table

path_argument = click.argument("path", metavar="[PATH]", default="")


@click.group("project")
def command() -> None:
    """The projects that are known: directories with .claudectl in them."""


@command.command("add")
@path_argument
@json_option
@click.pass_obj
def add(launcher: Launcher, path: str, as_json: bool) -> None:
    """Make a directory (this one by default) a known project."""
    added = launcher.call(ProjectAdd(path=_absolute(path)))
    print(json_text(ProjectDocument(project=added)) if as_json else f"added {project_line(added)}")


@command.command("ls")
@json_option
@click.pass_obj
def ls(launcher: Launcher, as_json: bool) -> None:
    """List all projects."""
    projects = launcher.call(ProjectListing()).projects
    if as_json:
        print(json_text(ProjectsDocument(projects=projects)))
    else:
        sys.stdout.write(project_table(projects))


@command.command("rm")
@path_argument
@json_option
@click.pass_obj
def rm(launcher: Launcher, path: str, as_json: bool) -> None:
    """Take a project off the list; its files stay."""
    absolute = _absolute(path)
    launcher.call(ProjectRemove(path=absolute))
    print(json_text(TargetsDocument(done=(absolute,))) if as_json else f"removed {plain(absolute)}")


@command.command("show")
@path_argument
@json_option
@click.pass_obj
def show(launcher: Launcher, path: str, as_json: bool) -> None:
    """Show the project that a directory (this one by default) lies in, and its sessions."""
    shown = launcher.call(ProjectShow(path=_absolute(path)))
    if as_json:
        print(json_text(project(shown)))
        return
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    print(project_line(shown.project))
    sys.stdout.write(session_table(shown.sessions, time(), width))


def _absolute(path: str) -> str:
    return os.path.normpath(os.path.join(working_directory(), path))
