"""What the screen answers to terminal queries: little, and the same for every client.

Unanswered on purpose: XTVERSION and the kitty keyboard query (an answer makes Claude Code and others speak a richer
dialect than a client's terminal may know), the clipboard (OSC 52), titles, palettes, graphics and checksums.
"""

from claudectl_protocol.sessions import Size
from claudectld.screen.queries import Query, QueryKind

_FOREGROUND = b"rgb:dddd/dddd/dddd"
_BACKGROUND = b"rgb:0000/0000/0000"
_COLORS = {10: _FOREGROUND, 11: _BACKGROUND, 12: _FOREGROUND}
_DARK = b"\x1b[?997;1n"


def reply(query: Query, size: Size, status_reply: bytes, place: tuple[int, int] = (1, 1)) -> bytes:
    """The bytes to type back, or none.

    `place` is the cursor's row and column from 1. A raw screen does not know it and says 1;1, because a program that
    gets no answer waits. Sizes in pixels are told when they are known. `status_reply` answers OSC 7501.
    """
    plain = query.params.strip(b"0") == b""
    match query.kind:
        case QueryKind.STATUS:
            return status_reply
        case QueryKind.DA1 | QueryKind.DECID:
            return b"\x1b[?62;22c" if plain else b""
        case QueryKind.DA2:
            return b"\x1b[>1;0;0c" if plain else b""
        case QueryKind.DA3:
            return b"\x1bP!|00000000\x1b\\" if plain else b""
        case QueryKind.DSR:
            return {b"5": b"\x1b[0n", b"6": b"\x1b[%d;%dR" % place}.get(query.params, b"")
        case QueryKind.DECDSR:
            return {b"6": b"\x1b[?%d;%dR" % place, b"996": _DARK}.get(query.params, b"")
        case QueryKind.DECRQM:
            return b"\x1b[%s;0$y" % query.params
        case QueryKind.DECRQM_PRIVATE:
            return b"\x1b[?%s;0$y" % query.params
        case QueryKind.DECRQSS:
            return b"\x1bP0$r\x1b\\"
        case QueryKind.XTGETTCAP:
            return b"\x1bP0+r\x1b\\"
        case QueryKind.WINDOW:
            return _window(query.params, size)
        case QueryKind.COLOR:
            return _colors(query)
        case (
            QueryKind.XTVERSION
            | QueryKind.KITTY_KEYBOARD
            | QueryKind.CLIPBOARD
            | QueryKind.GRAPHICS
            | QueryKind.REPORT
        ):
            return b""


def _window(params: bytes, size: Size) -> bytes:
    """A size in cells, or in pixels where they are known."""
    height, width = size.ypixel, size.xpixel
    known = height > 0 and width > 0
    match params.partition(b";")[0]:
        case b"14" if known:
            return b"\x1b[4;%d;%dt" % (height, width)
        case b"15" if known:
            return b"\x1b[5;%d;%dt" % (height, width)
        case b"16" if known and size.rows > 0 and size.cols > 0:
            return b"\x1b[6;%d;%dt" % (height // size.rows, width // size.cols)
        case b"18":
            return b"\x1b[8;%d;%dt" % (size.rows, size.cols)
        case b"19":
            return b"\x1b[9;%d;%dt" % (size.rows, size.cols)
        case _:
            return b""


def _colors(query: Query) -> bytes:
    """Foreground, background and cursor colour, ended as the query was; several may be asked for at once."""
    first, *specs = query.params.split(b";")
    end = b"\x07" if query.raw.endswith(b"\x07") else b"\x1b\\"
    return b"".join(
        b"\x1b]%d;%s%s" % (number, _COLORS[number], end)
        for number, spec in enumerate(specs, int(first))
        if spec == b"?" and number in _COLORS
    )
