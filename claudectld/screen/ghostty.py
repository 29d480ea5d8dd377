"""The Screen port over libghostty-vt. A run must not suffer from a defect of the library: where the emulator fails, the
screen goes on without cells.
"""

import logging
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from claudectl_protocol.sessions import Activity, Size
from claudectld.ports import Cells, Screen
from claudectld.screen.emulated import EmulatedScreen
from claudectld.screen.library import EmulatorError
from claudectld.screen.modes import RESET
from claudectld.screen.raw import BadCheckpoint, RawScreen

log = logging.getLogger(__name__)

T = TypeVar("T")


class GhosttyScreen:
    """The Screen port: an emulator's screen until that fails, and then one that asks the child to paint."""

    def __init__(
        self,
        size: Size,
        *,
        parse_report: Callable[[bytes], Activity | None],
        status_reply: bytes,
    ) -> None:
        """Args: parse_report: what the body of an OSC 7501 says; status_reply: what answers OSC 7501;?.

        Raises EmulatorError.
        """
        self._size = size
        self._screen: Screen = EmulatedScreen(size, parse_report=parse_report, status_reply=status_reply)
        self._instead = partial(RawScreen.blind, parse_report=parse_report, status_reply=status_reply)

    @classmethod
    def restore(
        cls, checkpoint: bytes, *, parse_report: Callable[[bytes], Activity | None], status_reply: bytes
    ) -> "GhosttyScreen":
        """The screen that `checkpoint()` was called on. Raises BadCheckpoint."""
        try:
            restored = EmulatedScreen.restore(
                checkpoint, parse_report=parse_report, status_reply=status_reply
            )
        except EmulatorError as error:
            raise BadCheckpoint(str(error)) from error
        screen = cls(restored.size, parse_report=parse_report, status_reply=status_reply)
        screen._screen = restored
        return screen

    def feed(self, data: bytes, *, live: bool) -> bytes:
        """Take bytes; return what must be typed back."""
        return self._try(lambda screen: screen.feed(data, live=live))

    def resize(self, size: Size) -> None:
        """The terminal's size changed."""
        self._size = size
        self._try(lambda screen: screen.resize(size))

    def repaint(self, history: int = 0) -> bytes:
        """Bytes that bring a terminal of the same size to this screen."""
        return self._try(lambda screen: screen.repaint(history))

    @property
    def cells(self) -> Cells | None:
        """What stands where; None once the emulator has failed."""
        cells = self._screen.cells
        return None if cells is None else _SteadyCells(cells, self._give_up)

    def trim(self) -> None:
        """Give memory back."""
        self._try(lambda screen: screen.trim())

    @property
    def held_bytes(self) -> int:
        """How much at the end of what was fed must follow a repaint."""
        return self._screen.held_bytes

    @property
    def wants_jiggle(self) -> bool:
        """True when only the child itself can paint exactly."""
        return self._screen.wants_jiggle

    @property
    def activity(self) -> Activity | None:
        """The last report of the child's own state."""
        return self._screen.activity

    def checkpoint(self) -> bytes:
        """Everything needed to go on from here."""
        return self._try(lambda screen: screen.checkpoint())

    def _try(self, act: Callable[[Screen], T]) -> T:
        try:
            return act(self._screen)
        except EmulatorError as error:
            self._give_up(error)
            return act(self._screen)

    def _give_up(self, error: EmulatorError) -> None:
        # For good: another emulator would be fed what this one broke on.
        log.error("event=emulator_failed error=%s", error)
        self._screen = self._instead(self._size, self._screen.activity)


class _SteadyCells:
    """The Cells port: blank where the emulator fails."""

    def __init__(self, cells: Cells, failed: Callable[[EmulatorError], None]) -> None:
        self._cells = cells
        self._failed = failed

    def fitted(self, size: Size) -> bytes:
        try:
            return self._cells.fitted(size)
        except EmulatorError as error:
            self._failed(error)
            return RESET

    def rows(self, *, styled: bool = False) -> tuple[str, ...]:
        try:
            return self._cells.rows(styled=styled)
        except EmulatorError as error:
            self._failed(error)
            return ()
