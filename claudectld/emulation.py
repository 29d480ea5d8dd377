"""Screens and logs of the terminal emulator. Importing this loads it: ImportError where there is no build of it."""

import logging

from claudectl_protocol.sessions import Size
from claudectld.claude import status
from claudectld.ports import RenderedLog, Screen
from claudectld.screen import rendered
from claudectld.screen.ghostty import GhosttyScreen
from claudectld.screen.library import EmulatorError
from claudectld.screen.raw import BadCheckpoint, RawScreen

log = logging.getLogger(__name__)


class EmulatedScreens:
    """The Screens port."""

    def fresh(self, size: Size) -> Screen:
        """A screen on which nothing has been printed."""
        try:
            return GhosttyScreen(size, parse_report=status.parse, status_reply=status.REPLY)
        except EmulatorError as error:
            log.error("event=no_emulator error=%s", error)
            return RawScreen(size, parse_report=status.parse, status_reply=status.REPLY)

    def restored(self, checkpoint: bytes) -> Screen | None:
        """The screen that a checkpoint was made of, or None if it cannot be used."""
        try:
            return GhosttyScreen.restore(checkpoint, parse_report=status.parse, status_reply=status.REPLY)
        except (BadCheckpoint, EmulatorError) as error:
            log.warning("event=checkpoint_unusable error=%s", error)
            return None

    def log(self, size: Size) -> RenderedLog | None:
        """A log that begins with an empty screen of this size; None when there is no memory for one."""
        try:
            return rendered.RenderedLog(size)
        except EmulatorError as error:
            log.error("event=no_emulator error=%s", error)
            return None
