"""Keys as bytes: the language of `send --keys`, and the filter that finds our own keys in what is typed."""

import os
import re
from typing import NamedTuple

from claudectl_protocol.faults import InvalidArgument, Rejected

_NAMED: dict[str, bytes] = {
    "enter": b"\r",
    "cr": b"\r",
    "return": b"\r",
    "esc": b"\x1b",
    "tab": b"\t",
    "s-tab": b"\x1b[Z",
    "space": b" ",
    "bs": b"\x7f",
    "backspace": b"\x7f",
    "del": b"\x1b[3~",
    "delete": b"\x1b[3~",
    "insert": b"\x1b[2~",
    "up": b"\x1b[A",
    "down": b"\x1b[B",
    "right": b"\x1b[C",
    "left": b"\x1b[D",
    "home": b"\x1b[H",
    "end": b"\x1b[F",
    "pageup": b"\x1b[5~",
    "pagedown": b"\x1b[6~",
    "f1": b"\x1bOP",
    "f2": b"\x1bOQ",
    "f3": b"\x1bOR",
    "f4": b"\x1bOS",
    "f5": b"\x1b[15~",
    "f6": b"\x1b[17~",
    "f7": b"\x1b[18~",
    "f8": b"\x1b[19~",
    "f9": b"\x1b[20~",
    "f10": b"\x1b[21~",
    "f11": b"\x1b[23~",
    "f12": b"\x1b[24~",
    "lt": b"<",
    "c-space": b"\x00",
}
_ESCAPES: dict[str, bytes] = {
    "r": b"\r",
    "n": b"\n",
    "t": b"\t",
    "e": b"\x1b",
    "\\": b"\\",
    "<": b"<",
}
_PIECE = re.compile(
    r"\\x(?P<hex>[0-9A-Fa-f]{2})|\\(?P<escape>.?)|<(?P<name>[^<>\s]+)>|(?P<text>[^\\<]+|<)", re.DOTALL
)


def parse_keys(text: str) -> bytes:
    """The bytes that `text` types.

    Text is literal (UTF-8; what was no UTF-8 on the command line is passed as it was) except for
    `\\r \\n \\t \\e \\xNN \\\\ \\<` and key names in angle brackets: `<C-c>`, `<M-x>`, `<Enter>`, `<Esc>`,
    `<Tab>`, `<S-Tab>`, `<Up>`, `<F1>`. Names do not care for case.

    Raises:
        Rejected: InvalidArgument for an unknown escape or key name.
    """
    return b"".join(_piece(match) for match in _PIECE.finditer(text))


def _piece(match: re.Match[str]) -> bytes:
    match match.lastgroup:
        case "hex":
            return bytes((int(match["hex"], 16),))
        case "escape":
            if (known := _ESCAPES.get(match["escape"])) is None:
                raise _unknown(match[0], "is no known escape; write '\\\\' for a backslash")
            return known
        case "name":
            if (named := _key(match["name"])) is None:
                raise _unknown(match[0], "is no known key; write '\\<' for a '<'")
            return named
        case _:
            return os.fsencode(match[0])


def _key(name: str) -> bytes | None:
    lower = name.lower()
    if (named := _NAMED.get(lower)) is not None:
        return named
    if lower.startswith("c-") and len(name) == 3 and ("@" <= (letter := name[2].upper()) <= "_"):
        return bytes((ord(letter) & 0x1F,))
    if lower.startswith("m-"):
        rest = _key(name[2:]) or (os.fsencode(name[2:]) if len(name) == 3 else None)
        return None if rest is None else b"\x1b" + rest
    return None


def _unknown(piece: str, why: str) -> Rejected:
    return Rejected(InvalidArgument(what=f"'{piece}' in --keys", why=why))


class Typed(NamedTuple):
    """What a read from the keyboard comes to: bytes for the child, and whether the person wants to leave."""

    data: bytes
    detach: bool = False


_PASTE_END = b"\x1b[201~"
_LONGEST_PARAMETERS = 24
# Ctrl-Q, Ctrl-Z and the sequences that may be a paste's start or the same keys as kitty's protocol (CSI … u)
# and xterm's modifyOtherKeys (CSI 27;…~) write them.
_OURS = re.compile(rb"[\x11\x1a]|\x1b\[([0-9:;]{1,%d})([u~])" % _LONGEST_PARAMETERS)
_UNFINISHED = re.compile(rb"\x1b(?:\[[0-9:;]{0,%d})?\Z" % _LONGEST_PARAMETERS)
_CTRL = 4
_LOCKS = 64 | 128
"""Caps lock and num lock, which kitty's protocol counts as modifiers."""


class KeyFilter:
    """Finds Ctrl-Q (detach) and, if told so, drops Ctrl-Z, however spelt or split; never in a paste.

    A sequence that may still become one of ours is held back; `flush` gives it out when nothing more has come
    for a moment, because a lone Esc is a key too.
    """

    def __init__(self, *, drop_suspend: bool) -> None:
        self._drop_suspend = drop_suspend
        self._pasting = False
        self._tail = b""
        self._given = 0
        """How many bytes of the tail the child already has."""

    @property
    def is_holding(self) -> bool:
        """True while `flush` would give something."""
        return len(self._tail) > self._given

    def flush(self) -> bytes:
        """The bytes held back; what they begin is still recognised when the rest comes."""
        held = self._tail[self._given :]
        self._given = len(self._tail)
        return held

    def feed(self, data: bytes) -> Typed:
        """Take what was read. After a detach the rest of `data` is dropped."""
        data = self._tail + data
        given = self._given
        out: list[bytes] = []
        at = 0
        while True:
            if self._pasting:
                end = data.find(_PASTE_END, at)
                if end < 0:
                    out.append(data[max(at, given) :])
                    self._tail = data[_unfinished_paste_end(data, at) :]
                    self._given = len(self._tail)
                    return Typed(b"".join(out))
                end += len(_PASTE_END)
                out.append(data[max(at, given) : end])
                self._pasting = False
                at = end
                continue
            found = _OURS.search(data, at)
            if found is None:
                partial = _UNFINISHED.search(data, at)
                cut = len(data) if partial is None else partial.start()
                out.append(data[max(at, given) : cut])
                self._tail, self._given = data[cut:], max(0, given - cut)
                return Typed(b"".join(out))
            out.append(data[max(at, given) : found.start()])
            at = found.end()
            key = _control_key(found)
            if key == b"q":
                self._tail, self._given = b"", 0
                return Typed(b"".join(out), detach=True)
            if key == b"z" and self._drop_suspend:
                continue
            out.append(data[max(found.start(), given) : at])
            self._pasting = found[0] == b"\x1b[200~"


def _unfinished_paste_end(data: bytes, at: int) -> int:
    """Where a paste's end may have begun at the end of `data`; its length when it has not."""
    for length in range(min(len(_PASTE_END) - 1, len(data) - at), 0, -1):
        if data.endswith(_PASTE_END[:length]):
            return len(data) - length
    return len(data)


def _control_key(found: re.Match[bytes]) -> bytes:
    """`q` or `z` for Ctrl-Q and Ctrl-Z however they are written, else nothing."""
    if found[0] == b"\x11":
        return b"q"
    if found[0] == b"\x1a":
        return b"z"
    parameters = [part.split(b":")[0] for part in found[1].split(b";")]
    match found[2], parameters:
        case (b"u", [code, modifiers, *_]) | (b"~", [b"27", modifiers, code]):
            pressed = int(modifiers or b"1") - 1
            if pressed & ~_LOCKS == _CTRL and code in (b"113", b"122"):
                return b"q" if code == b"113" else b"z"
    return b""
