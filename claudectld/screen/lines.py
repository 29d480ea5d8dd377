"""Rows of cells as the library has them."""

from array import array
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import NamedTuple

from claudectld.screen.library import EmulatorError, check, ffi, lib, sized
from claudectld.screen.looks import PLAIN, Attributes, Color

_GRAPHEME_CODEPOINTS = 64
_STYLE = lib.GHOSTTY_RENDER_STATE_ROW_CELLS_DATA_STYLE


class Coat(NamedTuple):
    """What tells the look of a cell from that of its neighbour. The default value is plain."""

    style: int = 0
    """A number that means something only within its row."""
    erased: Color = None
    """The colour of a cell that was erased with one and has no character."""
    linked: bool = False
    protected: bool = False


class Sort(NamedTuple):
    """What one raw cell value says of itself."""

    text: bytes
    """Empty for a cell that nobody wrote, or whose characters have to be looked up (`grapheme`)."""
    columns: int
    """How many columns the character takes; 0 for the second half of a wide one."""
    coat: Coat
    grapheme: bool
    head: bool
    """True for the last place of a row that a wide character left free."""

    @property
    def is_vacant(self) -> bool:
        """True for a cell without a character."""
        return not self.text and not self.grapheme and self.coat in (Coat(), Coat(erased=self.coat.erased))


class Line:
    """One row of cells. Valid only until the emulator is asked for the next one."""

    __slots__ = ("_cells", "_link", "_memory", "raw", "wrapped", "y")

    def __init__(
        self,
        link: Callable[[int, int], bytes],
        cells: object,
        memory: "_Memory",
        y: int,
        raw: "array[int]",
        *,
        wrapped: bool,
    ) -> None:
        self._link = link
        self._cells = cells
        self._memory = memory
        self.y = y
        """The row, 0 at the screen's top, negative above it."""
        self.raw = raw
        """One number per cell; equal numbers of one row look alike, except for graphemes and links."""
        self.wrapped = wrapped
        """True when the text goes on in the next row."""

    def sort(self, value: int) -> Sort:
        """What a number in `raw` means."""
        return _sort(value)

    def attributes(self, column: int) -> Attributes:
        """How the cell looks."""
        memory = self._memory
        memory.check_open()
        check(lib.ghostty_render_state_row_cells_select(self._cells, column), "select")
        check(lib.ghostty_render_state_row_cells_get(self._cells, _STYLE, memory.style), "style")
        key = bytes(memory.style_bytes)
        attributes = memory.attributes.get(key)
        if attributes is None:
            attributes = memory.attributes[key] = attributes_of(memory.style)
        return attributes

    def grapheme(self, column: int) -> bytes:
        """The characters of a cell that has several."""
        self._memory.check_open()
        check(lib.ghostty_render_state_row_cells_select(self._cells, column), "select")
        count = ffi.new("uint32_t*")
        key = lib.GHOSTTY_RENDER_STATE_ROW_CELLS_DATA_GRAPHEMES_LEN
        check(lib.ghostty_render_state_row_cells_get(self._cells, key, count), "graphemes")
        points = ffi.new("uint32_t[]", max(count[0], 1))
        key = lib.GHOSTTY_RENDER_STATE_ROW_CELLS_DATA_GRAPHEMES_BUF
        check(lib.ghostty_render_state_row_cells_get(self._cells, key, points), "graphemes")
        text = "".join(map(chr, points[0 : min(count[0], _GRAPHEME_CODEPOINTS)]))
        return text.encode(errors="replace")

    def link(self, column: int) -> bytes:
        """The address that the cell leads to; nothing for one that is too long for any terminal."""
        return self._link(column, self.y)


class _Memory:
    """What the lines of one reading share, because asking the library for every cell would take too long."""

    def __init__(self) -> None:
        self.style = sized("GhosttyStyle")
        self.style_bytes = ffi.buffer(self.style)
        self.attributes: dict[bytes, Attributes] = {}
        self.is_over = False
        """True when the library's copy of the rows is freed."""

    def check_open(self) -> None:
        """Raise EmulatorError when a line outlives its reading: what the library has there is anybody's memory."""
        if self.is_over:
            raise EmulatorError("a line is asked after its reading is over")


class RenderState:
    """A copy of the rows, for as long as they are read."""

    def __init__(self, terminal: ffi.CData, above: int = 0) -> None:
        self._terminal = terminal
        self._above = above
        self._handle = ffi.new("GhosttyRenderState*")
        self._rows = ffi.new("GhosttyRenderStateRowIterator*")
        self._cells = ffi.new("GhosttyRenderStateRowCells*")
        self._memory = _Memory()

    def __enter__(self) -> "RenderState":
        try:
            check(lib.ghostty_render_state_new(ffi.NULL, self._handle), "render state")
            check(lib.ghostty_render_state_row_iterator_new(ffi.NULL, self._rows), "rows")
            check(lib.ghostty_render_state_row_cells_new(ffi.NULL, self._cells), "cells")
            if self._above:
                overscan = ffi.new("GhosttyRenderStateOverscan*")
                overscan.above = self._above
                key = lib.GHOSTTY_RENDER_STATE_OPTION_OVERSCAN
                check(lib.ghostty_render_state_set(self._handle[0], key, overscan), "overscan")
            check(lib.ghostty_render_state_update(self._handle[0], self._terminal), "update")
        except EmulatorError:
            self._release()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._release()

    def _release(self) -> None:
        self._memory.is_over = True
        lib.ghostty_render_state_row_cells_free(self._cells[0])
        lib.ghostty_render_state_row_iterator_free(self._rows[0])
        lib.ghostty_render_state_free(self._handle[0])

    def get(self, key: str, value: ffi.CData) -> None:
        """Fill `value` with one of the state's data."""
        number = getattr(lib, f"GHOSTTY_RENDER_STATE_DATA_{key}")
        check(lib.ghostty_render_state_get(self._handle[0], number, value), key)

    def lines(self, link: Callable[[int, int], bytes]) -> Iterator[Line]:
        """Every row; each is valid only until the next one. `link` finds the address at a column and row."""
        self.get("ROW_ITERATOR", self._rows)
        y, view = ffi.new("int32_t*"), ffi.new("GhosttyCellsView*")
        row, wrapped = ffi.new("GhosttyRow*"), ffi.new("bool*")
        wanted = (
            (lib.GHOSTTY_RENDER_STATE_ROW_DATA_VIEWPORT_Y, y),
            (lib.GHOSTTY_RENDER_STATE_ROW_DATA_CELLS_RAW, view),
            (lib.GHOSTTY_RENDER_STATE_ROW_DATA_RAW, row),
            (lib.GHOSTTY_RENDER_STATE_ROW_DATA_CELLS, self._cells),
        )
        while lib.ghostty_render_state_row_iterator_next(self._rows[0]):
            for key, value in wanted:
                check(lib.ghostty_render_state_row_get(self._rows[0], key, value), "row")
            check(lib.ghostty_row_get(row[0], lib.GHOSTTY_ROW_DATA_WRAP, wrapped), "row")
            raw = array("Q")
            raw.frombytes(ffi.buffer(view.ptr, view.len * 8))
            yield Line(link, self._cells[0], self._memory, y[0], raw, wrapped=bool(wrapped[0]))


@lru_cache(maxsize=8192)
def _sort(value: int) -> Sort:
    tag = _of(value, "CONTENT_TAG", "GhosttyCellContentTag")
    wide = _of(value, "WIDE", "GhosttyCellWide")
    background: Color = None
    text = b""
    if tag == lib.GHOSTTY_CELL_CONTENT_BG_COLOR_PALETTE:
        background = int(_of(value, "COLOR_PALETTE", "uint8_t"))
    elif tag == lib.GHOSTTY_CELL_CONTENT_BG_COLOR_RGB:
        color = _of(value, "COLOR_RGB", "GhosttyColorRgb")
        background = (color.r, color.g, color.b)
    elif tag == lib.GHOSTTY_CELL_CONTENT_CODEPOINT:
        point = int(_of(value, "CODEPOINT", "uint32_t"))
        # Surrogates cannot be encoded, and what could pass for a control character must not get out.
        text = chr(point).encode(errors="replace") if point >= 0xA0 or 0x20 <= point < 0x7F else b""
    coat = Coat(
        int(_of(value, "STYLE_ID", "uint16_t")),
        background,
        bool(_of(value, "HAS_HYPERLINK", "bool")),
        bool(_of(value, "PROTECTED", "bool")),
    )
    if wide == lib.GHOSTTY_CELL_WIDE_WIDE and text == b" ":
        # What a line drawing character set has in place of a wide character.
        text = b"  "
    return Sort(
        text=text,
        columns={lib.GHOSTTY_CELL_WIDE_WIDE: 2, lib.GHOSTTY_CELL_WIDE_SPACER_TAIL: 0}.get(wide, 1),
        coat=coat,
        grapheme=bool(tag == lib.GHOSTTY_CELL_CONTENT_CODEPOINT_GRAPHEME),
        head=bool(wide == lib.GHOSTTY_CELL_WIDE_SPACER_HEAD),
    )


def _of(value: int, key: str, kind: str) -> ffi.CData:
    out = ffi.new(f"{kind}*")
    check(lib.ghostty_cell_get(value, getattr(lib, f"GHOSTTY_CELL_DATA_{key}"), out), key)
    return out[0]


def attributes_of(style: ffi.CData) -> Attributes:
    """What a style of the library's sets."""
    if lib.ghostty_style_is_default(style):
        return PLAIN
    return Attributes(
        bold=style.bold,
        faint=style.faint,
        italic=style.italic,
        blink=style.blink,
        inverse=style.inverse,
        invisible=style.invisible,
        strikethrough=style.strikethrough,
        overline=style.overline,
        underline=style.underline,
        foreground=_color(style.fg_color),
        background=_color(style.bg_color),
        underline_color=_color(style.underline_color),
    )


def _color(color: ffi.CData) -> Color:
    if color.tag == lib.GHOSTTY_STYLE_COLOR_PALETTE:
        return int(color.value.palette)
    if color.tag == lib.GHOSTTY_STYLE_COLOR_RGB:
        rgb = color.value.rgb
        return (rgb.r, rgb.g, rgb.b)
    return None
