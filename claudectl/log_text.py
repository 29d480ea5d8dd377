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
_FORWARD = re.compile(r"\x1b\[([0-9]{0,3})C")


class LogText:
    """Takes a record's bytes however they are cut and gives whole lines without their ends."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._rest = ""

    def feed(self, data: bytes) -> list[str]:
        """The lines that `data` completes."""
        self._rest += self._decoder.decode(data)
        cut = self._rest.rfind("\n") + 1
        if len(self._rest) - cut > _LONGEST_LINE:
            cut = len(self._rest)
            escape = self._rest.rfind("\x1b", cut - _SEQUENCE_ROOM)
            if escape > 0:
                cut = escape
        ready, self._rest = self._rest[:cut], self._rest[cut:]
        return _lines(ready)

    def end(self) -> list[str]:
        """What is left when nothing more comes."""
        ready, self._rest = self._rest + self._decoder.decode(b"", final=True), ""
        return _lines(ready)


def _lines(text: str) -> list[str]:
    if not text:
        return []
    text = _FORWARD.sub(lambda match: " " * int(match[1] or 1), text)
    text = _TO_ANOTHER_ROW.sub("\v", text)
    lines: list[str] = []
    for printed in text.removesuffix("\n").split("\n"):
        rows = [_row(row) for row in printed.split("\v")]
        lines += [row for row in rows if row] or [""]
    return lines


def _row(text: str) -> str:
    # After a carriage return a terminal prints over what was there.
    shown = text.rstrip("\r").rpartition("\r")[2]
    return plain(shown.expandtabs()).rstrip()
