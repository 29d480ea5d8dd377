"""Service managers that live in memory, behind the commands by which the real ones are asked; every command is kept."""

import plistlib
from collections.abc import Sequence
from pathlib import Path

from claudectl.service.port import Said

DONE = Said(0, "", "")


class FakeSystemctl:
    """`systemctl --user` of a manager that reads `directories`.

    Args:
        directories: its unit path.
        answers: False for a manager that is not there.
    """

    def __init__(self, directories: Sequence[Path], *, answers: bool = True) -> None:
        self.asked: list[list[str]] = []
        self.running: dict[str, int] = {}
        self.enabled: set[str] = set()
        self._directories = directories
        self._loaded: set[str] = set()
        self._answers = answers
        self._pid = 100

    def __call__(self, command: Sequence[str], timeout_s: float) -> Said:
        """Do what a command says."""
        program, scope, *words = command
        assert (program, scope) == ("systemctl", "--user")
        self.asked.append(words)
        if not self._answers:
            return Said(1, "", "Failed to connect to bus: No such file or directory\n")
        match words:
            case ["show", "--property=UnitPath", "--value"]:
                return Said(0, f"{' '.join(map(str, self._directories))} /etc/systemd/user\n", "")
            case ["show", "--property=MainPID", "--value", unit]:
                return Said(0, f"{self.running.get(unit, 0)}\n", "")
            case ["daemon-reload"]:
                paths = (path for directory in self._directories for path in directory.glob("*.service"))
                self._loaded = {path.name for path in paths}
                return DONE
            case ["reset-failed", *_]:
                return DONE
            case [*_, unit] if unit not in self._loaded:
                return Said(5, "", f"Unit {unit} not loaded.\n")
            case ["enable", unit]:
                self.enabled.add(unit)
                return DONE
            case ["start", unit]:
                for each in ("claudectl-keeper.service", unit):
                    self._pid += 1
                    self.running.setdefault(each, self._pid)
                return DONE
            case ["stop", unit]:
                self.running.pop(unit, None)
                return DONE
            case ["disable", "--now", unit]:
                self.enabled.discard(unit)
                self.running.pop(unit, None)
                return DONE
        return Said(1, "", f"Unknown command verb {words}.\n")


class FakeLaunchctl:
    """`launchctl` for the domain gui/501.

    Args:
        answers: False where nobody is logged in at the screen.
    """

    def __init__(self, *, answers: bool = True) -> None:
        self.asked: list[list[str]] = []
        self.jobs: dict[str, int | None] = {}
        """By label; None while it does not run."""
        self.handed_over: dict[str, object] = {}
        """The property lists that it took."""
        self.refusals = 0
        """How many more times it refuses to take a job, as when an older one is not quite gone."""
        self._leaving: dict[str, int] = {}
        self._answers = answers
        self._pid = 100

    def __call__(self, command: Sequence[str], timeout_s: float) -> Said:
        """Do what a command says."""
        program, *words = command
        assert program == "launchctl"
        self.asked.append(words)
        match words:
            case ["print", "gui/501"]:
                return DONE if self._answers else Said(125, "", "Domain does not support specified action\n")
            case ["bootstrap", "gui/501", path]:
                return self._bootstrap(Path(path))
            case [verb, target] | [verb, "-k", target] if target.startswith("gui/501/"):
                return self._about(verb, target.removeprefix("gui/501/"))
        return Said(64, "", f"Unrecognized subcommand: {words}\n")

    def exit(self, label: str) -> None:
        """The job's process ends as it wants to."""
        self.jobs[label] = None

    def _bootstrap(self, path: Path) -> Said:
        agent = plistlib.loads(path.read_bytes())
        label = str(agent["Label"])
        if self.refusals or label in self.jobs:
            self.refusals = max(0, self.refusals - 1)
            return Said(5, "", "Bootstrap failed: 5: Input/output error\n")
        self.handed_over[label] = agent
        self._start(label)
        return DONE

    def _about(self, verb: str, label: str) -> Said:
        if label not in self.jobs:
            return Said(113, "", f'Could not find service "{label}" in domain for user gui: 501\n')
        if verb == "bootout":
            # It is still there when it is looked for the first time.
            self._leaving[label] = 1
        elif verb == "kickstart" and self.jobs[label] is None:
            self._start(label)
        elif verb == "print":
            if self._leaving.get(label) == 0:
                del self.jobs[label], self._leaving[label]
                return self._about(verb, label)
            if label in self._leaving:
                self._leaving[label] -= 1
            pid = self.jobs[label]
            state = "not running" if pid is None else "running"
            number = "" if pid is None else f"\tpid = {pid}\n"
            return Said(0, f"gui/501/{label} = {{\n\tstate = {state}\n{number}\truns = 1\n}}\n", "")
        return DONE

    def _start(self, label: str) -> None:
        self._pid += 1
        self.jobs[label] = self._pid
