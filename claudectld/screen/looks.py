"""How a cell looks, as a value, and the SGR sequence that makes a terminal print so."""

from functools import lru_cache
from typing import NamedTuple

Color = int | tuple[int, int, int] | None
"""A place in the palette, or red, green and blue, or the terminal's own."""


class Attributes(NamedTuple):
    """What SGR sets. The default value is plain."""

    bold: bool = False
    faint: bool = False
    italic: bool = False
    blink: bool = False
    inverse: bool = False
    invisible: bool = False
    strikethrough: bool = False
    overline: bool = False
    underline: int = 0
    """0 none, 1 single, 2 double, 3 curly, 4 dotted, 5 dashed."""
    foreground: Color = None
    background: Color = None
    underline_color: Color = None


PLAIN = Attributes()
_FLAGS = (
    (b"1", "bold"),
    (b"2", "faint"),
    (b"3", "italic"),
    (b"5", "blink"),
    (b"7", "inverse"),
    (b"8", "invisible"),
    (b"9", "strikethrough"),
    (b"53", "overline"),
)


@lru_cache(maxsize=1024)
def sgr(attributes: Attributes) -> bytes:
    """The sequence that sets exactly these attributes, whatever was set before."""
    params = [b"0"]
    params += [code for code, name in _FLAGS if getattr(attributes, name)]
    if attributes.underline:
        params.append(b"4" if attributes.underline == 1 else b"4:%d" % attributes.underline)
    params += _colored(30, attributes.foreground) + _colored(40, attributes.background)
    match attributes.underline_color:
        # With colons: a terminal that does not know underline colours takes `58;5;1` for blinking and bold.
        case int(index):
            params.append(b"58:5:%d" % index)
        case (red, green, blue):
            params.append(b"58:2::%d:%d:%d" % (red, green, blue))
        case None:
            pass
    return b"\x1b[%sm" % b";".join(params)


def _colored(first: int, color: Color) -> list[bytes]:
    match color:
        case None:
            return []
        case int(index) if index < 8:
            return [b"%d" % (first + index)]
        case int(index) if index < 16:
            return [b"%d" % (first + 60 + index - 8)]
        case int(index):
            return [b"%d;5;%d" % (first + 8, index)]
        case (red, green, blue):
            return [b"%d;2;%d;%d;%d" % (first + 8, red, green, blue)]
