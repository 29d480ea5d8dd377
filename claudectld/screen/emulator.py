"""A terminal without a window: bytes in, cells and modes out. It knows nothing of clients and their terminals."""

import weakref
from collections.abc import Iterator
from typing import NamedTuple

from claudectl_protocol.sessions import Size
from claudectld.screen.library import check, ffi, find_place, lib, sized, taken
from claudectld.screen.lines import Line, RenderState, attributes_of
from claudectld.screen.looks import Attributes

CONTINUATION_BYTES = 64 * 1024
MAX_COLUMNS = 1024
MAX_ROWS = 512
"""A larger terminal than this is emulated in part: cells are memory, and a client may claim any size."""
_LINK_BYTES = 2083


class Keep(NamedTuple):
    """How much of what scrolls away is kept. Bytes are set too, because the library's own limit would keep some
    hundred lines only."""

    lines: int
    size_bytes: int


HISTORY = Keep(lines=10_000, size_bytes=16 * 1024 * 1024)


class Cursor(NamedTuple):
    """Column and row from 0; `wraps` says that the next character goes to the next row first."""

    column: int
    row: int
    wraps: bool


class Emulator:
    """A terminal without a window. Everything raises EmulatorError."""

    def __init__(
        self,
        size: Size,
        *,
        snapshot: bytes | None = None,
        history: bool = True,
        keep: Keep = HISTORY,
    ) -> None:
        """Args: snapshot: begin as the emulator that it was taken of, if wanted without what has scrolled away;
        keep: how much of that is kept."""
        handle = ffi.new("GhosttyTerminal*")
        if snapshot is None:
            columns, rows = _cells(size)
            check(lib.ghostty_terminal_new(ffi.NULL, handle, columns, rows), "new")
        else:
            _decode(snapshot, handle, history=history)
        self._handle = handle[0]
        self._free = weakref.finalize(self, lib.ghostty_terminal_free, self._handle)
        for option, kind, value in (
            ("SCROLLBACK_MAX_LINES", "size_t", keep.lines),
            ("SCROLLBACK_MAX_BYTES", "size_t", keep.size_bytes),
            ("CONTINUATION_MAX_BYTES", "size_t", CONTINUATION_BYTES),
            # Images are for the client's terminal; here they would only take memory.
            ("KITTY_IMAGE_STORAGE_LIMIT", "uint64_t", 0),
            # A shape that no program can ask for, so that the shape nobody asked for can be told from a block.
            ("DEFAULT_CURSOR_STYLE", "int", lib.GHOSTTY_TERMINAL_CURSOR_STYLE_BLOCK_HOLLOW),
        ):
            number = getattr(lib, f"GHOSTTY_TERMINAL_OPT_{option}")
            check(lib.ghostty_terminal_set(self._handle, number, ffi.new(f"{kind}*", value)), option)

    def close(self) -> None:
        """Give the memory back now."""
        self._free()

    def feed(self, data: bytes) -> None:
        """Take output."""
        lib.ghostty_terminal_vt_write(self._handle, data, len(data))

    def resize(self, size: Size) -> None:
        """Change the size; the main screen's lines are wrapped anew."""
        columns, rows = _cells(size)
        width, height = size.xpixel // columns or 8, size.ypixel // rows or 16
        check(lib.ghostty_terminal_resize(self._handle, columns, rows, width, height), "resize")

    def compress(self) -> None:
        """Keep the history in as little memory as possible."""
        result = ffi.new("GhosttyTerminalCompressionResult*")
        mode = lib.GHOSTTY_TERMINAL_COMPRESSION_MODE_FULL
        check(lib.ghostty_terminal_compress(self._handle, mode, result), "compress")

    def snapshot(self) -> bytes:
        """All of the state, for this version of the library."""
        encode = lib.ghostty_snapshot_encode_alloc
        result, data = taken(lambda address, size: encode(self._handle, ffi.NULL, address, size))
        check(result, "snapshot")
        return data

    def continuation(self) -> bytes | None:
        """What has been fed of a sequence or character that is not finished; None when it is too long to keep."""
        if self._get("VT_GROUND", "bool"):
            return b""
        tell = lib.ghostty_terminal_continuation_alloc
        result, data = taken(lambda address, size: tell(self._handle, ffi.NULL, address, size))
        return None if result else data

    @property
    def columns(self) -> int:
        """The width in cells."""
        return int(self._get("COLS", "uint16_t"))

    @property
    def rows(self) -> int:
        """The height in cells."""
        return int(self._get("ROWS", "uint16_t"))

    @property
    def history(self) -> int:
        """How many lines have scrolled away and are still there."""
        return int(self._get("SCROLLBACK_ROWS", "size_t"))

    @property
    def alternate(self) -> bool:
        """True on the alternate screen."""
        return bool(self._get("ACTIVE_SCREEN", "int") == lib.GHOSTTY_TERMINAL_SCREEN_ALTERNATE)

    @property
    def cursor(self) -> Cursor:
        """Where the next character goes."""
        return Cursor(
            int(self._get("CURSOR_X", "uint16_t")),
            int(self._get("CURSOR_Y", "uint16_t")),
            bool(self._get("CURSOR_PENDING_WRAP", "bool")),
        )

    @property
    def pen(self) -> Attributes:
        """How the next character looks."""
        style = sized("GhosttyStyle")
        key = lib.GHOSTTY_TERMINAL_DATA_CURSOR_STYLE
        check(lib.ghostty_terminal_get(self._handle, key, style), "pen")
        return attributes_of(style)

    @property
    def title(self) -> bytes:
        """The window's title."""
        title = self._get("TITLE", "GhosttyString")
        return bytes(ffi.buffer(title.ptr, title.len)) if title.len else b""

    @property
    def kitty_flags(self) -> int:
        """The keyboard flags in use on this screen."""
        return int(self._get("KITTY_KEYBOARD_FLAGS", "uint8_t"))

    def mode(self, number: int, *, ansi: bool = False) -> bool:
        """True when a DEC private mode (or, with `ansi`, one of ECMA-48) is set."""
        config = ffi.new("GhosttyTerminalModeConfig*")
        config.mode = number | (0x8000 if ansi else 0)
        check(lib.ghostty_terminal_get(self._handle, lib.GHOSTTY_TERMINAL_DATA_MODE, config), "mode")
        return bool(config.value)

    def cursor_shape(self) -> int:
        """The parameter of DECSCUSR, 0 when none was asked for."""
        with RenderState(self._handle) as state:
            cursor = sized("GhosttyRenderStateCursor")
            state.get("CURSOR", cursor)
        shape = {
            lib.GHOSTTY_RENDER_STATE_CURSOR_VISUAL_STYLE_BLOCK: 2,
            lib.GHOSTTY_RENDER_STATE_CURSOR_VISUAL_STYLE_UNDERLINE: 4,
            lib.GHOSTTY_RENDER_STATE_CURSOR_VISUAL_STYLE_BAR: 6,
        }.get(cursor.visual_style, 0)
        return shape - 1 if shape and cursor.blinking else shape

    def colors(self) -> bytes:
        """The sequences for the colours that the program has set: the three of the terminal and the palette."""
        parts = []
        for number, key in ((10, "FOREGROUND"), (11, "BACKGROUND"), (12, "CURSOR")):
            color = ffi.new("GhosttyColorRgb*")
            data = getattr(lib, f"GHOSTTY_TERMINAL_DATA_COLOR_{key}")
            if not lib.ghostty_terminal_get(self._handle, data, color):
                parts.append(b"\x1b]%d;%s\x1b\\" % (number, _rgb(color)))
        palette, default = self._palette("COLOR_PALETTE"), self._palette("COLOR_PALETTE_DEFAULT")
        if bytes(ffi.buffer(palette)) != bytes(ffi.buffer(default)):
            parts += [
                b"\x1b]4;%d;%s\x1b\\" % (index, _rgb(palette[index]))
                for index in range(256)
                if _rgb(palette[index]) != _rgb(default[index])
            ]
        return b"".join(parts)

    def state(self, *kinds: str) -> bytes:
        """Sequences for what can be read in no other way: of `scrolling_region`, `keyboard`, `hyperlink`,
        `protection`, `charsets` what is not as in a fresh terminal."""
        return self._formatted(*kinds).removeprefix(self._formatted())

    def tab_stops(self) -> bytes:
        """Sequences that set the tab stops, and move the cursor."""
        return self._formatted("tabstops").removesuffix(self._formatted())

    def lines(self, above: int = 0) -> Iterator[Line]:
        """The visible rows from the top, after `above` of those that have scrolled away."""
        with RenderState(self._handle, min(above, self.history)) as state:
            yield from state.lines(self.link)

    def text(self, first: int, last: int, *, joined: bool) -> str:
        """Rows as text without trailing blanks, one per line; rows count from the oldest of the history.

        Args: joined: a line that was wrapped is one line again.
        """
        options = sized("GhosttyTerminalSelectionFormatOptions")
        options.emit = lib.GHOSTTY_FORMATTER_FORMAT_PLAIN
        options.unwrap, options.trim = joined, True
        selection = sized("GhosttySelection")
        selection.start = self._place(0, first)[0]
        selection.end = self._place(self.columns - 1, last)[0]
        options.selection = selection
        form = lib.ghostty_terminal_selection_format_alloc
        result, data = taken(lambda address, size: form(self._handle, ffi.NULL, options[0], address, size))
        check(result, "text")
        return data.decode(errors="replace")

    def wraps(self, row: int) -> bool:
        """True when the text of a row goes on in the next one; rows count from the oldest of the history."""
        return self._row(row, lib.GHOSTTY_ROW_DATA_WRAP)

    def is_continued(self, row: int) -> bool:
        """True when the text of a row began in the one before, which need not be there any more."""
        return self._row(row, lib.GHOSTTY_ROW_DATA_WRAP_CONTINUATION)

    def link(self, column: int, y: int) -> bytes:
        """The address that a cell leads to, as Line.link."""
        place = self._place(column, self.history + y)
        buffer, size = ffi.new("uint8_t[]", _LINK_BYTES), ffi.new("size_t*")
        if lib.ghostty_grid_ref_hyperlink_uri(place, buffer, _LINK_BYTES, size):
            return b""
        return bytes(ffi.buffer(buffer, size[0]))

    def _row(self, row: int, key: int) -> bool:
        raw, value = ffi.new("GhosttyRow*"), ffi.new("bool*")
        check(lib.ghostty_grid_ref_row(self._place(0, row), raw), "row")
        check(lib.ghostty_row_get(raw[0], key, value), "row")
        return bool(value[0])

    def _place(self, column: int, row: int) -> ffi.CData:
        return find_place(self._handle, column, row)

    def _get(self, key: str, kind: str) -> ffi.CData:
        value = ffi.new(f"{kind}*")
        data = getattr(lib, f"GHOSTTY_TERMINAL_DATA_{key}")
        check(lib.ghostty_terminal_get(self._handle, data, value), key)
        return value[0]

    def _palette(self, key: str) -> ffi.CData:
        palette = ffi.new("GhosttyColorRgb[256]")
        data = getattr(lib, f"GHOSTTY_TERMINAL_DATA_{key}")
        check(lib.ghostty_terminal_get(self._handle, data, palette), key)
        return palette

    def _formatted(self, *kinds: str) -> bytes:
        options = sized("GhosttyFormatterTerminalOptions")
        options.emit = lib.GHOSTTY_FORMATTER_FORMAT_VT
        for kind in kinds:
            where = options.extra if hasattr(options.extra, kind) else options.extra.screen
            setattr(where, kind, True)
        # One cell, because rows are not what is asked for.
        selection = sized("GhosttySelection")
        selection.start = selection.end = self._place(0, self.history)[0]
        options.selection = selection
        formatter = ffi.new("GhosttyFormatter*")
        check(lib.ghostty_formatter_terminal_new(ffi.NULL, formatter, self._handle, options[0]), "formatter")
        form = lib.ghostty_formatter_format_alloc
        try:
            result, data = taken(lambda address, size: form(formatter[0], ffi.NULL, address, size))
        finally:
            lib.ghostty_formatter_free(formatter[0])
        check(result, "format")
        return data


def _cells(size: Size) -> tuple[int, int]:
    return max(1, min(size.cols, MAX_COLUMNS)), max(1, min(size.rows, MAX_ROWS))


def _decode(snapshot: bytes, handle: ffi.CData, *, history: bool) -> None:
    decoder = ffi.new("GhosttySnapshotDecoder*")
    check(lib.ghostty_snapshot_decoder_new_buf(ffi.NULL, decoder, snapshot, len(snapshot)), "decoder")
    try:
        retain = ffi.new("bool*", 1)
        option = lib.GHOSTTY_SNAPSHOT_DECODER_OPT_RETAIN_CONTINUATION
        check(lib.ghostty_snapshot_decoder_set(decoder[0], option, retain), "decoder")
        decode = lib.ghostty_snapshot_decoder_decode if history else lib.ghostty_snapshot_decoder_ready
        check(decode(decoder[0], handle), "snapshot")
    finally:
        lib.ghostty_snapshot_decoder_free(decoder[0])


def _rgb(color: ffi.CData) -> bytes:
    return b"rgb:%02x/%02x/%02x" % (color.r, color.g, color.b)
