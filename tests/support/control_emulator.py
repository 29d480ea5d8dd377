"""An independent terminal emulator to judge screens by: bytes and sizes in, cells and modes out."""

import re
from dataclasses import dataclass

import pyghostty

from claudectl_protocol.sessions import Size

MODES = (1, 5, 6, 7, 9, 25, 45, 66, 69, 1000, 1002, 1003, 1004, 1005, 1006, 1015, 1016, 2004, 2031)
_ATTRIBUTES = ("bold", "italic", "faint", "blink", "inverse", "invisible", "strikethrough", "overline")
_INVISIBLE = re.compile(r"[\x7f-\x9f]")
_SPACERS = (pyghostty.lib.GHOSTTY_CELL_WIDE_SPACER_TAIL, pyghostty.lib.GHOSTTY_CELL_WIDE_SPACER_HEAD)
_VALUES = ("underline", "fg", "bg", "underline_color")


@dataclass(frozen=True)
class Picture:
    """All that a person or a program could notice of a terminal."""

    text: tuple[str, ...]
    """The visible rows without trailing blanks."""
    styles: tuple[tuple[str, ...], ...]
    """One word per cell of every row: its attributes and colours."""
    cursor: tuple[int, int]
    modes: tuple[int, ...]
    """The private modes that are set, of those in MODES."""
    alternate: bool
    """True on the alternate screen."""
    kitty_flags: int
    title: str


class ControlEmulator:
    """libghostty-vt behind the few questions that tests ask."""

    def __init__(self, size: Size, scrollback: int = 0) -> None:
        self._terminal = pyghostty.Terminal(cols=size.cols, rows=size.rows, scrollback=scrollback)
        self.replies = b""
        """What it would have typed back to the program."""
        self._terminal.on_reply(self._collect)

    def feed(self, data: bytes) -> None:
        self._terminal.feed(data)

    def resize(self, size: Size) -> None:
        self._terminal.resize(size.cols, size.rows)

    def text(self) -> tuple[str, ...]:
        """The visible rows without trailing blanks."""
        # The library keeps DEL and its like as characters, which no terminal shows.
        text = _INVISIBLE.sub(" ", str(self._terminal.text()))
        return tuple(line.rstrip() for line in text.rstrip().split("\n"))

    def history(self) -> tuple[str, ...]:
        """The rows that have scrolled away, oldest first, without trailing blanks."""
        count = self._terminal.get("scrollback_rows", "size_t")
        return tuple(self._row(y) for y in range(count))

    def history_styles(self) -> tuple[tuple[str, ...], ...]:
        """One word per cell of these rows, as in Picture."""
        columns, _ = self._terminal.size
        count = self._terminal.get("scrollback_rows", "size_t")
        return tuple(tuple(self._style(x, y, "screen") for x in range(columns)) for y in range(count))

    def link(self, x: int, y: int) -> str:
        """The address that a cell leads to."""
        buffer, size = pyghostty.ffi.new("uint8_t[]", 4096), pyghostty.ffi.new("size_t*")
        if pyghostty.lib.ghostty_grid_ref_hyperlink_uri(self._terminal.ref(x, y), buffer, 4096, size):
            return ""
        return bytes(pyghostty.ffi.buffer(buffer, size[0])).decode()

    def _row(self, y: int) -> str:
        columns, _ = self._terminal.size
        points, size = pyghostty.ffi.new("uint32_t[]", 64), pyghostty.ffi.new("size_t*")
        cells = []
        for x in range(columns):
            place = self._terminal.ref(x, y, "screen")
            cell = pyghostty.ffi.new("GhosttyCell*")
            pyghostty.lib.ghostty_grid_ref_cell(place, cell)
            if self._cell_value(cell[0], "WIDE", "GhosttyCellWide")[0] in _SPACERS:
                continue
            pyghostty.lib.ghostty_grid_ref_graphemes(place, points, 64, size)
            cells.append("".join(chr(points[index]) for index in range(size[0])) or " ")
        return "".join(cells).rstrip()

    def picture(self) -> Picture:
        """Everything to compare. Slow for large screens: some microseconds per cell."""
        columns, rows = self._terminal.size
        return Picture(
            text=self.text(),
            styles=tuple(tuple(self._style(x, y) for x in range(columns)) for y in range(rows)),
            cursor=self._terminal.cursor,
            modes=tuple(mode for mode in MODES if self._terminal.mode(mode)),
            alternate=self._terminal.get("active_screen", "int") != 0,
            kitty_flags=int(self._terminal.get("kitty_keyboard_flags", "uint8_t")),
            title=self._title(),
        )

    def _style(self, x: int, y: int, place: str = "active") -> str:
        style = self._terminal.style(x, y, place)
        words = [name for name in _ATTRIBUTES if style[name]]
        words += [f"{name}={style[name]}" for name in _VALUES if style[name]]
        # A cell that was erased with a background has that colour in place of a character, not as a style.
        cell = pyghostty.ffi.new("GhosttyCell*")
        pyghostty.lib.ghostty_grid_ref_cell(self._terminal.ref(x, y, place), cell)
        tag = self._cell_value(cell[0], "CONTENT_TAG", "GhosttyCellContentTag")[0]
        if tag == pyghostty.lib.GHOSTTY_CELL_CONTENT_BG_COLOR_PALETTE:
            words.append(f"erased={self._cell_value(cell[0], 'COLOR_PALETTE', 'uint8_t')[0]}")
        elif tag == pyghostty.lib.GHOSTTY_CELL_CONTENT_BG_COLOR_RGB:
            color = self._cell_value(cell[0], "COLOR_RGB", "GhosttyColorRgb")
            words.append(f"erased={color.r},{color.g},{color.b}")
        return " ".join(words)

    def _cell_value(self, cell: object, key: str, kind: str) -> pyghostty.ffi.CData:
        value = pyghostty.ffi.new(f"{kind}*")
        pyghostty.lib.ghostty_cell_get(cell, getattr(pyghostty.lib, f"GHOSTTY_CELL_DATA_{key}"), value)
        return value

    def _title(self) -> str:
        title = self._terminal.get("title", "GhosttyString")
        return bytes(pyghostty.ffi.buffer(title.ptr, title.len)).decode() if title.len else ""

    def _collect(self, data: bytes) -> None:
        self.replies += data
