"""`claudectl daemon`: run, start, stop and look at the daemon itself, and make a service of it."""

import os
import sys
from time import time

import click

from claudectl.client import Client
from claudectl.commands.options import json_option
from claudectl.daemon_log import follow, last_lines, log_paths
from claudectl.documents import (
    DaemonDocument,
    LogsDocument,
    LogText,
    ServiceDocument,
    UpgradeDocument,
    json_text,
)
from claudectl.ending import end_daemon, end_everything
from claudectl.exit_codes import ExitCode
from claudectl.launch import Launcher, daemon_command
from claudectl.reports import daemon_report, service_report, upgrade_report
from claudectl.transport import DaemonUnreachable, NoDaemon
from claudectl_protocol.calls import Status, UpgradeKeeper, UpgradeState
from claudectl_protocol.sessions import DaemonStatus
from claudectl_protocol.text import plain

LOG_LINES = 50


@click.group("daemon")
def command() -> None:
    """The daemon that supervises the sessions."""


@command.command("run")
@click.pass_obj
def run(launcher: Launcher) -> None:
    """Run the daemon in the foreground."""
    environment = {**os.environ, "CLAUDECTL_SOCKET": os.path.abspath(launcher.socket_path)}
    os.execve(sys.executable, daemon_command(), environment)


@command.command("start")
@json_option
@click.pass_obj
def start(launcher: Launcher, as_json: bool) -> None:
    """Start the daemon, unless it runs; by its service where that is installed."""
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
    if not end_daemon(launcher, sessions=sessions):
        said = "claudectld was not running"
    else:
        said = "stopped claudectld and all sessions" if sessions else "stopped claudectld; sessions go on"
    print(json_text(DaemonDocument(daemon=None)) if as_json else said)


@command.command("restart")
@json_option
@click.pass_obj
def restart(launcher: Launcher, as_json: bool) -> None:
    """Replace the daemon by a new one; no session is touched."""
    ran = end_daemon(launcher, sessions=False)
    status = _started(launcher)
    if as_json:
        print(json_text(DaemonDocument(daemon=status)))
    else:
        done = "restarted" if ran else "started"
        print(f"{done} claudectld (pid {status.pid}); no session was touched")


@command.command("upgrade")
@json_option
@click.pass_obj
def upgrade(launcher: Launcher, as_json: bool) -> int:
    """Have the version that is installed serve: the daemon anew, the keeper in place. No session is touched."""
    end_daemon(launcher, sessions=False)
    with launcher.silent().start() as client:
        keeper = client.call(UpgradeKeeper())
        done = UpgradeDocument(daemon=client.call(Status()), keeper=keeper)
    if as_json:
        print(json_text(done))
    else:
        sys.stdout.write(upgrade_report(done))
    return ExitCode.REFUSED if done.keeper.state is UpgradeState.REFUSED else ExitCode.OK


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


@command.command("install")
@json_option
@click.pass_obj
def install(launcher: Launcher, as_json: bool) -> None:
    """Make a service of the daemon and the keeper, and start it.

    It then starts with your first login, or at boot if you linger. A daemon that runs is replaced; no session is
    touched.
    """
    # What runs the service manager's programs is slow to import, and of no use to the other verbs.
    from claudectl.service.local import local_services, local_setup

    services = local_services(launcher.state_directory, launcher.environment)
    setup = local_setup(launcher.state_directory, launcher.socket_path, launcher.environment)
    changed = services.install(setup)
    if changed or _daemon_pid(launcher) != services.facts().daemon_pid:
        end_daemon(launcher, sessions=False)
    services.start()
    status = _started(launcher)
    facts = services.facts()
    installed = ServiceDocument(
        files=services.files(),
        daemon=status,
        # A keeper that detaches itself is in no service's hands anyway.
        keeper_in_service=facts.lingering is None or facts.keeper_pid == status.keeper_pid,
        lingering=facts.lingering,
    )
    if as_json:
        print(json_text(installed))
    else:
        sys.stdout.write(service_report(installed))


@command.command("uninstall")
@click.option("--sessions", is_flag=True, help="Stop every session first; without it, running ones refuse.")
@json_option
@click.pass_obj
def uninstall(launcher: Launcher, sessions: bool, as_json: bool) -> None:
    """End the daemon and the keeper and take their service away; sessions' files and all settings stay."""
    from claudectl.service.local import local_services

    services = local_services(launcher.state_directory, launcher.environment)
    files = services.files()
    end_everything(launcher, sessions=sessions)
    services.uninstall()
    if as_json:
        print(json_text(ServiceDocument()))
    elif files:
        print(f"removed {', '.join(map(plain, files))}")
        print(f"all data stays in {plain(launcher.state_directory)} and in the projects")
    else:
        print("no service was installed; no daemon and no keeper runs")


@command.command("logs")
@click.option("-f", "--follow", "follows", is_flag=True, help="Go on until interrupted.")
@click.option(
    "-n", "count", type=click.IntRange(min=0), default=LOG_LINES, show_default=True, help="How many lines."
)
@click.option("--keeper", is_flag=True, help="The keeper's log, too.")
@json_option
@click.pass_obj
def logs(launcher: Launcher, follows: bool, count: int, keeper: bool, as_json: bool) -> None:
    """Print the last lines of the daemon's own log."""
    paths = log_paths(launcher.state_directory, keeper=keeper)
    if follows:
        if as_json:
            raise click.UsageError("a log that is followed is no document; leave out --json or -f")
        follow(paths, count)
    found = tuple(LogText(path=path, lines=tuple(last_lines(path, count))) for path in paths)
    if as_json:
        print(json_text(LogsDocument(logs=found)))
        return
    for log in found:
        if len(found) > 1:
            print(f"==> {plain(log.path)} <==")
        for line in log.lines:
            print(plain(line))


def _started(launcher: Launcher) -> DaemonStatus:
    with launcher.silent().start() as client:
        return client.call(Status())


def _daemon_pid(launcher: Launcher) -> int | None:
    """The daemon that answers; None when none does."""
    try:
        with Client.connect(launcher.socket_path) as client:
            return client.call(Status()).pid
    except DaemonUnreachable:
        return None
