"""A machine whose clock stands still until it is moved, and whose processes are a set."""

from collections.abc import Sequence

from claudectl_protocol.sessions import RunId
from claudectld.core.session import ProcessIdentity


class FakeMachine:
    """The Machine port over plain values that tests change."""

    def __init__(self) -> None:
        self.clock = 1000.0
        self.boot = "boot-1"
        self.alive: set[ProcessIdentity] = set()
        self.marks: dict[RunId, tuple[int, ...]] = {}
        self.gone = True
        """What `wait_gone` finds."""

    def now(self) -> float:
        return self.clock

    def boot_id(self) -> str:
        return self.boot

    def is_alive(self, process: ProcessIdentity) -> bool:
        return process.boot_id == self.boot and process in self.alive

    def marked(self, runs: Sequence[RunId]) -> tuple[RunId, ...]:
        return tuple(run for run in runs if self.marks.get(run))

    def wait_gone(self, pids: tuple[int, ...], timeout_s: float) -> bool:
        return self.gone
