"""Questions to the user's service manager. Nothing is changed, and a manager that does not answer is not waited for."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from claudectl.doctor.facts import Service, Unit
from claudectl.service.launchd import DAEMON, KEEPER, agent_state, agents_directory
from claudectl_protocol.endpoint import home_directory, state_directory
from claudectl_protocol.services import DAEMON_UNIT, KEEPER_UNIT, installed_unit, run_directory

TIMEOUT_S = 5.0
_PROPERTIES = ("ActiveState", "UnitFileState", "MainPID")


class NoAnswer(Exception):
    """The manager said nothing useful; the message is a sentence."""


IsInstalled = Callable[[str], bool]
"""Whether the service of this name is there for our state directory."""
Ask = Callable[[Sequence[str]], str]
"""Runs a command and returns what it prints. Raises NoAnswer."""


class ServiceManager(Protocol):
    """What can be asked."""

    def service(self) -> Service:
        """The manager, and our services in it. Never raises."""
        ...

    def lingering(self) -> bool | None:
        """Whether services of this user live without a login; None when it does not say."""
        ...


class Systemd:
    """`systemctl --user` and `loginctl`."""

    def __init__(self, ask: Ask, is_installed: IsInstalled, uid: int) -> None:
        self._ask = ask
        self._is_installed = is_installed
        self._uid = uid

    def service(self) -> Service:
        """See ServiceManager."""
        try:
            return Service(manager="systemd", daemon=self._unit(DAEMON_UNIT), keeper=self._unit(KEEPER_UNIT))
        except NoAnswer as error:
            return Service(manager="systemd", trouble=str(error))

    def lingering(self) -> bool | None:
        """See ServiceManager."""
        try:
            said = self._ask(["loginctl", "show-user", str(self._uid), "--property=Linger"])
        except NoAnswer:
            return None
        return {"Linger=yes": True, "Linger=no": False}.get(said.strip())

    def _unit(self, name: str) -> Unit:
        wanted = [f"--property={name}" for name in _PROPERTIES]
        said = self._ask(["systemctl", "--user", "show", *wanted, name])
        fields = dict(line.split("=", 1) for line in said.splitlines() if "=" in line)
        pid = fields.get("MainPID", "0")
        return Unit(
            installed=self._is_installed(name),
            enabled=fields.get("UnitFileState") == "enabled",
            state=fields.get("ActiveState", "unknown"),
            pid=int(pid) if pid.isdigit() and pid != "0" else None,
        )


class Launchd:
    """`launchctl print`, whose text is meant for people: only two of its words are looked for."""

    def __init__(self, ask: Ask, is_installed: IsInstalled, uid: int) -> None:
        self._ask = ask
        self._is_installed = is_installed
        self._uid = uid

    def service(self) -> Service:
        """See ServiceManager."""
        return Service(manager="launchd", daemon=self._agent(DAEMON), keeper=self._agent(KEEPER))

    def lingering(self) -> bool | None:
        """See ServiceManager: there is no such thing here."""
        return None

    def _agent(self, label: str) -> Unit:
        installed = self._is_installed(label)
        try:
            said = self._ask(["launchctl", "print", f"gui/{self._uid}/{label}"])
        except NoAnswer:
            # It is handed over at the next login.
            return Unit(installed=installed, enabled=installed)
        words = [line.strip().partition(" = ") for line in said.splitlines()]
        # The first of a name is the job's own; others are of its parts.
        fields = {name: value for name, _, value in reversed(words)}
        pid = fields.get("pid", "")
        state = "active" if fields.get("state") == "running" else "inactive"
        return Unit(
            installed=installed, enabled=installed, state=state, pid=int(pid) if pid.isdigit() else None
        )


class Nobody:
    """No service manager."""

    def service(self) -> Service:
        """See ServiceManager."""
        return Service(manager="")

    def lingering(self) -> bool | None:
        """See ServiceManager."""
        return None


def service_manager(environment: Mapping[str, str], uid: int) -> ServiceManager:
    """The manager of this machine. Raises endpoint.NoHome."""
    state = state_directory(environment, uid)
    ask = asking(environment, uid)
    if sys.platform == "darwin":
        agents = agents_directory(home_directory(environment, uid))
        own = os.path.realpath(state)

        def is_agent(label: str) -> bool:
            found = agent_state(os.path.join(agents, f"{label}.plist"))
            return found is not None and os.path.realpath(found) == own

        return Launchd(ask, is_agent, uid)
    if shutil.which("systemctl", path=environment.get("PATH")):
        return Systemd(ask, lambda unit: installed_unit(unit, state, environment, uid) is not None, uid)
    return Nobody()


def asking(environment: Mapping[str, str], uid: int) -> Ask:
    """Runs commands with this environment, in which the user's manager is found also where nobody has logged in."""
    env = {**environment, "LC_ALL": "C", "XDG_RUNTIME_DIR": run_directory(environment, uid)}

    def ask(command: Sequence[str]) -> str:
        try:
            done = subprocess.run(
                command,
                env=env,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise NoAnswer(f"{command[0]} did not answer within {TIMEOUT_S:g} s") from error
        except OSError as error:
            raise NoAnswer(f"{command[0]}: {os.strerror(error.errno or 0)}") from error
        if done.returncode:
            lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
            raise NoAnswer(lines[0] if lines else f"{command[0]} left with {done.returncode}")
        return done.stdout.decode("utf-8", "replace")

    return ask
