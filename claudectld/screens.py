"""Which sort of screen a run gets: an emulator's, or where there is none, one that plays the last output again."""

import logging

from claudectl_protocol.sessions import Size
from claudectl_protocol.settings import ScreenKind
from claudectld.claude import status
from claudectld.ports import RenderedLog, Screen, Screens
from claudectld.screen.raw import BadCheckpoint, RawScreen

log = logging.getLogger(__name__)


def local_screens(kind: ScreenKind) -> Screens:
    """The sort of screens that was chosen, as far as this machine can make them."""
    if kind is ScreenKind.GHOSTTY:
        try:
            from claudectld.emulation import EmulatedScreens
        except ImportError as error:
            # There is no build of the emulator for every machine.
            log.warning("event=no_emulator error=%s", error)
        else:
            return EmulatedScreens()
    return RawScreens()


class RawScreens:
    """The Screens port without an emulator."""

    def fresh(self, size: Size) -> Screen:
        """A screen on which nothing has been printed."""
        return RawScreen(size, parse_report=status.parse, status_reply=status.REPLY)

    def restored(self, checkpoint: bytes) -> Screen | None:
        """The screen that a checkpoint was made of, or None if it cannot be used."""
        try:
            return RawScreen.restore(checkpoint, parse_report=status.parse, status_reply=status.REPLY)
        except BadCheckpoint as error:
            log.warning("event=checkpoint_unusable error=%s", error)
            return None

    def log(self, size: Size) -> RenderedLog | None:  # noqa: ARG002 - the port's
        """None: lines as they were seen need an emulator."""
        return None
