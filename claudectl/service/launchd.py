"""The services under launchd, as agents of the user who is logged in at the screen. Not run on a real macOS yet."""

import os
import plistlib
import re
from collections.abc import Callable

from claudectl.exit_codes import ExitCode
from claudectl.service.port import PATIENCE_S, STOP_S, Facts, Run, Said, ServiceTrouble, Setup
from claudectl.service.templates import agent_data
from claudectl_protocol.endpoint import make_directory

KEEPER = "claudectl.keeper"
DAEMON = "claudectl.daemon"
AGENTS = (KEEPER, DAEMON)
ATTEMPTS = 50
PAUSE_S = 0.1
"""launchd takes a moment to let go of a job that was booted out, and tells nobody when it has."""


def agents_directory(home: str) -> str:
    """Where a user's agents lie."""
    return os.path.join(home, "Library", "LaunchAgents")


def agent_state(path: str) -> str | None:
    """The state directory that an agent of ours is for; None when there is no such file, or it is not ours."""
    try:
        with open(path, "rb") as file:
            agent = plistlib.load(file)
        return os.path.join(str(agent["EnvironmentVariables"]["XDG_STATE_HOME"]), "claudectl")
    except (OSError, plistlib.InvalidFileException, ValueError, KeyError, TypeError, AttributeError):
        return None


class Launchd:
    """The two agents of one state directory.

    Args:
        state: the state directory.
        directory: where the user's agents lie.
        uid: of the user.
        run: runs `launchctl`.
        pause: waits so many seconds.
    """

    def __init__(
        self, state: str, directory: str, uid: int, run: Run, pause: Callable[[float], None]
    ) -> None:
        self._state = state
        self._directory = directory
        self._domain = f"gui/{uid}"
        self._run = run
        self._pause = pause

    def files(self) -> tuple[str, ...]:
        """The property lists of this state directory that are there."""
        return tuple(path for path in map(self._path, AGENTS) if self._is_ours(path))

    def install(self, setup: Setup) -> bool:
        """Write the property lists; launchd reads them when `start` hands them over, and at every login."""
        self._check_domain()
        self._check_foreign()
        environment = {**setup.environment, "XDG_STATE_HOME": os.path.dirname(setup.state)}
        contents = {name: agent_data(f"{name}.plist", setup, environment) for name in AGENTS}
        changed = [name for name in AGENTS if _read(self._path(name)) != contents[name]]
        for name in changed:
            # A job keeps what it was handed over with.
            self._boot_out(name)
            self._write(name, contents[name])
        return bool(changed)

    def uninstall(self) -> None:
        """Take both jobs out of launchd and delete their files."""
        for path in self.files():
            self._boot_out(os.path.basename(path).removesuffix(".plist"))
            os.unlink(path)

    def start(self) -> None:
        """Hand the jobs over, or start the daemon's if launchd has it; nobody tells when it serves."""
        for name in AGENTS:
            if not self._is_loaded(name):
                self._boot_in(name)
            elif name == DAEMON:
                self._ask("kickstart", self._job(name))

    def stop(self) -> None:
        """Take the daemon's job out of launchd until `start` or the next login."""
        self._boot_out(DAEMON)

    def facts(self) -> Facts:
        """The daemon's process; the keeper's job is over when the keeper serves."""
        said = self._launchctl("print", self._job(DAEMON))
        pid = re.search(r"^\s*pid = (\d+)$", said.out, re.MULTILINE) if said.code == 0 else None
        return Facts(daemon_pid=int(pid[1]) if pid else None, keeper_pid=None, lingering=None)

    def _path(self, name: str) -> str:
        return os.path.join(self._directory, f"{name}.plist")

    def _job(self, name: str) -> str:
        return f"{self._domain}/{name}"

    def _is_ours(self, path: str) -> bool:
        state = agent_state(path)
        return state is not None and os.path.realpath(state) == os.path.realpath(self._state)

    def _check_foreign(self) -> None:
        for path in map(self._path, AGENTS):
            if os.path.lexists(path) and not self._is_ours(path):
                state = agent_state(path)
                whose = "is not claudectl's" if state is None else f"is for the state directory {state}"
                why = f"{path} is there and {whose}; remove it, or uninstall it there, first"
                raise ServiceTrouble(why, ExitCode.REFUSED)

    def _check_domain(self) -> None:
        said = self._launchctl("print", self._domain)
        if said.code:
            raise ServiceTrouble(
                f"launchd has no session of yours at the screen ({said.sentence}); claudectl works without its "
                "service, and 'claudectl doctor' says what is weaker then"
            )

    def _write(self, name: str, content: bytes) -> None:
        path = self._path(name)
        try:
            # launchd opens the logs before the daemon can make their directory.
            make_directory(os.path.join(self._state, "logs"))
            os.makedirs(self._directory, exist_ok=True)
            with open(f"{path}.new", "wb") as file:
                file.write(content)
            os.replace(f"{path}.new", path)
        except OSError as error:
            raise ServiceTrouble(f"{path} cannot be written: {error.strerror}") from error

    def _is_loaded(self, name: str) -> bool:
        return self._launchctl("print", self._job(name)).code == 0

    def _boot_in(self, name: str) -> None:
        for _ in range(ATTEMPTS):
            said = self._launchctl("bootstrap", self._domain, self._path(name))
            if said.code == 0:
                return
            self._pause(PAUSE_S)
        raise ServiceTrouble(f"launchd does not take {self._path(name)}: {said.sentence}")

    def _boot_out(self, name: str) -> None:
        """Have a job ended and forgotten; nothing happens where launchd does not know it."""
        self._launchctl("bootout", self._job(name), timeout_s=STOP_S)
        for _ in range(ATTEMPTS):
            if not self._is_loaded(name):
                return
            self._pause(PAUSE_S)
        raise ServiceTrouble(f"launchd does not let go of {name}; see 'launchctl print {self._job(name)}'")

    def _ask(self, *words: str) -> None:
        said = self._launchctl(*words)
        if said.code:
            raise ServiceTrouble(f"'launchctl {' '.join(words)}' failed: {said.sentence}")

    def _launchctl(self, *words: str, timeout_s: float = PATIENCE_S) -> Said:
        return self._run(["launchctl", *words], timeout_s)


def _read(path: str) -> bytes | None:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return None
