"""A screen cell by cell: as text, and as what a terminal of another size can show of it."""

from claudectl_protocol.sessions import Size
from claudectl_protocol.stream import MAX_REPAINT_BYTES
from claudectld.screen.emulator import Emulator
from claudectld.screen.modes import ABORT, BASE
from claudectld.screen.painting import Detail, paint, text
from claudectld.screen.repaint import modes

_SYNCHRONIZED = b"\x1b[?2026h"
_SHOWN = b"\x1b[?2026l"


class EmulatedCells:
    """The Cells port over an emulator. Everything may raise EmulatorError."""

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator

    def fitted(self, size: Size) -> bytes:
        """Bytes that paint on a terminal of `size` the part of the screen that has the cursor in it, from the top
        left if possible, and give it the modes of the keyboard.

        The mouse is left to the terminal unless the part begins at the top left, since places would be wrong. There
        is no scroll region, and output that comes afterwards is not where it belongs.
        """
        emulator = self._emulator
        cursor = emulator.cursor
        top = max(0, cursor.row - size.rows + 1)
        left = max(0, cursor.column - size.cols + 1)
        place = b"\x1b[%d;%dH" % (cursor.row - top + 1, cursor.column - left + 1)
        flags = emulator.kitty_flags
        keyboard = b"\x1b[=%du" % flags if flags else b""
        # The terminal's own screen is kept as long as the program does so.
        start = ABORT + _SYNCHRONIZED + (b"\x1b[?1049h" if emulator.alternate else b"\x1b[?1049l") + BASE
        end = b"".join((place, keyboard, modes(emulator, mouse=not (top or left)), _SHOWN))
        for detail in Detail:
            rows = self._part(size, top, left, detail)
            if len(start) + len(rows) + len(end) <= MAX_REPAINT_BYTES:
                return start + rows + end
        return start + b"\x1b[H\x1b[J" + end

    def rows(self, *, styled: bool = False) -> tuple[str, ...]:
        """The visible rows as text, without trailing blanks; `styled`, each with its colours as SGR sequences that
        end in a reset."""
        return tuple(text(line, styled=styled) for line in self._emulator.lines())

    def _part(self, size: Size, top: int, left: int, detail: Detail) -> bytes:
        parts = []
        below = 0
        for line in self._emulator.lines():
            if top <= line.y < top + size.rows:
                below = line.y - top + 1
                strip = paint(line, left, left + size.cols, detail=detail)
                parts.append(b"\x1b[%dH\x1b[K%s" % (below, strip.data))
        if below < size.rows:
            parts.append(b"\x1b[%dH\x1b[J" % (below + 1))
        return b"".join(parts)
