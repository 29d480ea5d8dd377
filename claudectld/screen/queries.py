"""Cuts terminal queries out of a run's output, so that only the daemon's screen answers them.

Whether bytes are a query depends on nothing that came before their ESC, so a splitter may start at the end of
any piece and finds the same queries: that is what lets a client go on by record offset.
"""

import re
from enum import StrEnum
from typing import NamedTuple

from claudectld.screen.candidates import unfinished

CSI_LIMIT_BYTES = 64
"""A longer control sequence is no query."""
OSC_LIMIT_BYTES = 256
DCS_LIMIT_BYTES = 1024


class QueryKind(StrEnum):
    """What a program asks its terminal; the names are the usual ones (ctlseqs of xterm)."""

    DA1 = "da1"
    DA2 = "da2"
    DA3 = "da3"
    DSR = "dsr"
    """`CSI Ps n`: status (5), cursor position (6)."""
    DECDSR = "decdsr"
    """`CSI ? Ps n`: cursor position (6), colour scheme (996) and others."""
    DECRQM = "decrqm"
    """A mode of ECMA-48, `CSI Ps $ p`."""
    DECRQM_PRIVATE = "decrqm_private"
    """A DEC private mode, `CSI ? Ps $ p`."""
    XTVERSION = "xtversion"
    KITTY_KEYBOARD = "kitty_keyboard"
    WINDOW = "window"
    """`CSI Ps t` with a Ps that asks for a size, position or title."""
    COLOR = "color"
    """OSC 4, 5 and 10 to 19 with `?` for a colour."""
    CLIPBOARD = "clipboard"
    """OSC 52 with `?` for the content."""
    STATUS = "status"
    """OSC 7501;? (program status)."""
    DECRQSS = "decrqss"
    XTGETTCAP = "xtgettcap"
    GRAPHICS = "graphics"
    """`CSI ? … S`."""
    REPORT = "report"
    """Checksums, terminal parameters, presentation state: reports that nobody needs."""
    DECID = "decid"
    """The old form of DA1, `ESC Z`."""


class Passage(NamedTuple):
    """Bytes that clients receive; `end` is the record offset after them."""

    data: bytes
    end: int


class Query(NamedTuple):
    """A query, cut out whole as `raw`; `end` is the record offset after it.

    `params` is `6` of `CSI ? 6 n`, `11;?` of `OSC 11 ; ? BEL` and `m` of `DCS $ q m ST`.
    """

    kind: QueryKind
    raw: bytes
    params: bytes
    end: int


Piece = Passage | Query

# Possessive repeats (`+` after the bound) keep what is no query from being tried again at every length.
_NUMBERS = rb"[0-9;]{0,%d}+" % (CSI_LIMIT_BYTES - 8)
_OSC_TEXT = rb"[^\x07\x18\x1a\x1b]{0,%d}+" % (OSC_LIMIT_BYTES - 8)
_OSC_END = rb"(?:\x07|\x1b\\)"
_DCS_TEXT = rb"[^\x18\x1a\x1b]{0,%d}+" % (DCS_LIMIT_BYTES - 80)
_FIELDS = rb"(?:[^;\x07\x18\x1a\x1b]*+;)*"

_QUERY = re.compile(
    rb"""\x1b(?:
        \[ (?:
            %(numbers)s (?: (?P<da1>c) | (?P<dsr>n) | (?P<decrqm>\$p) | (?P<report>x|\*y|\$[uw]|&u|\#\|) )
          | \?%(numbers)s (?:(?P<decdsr>n) | (?P<decrqm_private>\$p) | (?P<kitty_keyboard>u) | (?P<graphics>S))
          | >%(numbers)s (?: (?P<da2>c) | (?P<xtversion>q) )
          | =%(numbers)s (?P<da3>c)
          | (?P<window> (?:11|1[3-689]|2[01]) (?:;%(numbers)s)? t )
        )
      | \] (?= [0-9]{1,4};%(osc_text)s%(osc_end)s ) (?:
            (?P<color> (?:[45]|1[0-9]); %(fields)s \? (?:;%(osc_text)s)? %(osc_end)s )
          | (?P<clipboard> 52;[^;\x07\x18\x1a\x1b]*+;\?%(osc_end)s )
          | (?P<status> 7501;\?%(osc_end)s )
        )
      | P %(numbers)s (?: (?P<decrqss> \$q%(dcs_text)s\x1b\\ ) | (?P<xtgettcap> \+q%(dcs_text)s\x1b\\ ) )
      | (?P<decid>Z)
    )"""
    % {
        b"numbers": _NUMBERS,
        b"osc_text": _OSC_TEXT,
        b"osc_end": _OSC_END,
        b"dcs_text": _DCS_TEXT,
        b"fields": _FIELDS,
    },
    re.VERBOSE,
)
# What may still become a query when more bytes arrive.
_UNFINISHED = re.compile(
    rb"""\x1b(?:
        \[ [?>=]? %(numbers)s [$*&\#]?
      | \] (?: [0-9]{0,4} | (?:[45]|1[0-9]|52|7501);%(osc_text)s\x1b? )
      | P %(numbers)s (?: [$+] (?: q%(dcs_text)s\x1b? )? )?
    )?\Z"""
    % {b"numbers": _NUMBERS, b"osc_text": _OSC_TEXT, b"dcs_text": _DCS_TEXT},
    re.VERBOSE,
)


class QuerySplitter:
    """Bytes in, pieces out; it remembers only the bytes of a candidate that has not ended.

    A candidate is at most DCS_LIMIT_BYTES long; what cannot become a query goes on at once. ESC always begins
    anew, also inside a string, as terminals do.
    """

    def __init__(self, offset: int = 0) -> None:
        """Args: offset: the record offset of the first byte that will be fed, 0 or the `end` of a piece."""
        self._end = offset
        self._pending = b""

    @property
    def pending(self) -> bytes:
        """The unfinished candidate: fed, but not yet part of a piece."""
        return self._pending

    def feed(self, data: bytes) -> list[Piece]:
        """The pieces that `data` completes, in order; together with `pending` they are all that was fed."""
        buffer = self._pending + data
        start = self._end
        pieces: list[Piece] = []
        done = 0
        for match in _QUERY.finditer(buffer):
            if match.start() > done:
                pieces.append(Passage(buffer[done : match.start()], start + match.start()))
            done = match.end()
            kind = QueryKind(match.lastgroup or "")
            pieces.append(Query(kind, match[0], _params(match[0]), start + done))
        held = unfinished(_UNFINISHED, buffer, done)
        if held > done:
            pieces.append(Passage(buffer[done:held], start + held))
        self._end = start + held
        self._pending = buffer[held:]
        return pieces

    def finish(self) -> list[Piece]:
        """The rest, once no more bytes will come."""
        rest, self._pending = self._pending, b""
        self._end += len(rest)
        return [Passage(rest, self._end)] if rest else []


def _params(raw: bytes) -> bytes:
    """The part of a query that differs among those of its kind."""
    match raw[1:2]:
        case b"[":
            return raw[2:-1].strip(b"?>=$*&#")
        case b"]":
            return raw[2:-1] if raw.endswith(b"\x07") else raw[2:-2]
        case b"P":
            return raw[raw.index(b"q") + 1 : -2]
        case _:
            return b""
