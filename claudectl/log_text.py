"""A record as lines of text: escape sequences gone, one line for each line that was printed."""

import codecs
import re

from claudectl_protocol.text import plain

_LONGEST_LINE = 16 * 1024
"""Characters that wait for a line end; a full-screen program may never print one."""
_SEQUENCE_ROOM = 64
# A program that paints by moving the cursor prints no line ends: going to another row is one. `\v` stands for
# it, because an empty row in between is no empty line.
_TO_ANOTHER_ROW = re.compile(r"\x1b\[[0-9;]*[ABEFHfd]")
_TO_COLUMN = re.compile(r"\x1b\[([0-9]{0,3})G")
_FORWARD = re.compile(r"\x1b\[([0-9]{0,3})C")


class LogText:
    """Takes a record's bytes however they are cut and gives whole lines without their ends."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._rest = ""
        self._shown = False
        """The line that goes on has had a row already: if nothing else comes of it, it is no empty one."""

    def feed(self, data: bytes) -> list[str]:
        """The lines that `data` completes."""
        self._rest += self._decoder.decode(data)
        cut = self._rest.rfind("\n") + 1
        # A full-screen program may never end a line, and is followed all the same.
        for match in _TO_ANOTHER_ROW.finditer(self._rest, cut):
            cut = match.end()
        if len(self._rest) - cut > _LONGEST_LINE:
            cut = len(self._rest)
            escape = self._rest.rfind("\x1b", cut - _SEQUENCE_ROOM)
            if escape > 0:
                cut = escape
        ready, self._rest = self._rest[:cut], self._rest[cut:]
        return self._lines(ready)

    def end(self) -> list[str]:
        """What is left when nothing more comes."""
        ready, self._rest = self._rest + self._decoder.decode(b"", final=True), ""
        return self._lines(ready)

    def _lines(self, text: str) -> list[str]:
        text = _FORWARD.sub(lambda match: " " * int(match[1] or 1), text)
        text = _TO_ANOTHER_ROW.sub("\v", text)
        lines: list[str] = []
        *ended, going_on = text.split("\n")
        for printed in ended:
            lines += _rows(printed) or ([] if self._shown else [""])
            self._shown = False
        rows = _rows(going_on)
        self._shown = self._shown or bool(rows)
        return lines + rows


def _rows(printed: str) -> list[str]:
    return [row for row in map(_row, printed.split("\v")) if row]


def _row(text: str) -> str:
    # After a carriage return a terminal prints over what was there.
    shown, *moves = _TO_COLUMN.split(text.rstrip("\r").rpartition("\r")[2])
    row = plain(shown.expandtabs())
    for column, printed in zip(moves[::2], moves[1::2], strict=True):
        before = int(column or 1) - 1
        row = row[:before].ljust(before) + plain(printed.expandtabs())
    return row.rstrip()
