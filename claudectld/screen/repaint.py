"""Bytes that bring a terminal to the state of an emulator: its rows, its modes, its cursor."""

import re
from collections.abc import Iterator

from claudectl_protocol.sessions import Size
from claudectl_protocol.stream import MAX_REPAINT_BYTES
from claudectld.screen.emulator import Emulator
from claudectld.screen.looks import PLAIN, sgr
from claudectld.screen.modes import INSERT, MODES_OFF, NEWLINE, ORIGIN, RESET
from claudectld.screen.painting import Detail, Strip, paint

_TITLE_LIMIT_BYTES = 1024
_KITTY_DEPTH = 8
_AUTOWRAP = 7
_CURSOR = 25
_MARGINS = 69
_KEYPAD = 66
_MOUSE = (9, 1000, 1002, 1003)
"""Modes of mouse reports. The one set last counts; the library does not tell which, so it is the one that says most."""
_MOUSE_FORMATS = (1005, 1015, 1006, 1016)
_ALTERNATE = (1049, 1047, 47)
_SWITCHES = tuple(
    mode for mode in MODES_OFF if mode not in (ORIGIN, _MARGINS, _KEYPAD, *_MOUSE, *_MOUSE_FORMATS)
)
_GRAPHEMES = 2027
_PLAIN_PEN = b'\x1b[?6l\x1b[0m\x1b[0"q\x1b(B\x1b)B\x1b*B\x1b+B\x0f'
_REGION = re.compile(rb"\x1b\[([0-9]+);[0-9]+r")
_SIDES = re.compile(rb"\x1b\[([0-9]+);[0-9]+s")
_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")


def repaint(emulator: Emulator, *, history: int = 0, limit_bytes: int = MAX_REPAINT_BYTES) -> bytes:
    """What brings any terminal of this size to the emulator's state, in at most `limit_bytes`.

    On the alternate screen the main screen is painted below it. Of too much, the oldest of the `history` lines go
    first, then links, then looks and the main screen.
    """
    size = Size(cols=emulator.columns, rows=emulator.rows)
    snapshot = emulator.snapshot()
    copy = Emulator(size, snapshot=snapshot, history=False)
    below: Emulator | None = None
    try:
        over = b""
        if emulator.alternate:
            below = Emulator(size, snapshot=snapshot, history=history > 0)
            below.feed(b"\x1b[?%dl" % _alternate(emulator))
            over = _cursors(below, below) + b"\x1b[?%dh%s\x1b[H\x1b[2J" % (_alternate(emulator), _PLAIN_PEN)
        end = _state(emulator) + _cursors(emulator, copy) + modes(emulator)
        if below is None:
            end = _far_keyboard(copy) + end
        room = limit_bytes - len(RESET) - len(over) - len(end)
        under, screen = _rows(below, emulator, room)
        past = _past(below or emulator, history, room - len(under) - len(screen)) if history else b""
        return b"".join((RESET, past, under, over, screen, end))
    finally:
        copy.close()
        if below is not None:
            below.close()


def modes(emulator: Emulator, *, mouse: bool = True) -> bytes:
    """Sequences for the modes of a fresh terminal's input and output, the title and the cursor's shape."""
    parts = [b"\x1b[%dh" % mode for mode in (INSERT, NEWLINE) if emulator.mode(mode, ansi=True)]
    parts += [b"\x1b[?%dh" % mode for mode in (*_SWITCHES, _GRAPHEMES) if emulator.mode(mode)]
    if mouse:
        parts += [b"\x1b[?%dh" % mode for mode in (*_MOUSE, *_MOUSE_FORMATS) if emulator.mode(mode)]
    if emulator.mode(_KEYPAD):
        parts.append(b"\x1b=")
    parts.append(emulator.state("keyboard"))
    if shape := emulator.cursor_shape():
        parts.append(b"\x1b[%d q" % shape)
    if title := _CONTROL.sub(b"", emulator.title):
        parts.append(b"\x1b]2;%s\x1b\\" % title[:_TITLE_LIMIT_BYTES])
    parts += [b"\x1b[?%dl" % mode for mode in (_AUTOWRAP, _CURSOR) if not emulator.mode(mode)]
    return b"".join(parts)


def place(emulator: Emulator) -> tuple[int, int]:
    """The cursor's row and column as a program is told them, from 1."""
    top, left = _origin(emulator)
    cursor = emulator.cursor
    return max(0, cursor.row - top) + 1, max(0, cursor.column - left) + 1


def _rows(below: Emulator | None, emulator: Emulator, room_bytes: int) -> tuple[bytes, bytes]:
    """The rows of the main screen, if it is below, and those of the screen in use."""
    for detail in Detail:
        under = _screen(below, detail) if below is not None and detail is not Detail.NO_LOOKS else b""
        screen = _screen(emulator, detail)
        if len(under) + len(screen) <= room_bytes:
            return under, screen
    return b"", b""


def _screen(emulator: Emulator, detail: Detail) -> bytes:
    """The visible rows, for a cleared screen without a scroll region."""
    parts = []
    before, wrapped = Strip(), False
    for line in emulator.lines():
        strip = paint(line, detail=detail)
        if strip.data and not (wrapped and strip.follows(before)):
            parts.append(b"\x1b[%dH" % (line.y + 1))
        parts.append(strip.data)
        before, wrapped = strip, line.wrapped
    return b"".join(parts)


def _past(emulator: Emulator, count: int, room_bytes: int) -> bytes:
    """The newest lines that have scrolled away, printed so that they scroll away again and leave a clear screen."""
    end = b"\r\n" * emulator.rows + b"\x1b[H"
    room_bytes -= len(end)
    newest: list[bytes] = []
    for data in reversed(list(_printed(emulator, count))):
        room_bytes -= len(data)
        if room_bytes < 0:
            break
        newest.append(data)
    return b"".join([*reversed(newest), end]).removeprefix(b"\r\n") if newest else b""


def _printed(emulator: Emulator, count: int) -> Iterator[bytes]:
    """The rows above the screen, oldest first, each for a cursor that stands behind the one before."""
    before, wrapped = Strip(), False
    for line in emulator.lines(count):
        if line.y >= 0:
            break
        strip = paint(line)
        yield strip.data if wrapped and strip.follows(before) else b"\r\n" + strip.data
        before, wrapped = strip, line.wrapped


def _state(emulator: Emulator) -> bytes:
    """Colours, tab stops and the scroll region."""
    stops = emulator.tab_stops()
    usual = b"".join(b"\x1b[%dG\x1bH" % column for column in range(9, emulator.columns + 1, 8))
    region = emulator.state("scrolling_region")
    margins = b"\x1b[?69h" if emulator.mode(_MARGINS) else b""
    return b"".join((emulator.colors(), stops if usual not in stops else b"", margins, region))


def _cursors(emulator: Emulator, copy: Emulator) -> bytes:
    """Sequences for the keyboard's flags, the saved cursor and the cursor; all but the rows of `copy` is lost."""
    # Read first: what is fed to a copy ends the character that was unfinished, which prints something.
    now = _position(emulator) + emulator.state("hyperlink")
    keyboard = _keyboard(copy)
    copy.feed(b"\x1b8")
    return b"".join((keyboard, _position(copy), b"\x1b7", now))


def _far_keyboard(copy: Emulator) -> bytes:
    """The same for the stack of the alternate screen, which can be reached from there only."""
    copy.feed(b"\x1b[?47h")
    stack = _keyboard(copy)
    return b"\x1b[?47h%s\x1b[?47l" % stack if stack else b""


def _keyboard(copy: Emulator) -> bytes:
    """Sequences for the stack of keyboard flags, which is lost."""
    stack = []
    for _ in range(_KITTY_DEPTH):
        stack.append(copy.kitty_flags)
        copy.feed(b"\x1b[<1u")
    while stack and not stack[-1]:
        stack.pop()
    return b"".join(b"\x1b[>%du" % flags for flags in reversed(stack))


def _position(emulator: Emulator) -> bytes:
    """Sequences that put the cursor and the pen where they are."""
    cursor = emulator.cursor
    top, left = _origin(emulator)
    origin = b"\x1b[?6h" if emulator.mode(ORIGIN) else b""
    column, again = cursor.column, b""
    if cursor.wraps:
        # Only printing in the last column brings the cursor behind it.
        for line in emulator.lines():
            if line.y == cursor.row:
                column -= not line.sort(line.raw[column]).columns
                again = paint(line, column, cursor.column + 1).data or b" "
    place = b"\x1b[%d;%dH" % (max(0, cursor.row - top) + 1, max(0, column - left) + 1)
    pen = emulator.pen
    look = sgr(pen) if pen != PLAIN else b""
    return b"".join((_PLAIN_PEN, origin, place, again, look, emulator.state("protection", "charsets")))


def _origin(emulator: Emulator) -> tuple[int, int]:
    """The row and column that places are counted from."""
    if not emulator.mode(ORIGIN):
        return 0, 0
    region = emulator.state("scrolling_region")
    rows, sides = _REGION.search(region), _SIDES.search(region)
    return int(rows[1]) - 1 if rows else 0, int(sides[1]) - 1 if sides else 0


def _alternate(emulator: Emulator) -> int:
    """The mode that switched to the alternate screen."""
    return next((mode for mode in _ALTERNATE if emulator.mode(mode)), _ALTERNATE[0])
