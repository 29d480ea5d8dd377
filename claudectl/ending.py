"""Having the daemon leave, and, where nothing is to be left, the keeper after it."""

import json
import os
import select
import signal
from time import monotonic, sleep

from claudectl.client import GREETING_S, Client
from claudectl.exit_codes import ExitCode
from claudectl.launch import Launcher
from claudectl.service.port import ServiceTrouble
from claudectl.transport import (
    ConnectionLost,
    DaemonSilent,
    DaemonUnreachable,
    NoDaemon,
    connected_socket,
    peer_pid,
)
from claudectl_protocol.calls import Shutdown, Status
from claudectl_protocol.faults import Rejected, ShuttingDown
from claudectl_protocol.framing import RemoteProtocolError
from claudectl_protocol.sessions import DaemonStatus

DAEMON_S = 10.0
"""How long a daemon that was told by a signal may take to leave."""
KEEPER_S = 10.0
"""How long a keeper that has no child may take to leave."""
_POLL_S = 0.05


def end_daemon(launcher: Launcher, *, sessions: bool) -> bool:
    """Have the daemon leave and stay away; sessions go on unless `sessions`, which has them stopped first.

    A daemon that hangs, or speaks another protocol, is stopped by the service manager that keeps it; without one,
    one that speaks another protocol is told by a signal.

    Returns False when none ran. Raises what Client.connect and Client.call raise, and ServiceTrouble.
    """
    services = launcher.services()
    ran = True
    try:
        client = Client.connect(launcher.socket_path)
    except NoDaemon:
        ran = False
    except (DaemonSilent, RemoteProtocolError) as error:
        if sessions:
            raise
        if services is None or services.facts().daemon_pid is None:
            if isinstance(error, DaemonSilent):
                raise
            _terminate(launcher.socket_path)
    else:
        with client:
            client.call(Shutdown(sessions=sessions))
            _wait_for_its_end(client)
    if services is not None:
        services.stop()
    return ran


def _terminate(socket_path: str) -> None:
    """Ask for the end of the daemon that serves a socket in the one way that never changes."""
    with connected_socket(socket_path, GREETING_S) as sock:
        pid = peer_pid(sock)
    if pid is None:
        raise DaemonUnreachable("the system does not say which process the daemon is; end it, and try again")
    os.kill(pid, signal.SIGTERM)
    if not _has_ended(pid, DAEMON_S):
        raise DaemonUnreachable(f"the daemon (pid {pid}) does not leave; end it, and try again")


def end_everything(launcher: Launcher, *, sessions: bool) -> None:
    """Have the daemon and the keeper leave, and their sockets with them.

    Raises:
        ServiceTrouble: sessions run and are not to be stopped (then nothing has happened), or the keeper stays.
    """
    status = _present(launcher)
    if status is None:
        return
    if status.active and not sessions:
        run = "a session runs" if status.active == 1 else f"{status.active} sessions run"
        raise ServiceTrouble(
            f"{run}; stop them first, or have them stopped with --sessions", ExitCode.REFUSED
        )
    if status.orphans:
        raise ServiceTrouble(
            "the keeper keeps runs that no session knows; see 'claudectl daemon status', and end them first",
            ExitCode.REFUSED,
        )
    end_daemon(launcher, sessions=sessions)
    if status.keeper_pid is not None and not _has_ended(status.keeper_pid, KEEPER_S):
        raise ServiceTrouble(
            f"the keeper (pid {status.keeper_pid}) does not leave; a session may have been started meanwhile, "
            "see 'claudectl ls -g'"
        )
    try:
        os.rmdir(os.path.dirname(launcher.socket_path))
    except OSError:
        pass  # somebody else's files are in there, or it has gone


def _present(launcher: Launcher) -> DaemonStatus | None:
    """How the daemon is; where there is only a keeper, a daemon has to be asked what it keeps."""
    try:
        client = Client.connect(launcher.socket_path)
    except NoDaemon:
        if not _keeper_lives(launcher.state_directory):
            return None
        client = launcher.start()
    with client:
        return client.call(Status())


def _keeper_lives(state: str) -> bool:
    """False when there is certainly no keeper."""
    try:
        with open(os.path.join(state, "keeper.json"), encoding="utf-8") as file:
            keeper = json.load(file)
        os.kill(int(keeper["pid"]), 0)
        return str(keeper["boot_id"]) == _boot_id()
    except PermissionError:
        return False  # somebody else's process by now
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _boot_id() -> str | None:
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return None


def _has_ended(pid: int, timeout_s: float) -> bool:
    """Wait for the end of a process that is not our child; False when it outlasts `timeout_s`."""
    if hasattr(os, "pidfd_open"):
        try:
            fd = os.pidfd_open(pid)
        except ProcessLookupError:
            return True
        try:
            return bool(select.select([fd], [], [], timeout_s)[0])
        finally:
            os.close(fd)
    # Where there are no pidfds, nobody tells.
    deadline = monotonic() + timeout_s
    while monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        sleep(_POLL_S)
    return False


def _wait_for_its_end(client: Client) -> None:
    try:
        for _ in client.stream():
            pass
    except ConnectionLost:
        pass  # which is what was waited for
    except Rejected as rejected:
        if not isinstance(rejected.fault, ShuttingDown):
            raise
