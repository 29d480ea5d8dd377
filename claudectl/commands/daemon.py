"""`claudectl daemon`: run, start, stop and look at the daemon itself."""

import os
import sys
from time import time

import click

from claudectl.client import Client
from claudectl.commands.options import json_option
from claudectl.documents import DaemonDocument, json_text
from claudectl.launch import Launcher, daemon_command
from claudectl.reports import daemon_report
from claudectl.transport import ConnectionLost, NoDaemon
from claudectl_protocol.calls import Shutdown, Status
from claudectl_protocol.faults import Rejected, ShuttingDown


@click.group("daemon")
def command() -> None:
    """The daemon that supervises the sessions."""


@command.command("run")
@click.pass_obj
def run(launcher: Launcher) -> None:
    """Run the daemon in the foreground, as service managers want it."""
    environment = {**os.environ, "CLAUDECTL_SOCKET": os.path.abspath(launcher.socket_path)}
    os.execve(sys.executable, daemon_command(), environment)


@command.command("start")
@json_option
@click.pass_obj
def start(launcher: Launcher, as_json: bool) -> None:
    """Start the daemon, unless it runs."""
    try:
        client = Client.connect(launcher.socket_path)
    except NoDaemon:
        client = launcher.start()
    with client:
        status = client.call(Status())
    print(json_text(DaemonDocument(daemon=status)) if as_json else f"claudectld runs (pid {status.pid})")


@command.command("stop")
@click.option("--sessions", is_flag=True, help="Stop every session first; without it they go on.")
@json_option
@click.pass_obj
def stop(launcher: Launcher, sessions: bool, as_json: bool) -> None:
    """Stop the daemon; sessions go on without it."""
    try:
        client = Client.connect(launcher.socket_path)
    except NoDaemon:
        said = "claudectld was not running"
    else:
        with client:
            client.call(Shutdown(sessions=sessions))
            _wait_for_its_end(client)
        said = "stopped claudectld and all sessions" if sessions else "stopped claudectld; sessions go on"
    print(json_text(DaemonDocument(daemon=None)) if as_json else said)


@command.command("status")
@json_option
@click.pass_obj
def status(launcher: Launcher, as_json: bool) -> None:
    """Show how the daemon is; never starts one."""
    with Client.connect(launcher.socket_path) as client:
        found = client.call(Status())
    if as_json:
        print(json_text(DaemonDocument(daemon=found)))
    else:
        sys.stdout.write(daemon_report(found, time()))


def _wait_for_its_end(client: Client) -> None:
    try:
        for _ in client.stream():
            pass
    except ConnectionLost:
        pass  # which is what was waited for
    except Rejected as rejected:
        if not isinstance(rejected.fault, ShuttingDown):
            raise
