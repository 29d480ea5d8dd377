"""An independent terminal emulator to judge screens by: bytes and sizes in, cells and modes out."""

from dataclasses import dataclass

import pyghostty

from claudectl_protocol.sessions import Size

MODES = (1, 5, 6, 7, 9, 25, 45, 66, 69, 1000, 1002, 1003, 1004, 1005, 1006, 1015, 1016, 2004, 2031)
_ATTRIBUTES = ("bold", "italic", "faint", "blink", "inverse", "invisible", "strikethrough", "overline")
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
        return tuple(line.rstrip() for line in str(self._terminal.text()).split("\n"))

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

    def _style(self, x: int, y: int) -> str:
        style = self._terminal.style(x, y)
        words = [name for name in _ATTRIBUTES if style[name]]
        words += [f"{name}={style[name]}" for name in _VALUES if style[name]]
        # A cell that was erased with a background has that colour in place of a character, not as a style.
        cell = pyghostty.ffi.new("GhosttyCell*")
        pyghostty.lib.ghostty_grid_ref_cell(self._terminal.ref(x, y), cell)
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
