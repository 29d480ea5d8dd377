"""`claudectl status`: how the daemon and the keeper are."""

import sys
from time import time

import click

from claudectl.commands.options import json_option
from claudectl.documents import DaemonDocument, json_text
from claudectl.launch import Launcher
from claudectl.reports import daemon_report
from claudectl_protocol.calls import Status


@click.command("status")
@json_option
@click.pass_obj
def command(launcher: Launcher, as_json: bool) -> None:
    """Show how the daemon and the keeper are."""
    status = launcher.call(Status())
    if as_json:
        print(json_text(DaemonDocument(daemon=status)))
    else:
        sys.stdout.write(daemon_report(status, time()))
