"""The services of this machine's service manager, and what a service of this client's daemon is made of."""

import os
import pwd
import subprocess
import sys
from collections.abc import Mapping, Sequence
from time import sleep

from claudectl.service.launchd import Launchd, agents_directory
from claudectl.service.port import Run, Said, Services, ServiceTrouble, Setup
from claudectl.service.systemd import Systemd
from claudectl_protocol.endpoint import DAEMON_SOCKET, home_directory, socket_directory
from claudectl_protocol.services import run_directory, unit_directories

_KEPT = ("XDG_CONFIG_HOME", "XDG_STATE_HOME", "PYTHONPATH")


def local_services(state: str, environment: Mapping[str, str]) -> Services:
    """The services of a state directory under this machine's service manager. Raises NoHome, ServiceTrouble."""
    uid = os.getuid()
    run = command_runner(environment)
    if sys.platform == "darwin":
        return Launchd(state, agents_directory(home_directory(environment, uid)), uid, run, sleep)
    linger_file = os.path.join("/var/lib/systemd/linger", _user().pw_name)
    return Systemd(state, unit_directories(environment, uid), linger_file, run)


def local_setup(state: str, socket: str, environment: Mapping[str, str]) -> Setup:
    """A service that runs what this client runs: this interpreter, these directories, this socket."""
    kept = {name: environment[name] for name in _KEPT if environment.get(name)}
    if environment.get("HOME", "") not in ("", _user().pw_dir):
        kept["HOME"] = environment["HOME"]
    if "PYTHONPATH" in kept:
        paths = kept["PYTHONPATH"].split(os.pathsep)
        kept["PYTHONPATH"] = os.pathsep.join(map(os.path.abspath, paths))
    if socket != os.path.join(socket_directory(os.getuid(), state), DAEMON_SOCKET):
        kept["CLAUDECTL_SOCKET"] = os.path.abspath(socket)
    return Setup(python=sys.executable, state=state, environment=kept)


def command_runner(environment: Mapping[str, str]) -> Run:
    """Runs programs that find the user's service manager, in an environment in which they speak English."""
    env = {
        **environment,
        "XDG_RUNTIME_DIR": run_directory(environment, os.getuid()),
        "LC_ALL": "C.UTF-8",
        "SYSTEMD_PAGER": "",
    }

    def run(command: Sequence[str], timeout_s: float) -> Said:
        try:
            done = subprocess.run(
                command,
                env=env,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=timeout_s,
                check=False,
            )
        except OSError as error:
            return Said(127, "", f"{command[0]}: {error.strerror}")
        except subprocess.TimeoutExpired:
            return Said(124, "", f"{command[0]} has not answered for {timeout_s:g} s")
        return Said(done.returncode, done.stdout, done.stderr)

    return run


def _user() -> pwd.struct_passwd:
    """Who this is. Raises ServiceTrouble for a user that the system does not know."""
    try:
        return pwd.getpwuid(os.getuid())
    except KeyError as error:
        raise ServiceTrouble(
            f"the system knows no user {os.getuid()}, so there is no service of theirs"
        ) from error
