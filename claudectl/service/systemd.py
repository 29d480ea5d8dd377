"""The services under the user's own systemd."""

import os
import tempfile
from collections.abc import Sequence

from claudectl.exit_codes import ExitCode
from claudectl.service.port import PATIENCE_S, STOP_S, Facts, Run, Said, ServiceTrouble, Setup
from claudectl.service.templates import unit_text
from claudectl_protocol.services import DAEMON_UNIT, KEEPER_UNIT, STATE_KEY, unit_value

UNITS = (KEEPER_UNIT, DAEMON_UNIT)


class Systemd:
    """The two units of one state directory.

    Args:
        state: the state directory.
        directories: where the user's own units may lie.
        linger_file: exists while the user lingers.
        run: runs `systemctl`.
    """

    def __init__(self, state: str, directories: Sequence[str], linger_file: str, run: Run) -> None:
        self._state = state
        self._directories = directories
        self._linger_file = linger_file
        self._run = run

    def files(self) -> tuple[str, ...]:
        """The unit files of this state directory that are there."""
        return tuple(path for path in self._paths() if self._is_ours(path))

    def install(self, setup: Setup) -> bool:
        """Write the units, have them read, enable the daemon's."""
        self._check_foreign()
        directory = self._directory()
        changed = False
        for unit in UNITS:
            changed |= _write(os.path.join(directory, unit), unit_text(unit, setup))
        if changed:
            self._ask("daemon-reload")
        self._ask("enable", DAEMON_UNIT)
        return changed

    def uninstall(self) -> None:
        """Stop both, disable, delete. Where no manager answers, nothing of theirs runs, and the files go all the
        same."""
        files = self.files()
        if not files:
            return
        reached = self._systemctl("disable", "--now", DAEMON_UNIT, timeout_s=STOP_S).code == 0
        if reached:
            self._ask("stop", KEEPER_UNIT, timeout_s=STOP_S)
            # Says nothing useful where nothing has failed.
            self._systemctl("reset-failed", *UNITS)
        for path in files:
            os.unlink(path)
            wanted = os.path.join(os.path.dirname(path), "default.target.wants", os.path.basename(path))
            if os.path.islink(wanted):
                os.unlink(wanted)
        if reached:
            self._ask("daemon-reload")

    def start(self) -> None:
        """Start the daemon's unit; the keeper's comes first. Returns when the daemon serves."""
        said = self._systemctl("start", DAEMON_UNIT)
        if said.code:
            raise ServiceTrouble(
                f"{DAEMON_UNIT} does not start: {said.sentence} See 'systemctl --user status {DAEMON_UNIT}'"
            )

    def stop(self) -> None:
        """Stop the daemon's unit, also one that is about to be started again."""
        self._ask("stop", DAEMON_UNIT, timeout_s=STOP_S)

    def facts(self) -> Facts:
        """The units' main processes, and whether the user lingers."""
        return Facts(
            daemon_pid=self._main_pid(DAEMON_UNIT),
            keeper_pid=self._main_pid(KEEPER_UNIT),
            lingering=os.path.exists(self._linger_file),
        )

    def _paths(self) -> tuple[str, ...]:
        return tuple(os.path.join(directory, unit) for directory in self._directories for unit in UNITS)

    def _is_ours(self, path: str) -> bool:
        state = unit_value(path, STATE_KEY)
        return state is not None and os.path.realpath(state) == os.path.realpath(self._state)

    def _check_foreign(self) -> None:
        for path in self._paths():
            if os.path.lexists(path) and not self._is_ours(path):
                state = unit_value(path, STATE_KEY)
                whose = "is not claudectl's" if state is None else f"is for the state directory {state}"
                why = f"{path} is there and {whose}; remove it, or uninstall it there, first"
                raise ServiceTrouble(why, ExitCode.REFUSED)

    def _directory(self) -> str:
        """The first of our directories that the manager reads."""
        said = self._systemctl("show", "--property=UnitPath", "--value")
        if said.code:
            raise ServiceTrouble(
                f"no service manager of yours answers ({said.sentence}); claudectl works without its service, "
                "and 'claudectl doctor' says what is weaker then"
            )
        read = {os.path.realpath(directory) for directory in said.out.split()}
        for directory in self._directories:
            if os.path.realpath(directory) in read:
                return directory
        raise ServiceTrouble(f"your service manager does not read {' or '.join(self._directories)}")

    def _main_pid(self, unit: str) -> int | None:
        said = self._systemctl("show", "--property=MainPID", "--value", unit).out.strip()
        return int(said) if said.isdigit() and said != "0" else None

    def _ask(self, *words: str, timeout_s: float = PATIENCE_S) -> None:
        said = self._systemctl(*words, timeout_s=timeout_s)
        if said.code:
            raise ServiceTrouble(f"'systemctl --user {' '.join(words)}' failed: {said.sentence}")

    def _systemctl(self, *words: str, timeout_s: float = PATIENCE_S) -> Said:
        return self._run(["systemctl", "--user", *words], timeout_s)


def _write(path: str, text: str) -> bool:
    """Put `text` at `path` in one step; False when it is there already."""
    try:
        with open(path, encoding="utf-8") as file:
            if file.read() == text:
                return False
    except (OSError, UnicodeDecodeError):
        pass  # it is about to be replaced
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        fd, made = tempfile.mkstemp(prefix=".claudectl-", dir=os.path.dirname(path))
        with os.fdopen(fd, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(made, 0o644)
        os.replace(made, path)
    except OSError as error:
        raise ServiceTrouble(f"{path} cannot be written: {error.strerror}") from error
    return True
