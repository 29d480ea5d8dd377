"""What claudectl asks of a service manager, and what is said when it cannot do that."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

from claudectl.exit_codes import ExitCode


class ServiceTrouble(Exception):
    """The service cannot be had; `why` is a sentence without its full stop."""

    def __init__(self, why: str, code: ExitCode = ExitCode.FAILED) -> None:
        super().__init__(why)
        self.why = why
        self.code = code


class Setup(NamedTuple):
    """What a service is made of."""

    python: str
    """The interpreter that has claudectld."""
    state: str
    """The state directory."""
    environment: Mapping[str, str]
    """What a daemon would not find out by itself."""


class Facts(NamedTuple):
    """How the services are."""

    daemon_pid: int | None
    """The daemon that the service manager keeps."""
    keeper_pid: int | None
    """The keeper that it keeps; always None where keepers detach themselves."""
    lingering: bool | None
    """True when services outlive the last logout and start at boot; None where there is no such choice."""


class Services(Protocol):
    """The services of one state directory. All but `files` raise ServiceTrouble."""

    def files(self) -> tuple[str, ...]:
        """The files of the installed services; none when they are not installed."""
        ...

    def install(self, setup: Setup) -> bool:
        """Write the files and have the daemon start with the user's session from now on. Starts nothing.

        Returns True when that changed something.
        """
        ...

    def uninstall(self) -> None:
        """End what runs of the services and take the files away; nothing happens where there are none."""
        ...

    def start(self) -> None:
        """Start the daemon. Where the manager can tell, this returns when it serves."""
        ...

    def stop(self) -> None:
        """Have the daemon stopped; returns when it has ended, and it stays ended."""
        ...

    def facts(self) -> Facts:
        """How they are now."""
        ...


class Said(NamedTuple):
    """What a command said."""

    code: int
    out: str
    err: str

    @property
    def sentence(self) -> str:
        """The first line of its complaint."""
        return (self.err.strip() or f"exit code {self.code}").splitlines()[0]


PATIENCE_S = 20.0
"""How long a service manager may take for anything but to end a daemon: one that hangs must not make us hang."""
STOP_S = 90.0
"""More than the services themselves allow for that."""

Run = Callable[[Sequence[str], float], Said]
"""Runs a command of the service manager to its end, or gives it up after so many seconds."""
