"""A terminal emulator that tests read cell by cell, and control screens made from bytes."""

import msgspec
import pyghostty
from pyghostty.core import UnknownSequence

from claudectl_protocol.sessions import Size

DEFAULT_SIZE = Size(cols=100, rows=30)
_STATUS = b"7501;"
_STATUS_REPLY = b"\x1b]7501;?\x1b\\"
_LONGEST_OSC_BYTES = 16384
_GRAPHEME_CODEPOINTS = 32


class Cell(msgspec.Struct, frozen=True):
    """One cell: its characters, and its style in a fixed notation (empty when plain)."""

    text: str
    style: str


Cells = tuple[tuple[Cell, ...], ...]


class Display:
    """An emulator that collects the child's status reports, and the replies to its queries."""

    def __init__(self, size: Size) -> None:
        self._terminal = pyghostty.Terminal(size.cols, size.rows)
        self._replies = bytearray()
        self._terminal.on_reply(self._replies.extend)
        self._terminal.on_unknown_sequence(self._on_sequence, max_bytes=_LONGEST_OSC_BYTES)
        self.reports: list[str] = []
        """OSC 7501 bodies (what follows `7501;`), queries left out."""

    def _on_sequence(self, sequence: UnknownSequence) -> None:
        if not sequence.content.startswith(_STATUS):
            return
        body = sequence.content.removeprefix(_STATUS)
        if body == b"?":
            self._replies.extend(_STATUS_REPLY)
        else:
            self.reports.append(body.decode(errors="replace"))

    def feed(self, data: bytes) -> bytes:
        """Take output; return the replies to the queries in it, in their order."""
        self._terminal.feed(data)
        replies = bytes(self._replies)
        self._replies.clear()
        return replies

    def resize(self, size: Size) -> None:
        """Change the size."""
        self._terminal.resize(size.cols, size.rows)

    @property
    def text(self) -> str:
        """The visible text, rows by newline."""
        text: str = self._terminal.text()
        return text

    @property
    def cursor(self) -> tuple[int, int]:
        """(column, row) from 0."""
        column, row = self._terminal.cursor
        return column, row

    def mode(self, number: int) -> bool:
        """Whether a DEC private mode is set, such as 1049 or 2004."""
        return bool(self._terminal.mode(number))

    def cells(self) -> Cells:
        """Every visible cell."""
        cols, rows = self._terminal.size
        return tuple(tuple(self._cell(x, y) for x in range(cols)) for y in range(rows))

    def _cell(self, x: int, y: int) -> Cell:
        ffi, lib = pyghostty.ffi, pyghostty.lib
        points = ffi.new("uint32_t[]", _GRAPHEME_CODEPOINTS)
        count = ffi.new("size_t*")
        lib.ghostty_grid_ref_graphemes(self._terminal.ref(x, y), points, _GRAPHEME_CODEPOINTS, count)
        text = "".join(chr(points[i]) for i in range(count[0]))
        style = self._terminal.style(x, y)
        return Cell(text or " ", " ".join(f"{key}={style[key]}" for key in sorted(style) if style[key]))


def cells_of(data: bytes, size: Size = DEFAULT_SIZE) -> Cells:
    """The cells of a fresh terminal that was fed `data`: the control to compare another screen with."""
    display = Display(size)
    display.feed(data)
    return display.cells()
