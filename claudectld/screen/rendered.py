"""A run's output as lines of text."""

import re
from collections.abc import Iterator

from claudectl_protocol.sessions import Size
from claudectld.screen.emulator import Emulator, Keep
from claudectld.screen.painting import text

HELD_LINES = 20_000
"""So many rows are held back, because the program may still clear what has scrolled away and print it anew."""
LINE_LIMIT = 1024 * 1024
"""Characters after which a line that was never ended is broken."""
_SLICE_BYTES = 16 * 1024
# A slice may scroll one row per byte, and the library drops rows by the page.
_KEEP = Keep(lines=2 * (HELD_LINES + _SLICE_BYTES), size_bytes=512 * 1024 * 1024)
_CLEAR_HISTORY = b"\x1b[3J"
_NO_TEXT = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")


class RenderedLog:
    """The RenderedLog port over an emulator: bytes and sizes in, lines out. Everything may raise EmulatorError.

    A line that was wrapped is one line again. What a program clears while it is held back is not in the log.
    """

    def __init__(self, size: Size) -> None:
        self._emulator = Emulator(size, keep=_KEEP)
        self._begun = ""
        """The start of a line whose rest is still on the screen."""

    def feed(self, data: bytes) -> list[str]:
        """Take bytes; the lines that nothing can change any more."""
        lines: list[str] = []
        for piece in _slices(data):
            self._emulator.feed(piece)
            if self._emulator.history > HELD_LINES:
                lines += self._drain()
        return lines

    def resize(self, size: Size) -> None:
        """The terminal's size changed."""
        self._emulator.resize(size)

    def finish(self) -> list[str]:
        """The lines that are left, down to the last row that is not blank; the log is of no use afterwards.

        On the alternate screen these are the lines that had scrolled away on the main screen, and the rows that show.
        """
        emulator = self._emulator
        if emulator.alternate:
            main = Emulator(Size(cols=1, rows=1), snapshot=emulator.snapshot(), keep=_KEEP)
            # Whichever mode switched to it, this one leads back.
            main.feed(b"\x1b[?47l")
            lines = self._lines(main, main.history)
            main.close()
            lines += _joined(emulator, 0, emulator.rows)
        else:
            lines = self._lines(emulator, emulator.history + emulator.rows)
        emulator.close()
        while lines and not lines[-1]:
            lines.pop()
        return lines

    def _drain(self) -> list[str]:
        """Take the lines that have scrolled away out of the emulator, if it can be told now to forget them."""
        emulator = self._emulator
        if emulator.alternate or emulator.continuation() != b"":
            return []
        rows = emulator.history
        open_rows = 0
        while open_rows < rows and emulator.wraps(rows - 1 - open_rows):
            open_rows += 1
        lines = self._lines(emulator, rows - open_rows)
        for line in emulator.lines(open_rows):
            if line.y >= 0:
                break
            self._begun += text(line, trimmed=False)
        if len(self._begun) > LINE_LIMIT:
            lines.append(_NO_TEXT.sub("", self._begun))
            self._begun = ""
        emulator.feed(_CLEAR_HISTORY)
        return lines

    def _lines(self, emulator: Emulator, rows: int) -> list[str]:
        """What was begun, and so many rows from the oldest, as lines."""
        if not rows:
            return []
        lines = _joined(emulator, 0, rows)
        begun, self._begun = _NO_TEXT.sub("", self._begun), ""
        if begun and emulator.is_continued(0):
            lines[0] = begun + lines[0]
        elif begun:
            # Its rest was overwritten while it was still on the screen.
            lines.insert(0, begun.rstrip())
        return lines


def _joined(emulator: Emulator, first: int, rows: int) -> list[str]:
    """So many rows as lines, wrapped ones joined; blank ones count."""
    last = first + rows - 1
    blank = 0
    # The library leaves out the blank rows at the end.
    while blank < rows and not emulator.text(last - blank, last - blank, joined=False):
        blank += 1
    lines: list[str] = []
    if blank < rows:
        lines = _NO_TEXT.sub("", emulator.text(first, last - blank, joined=True)).split("\n")
    starts = range(last - blank + 1, last + 1)
    return lines + [""] * sum(row == first or not emulator.wraps(row - 1) for row in starts)


def _slices(data: bytes) -> Iterator[bytes]:
    """Pieces that end between two lines where there are any, because no sequence is unfinished there."""
    start = 0
    while start < len(data):
        end = start + _SLICE_BYTES
        if end < len(data):
            end = data.rfind(b"\n", start, end) + 1 or end
        yield data[start:end]
        start = end
