"""A row of cells as bytes that paint it on a terminal, and as text."""

from enum import IntEnum
from typing import NamedTuple

from claudectld.screen.lines import Coat, Line, Sort
from claudectld.screen.looks import PLAIN, Attributes, sgr

_BARE = Coat()
_BLANK = Sort(text=b"", columns=1, coat=_BARE, grapheme=False, head=False)


class Detail(IntEnum):
    """How much of a screen is painted, where all of it would be too many bytes."""

    ALL = 0
    NO_LINKS = 1
    NO_LOOKS = 2


class Strip(NamedTuple):
    """A painted row. The pen is plain before and after it."""

    data: bytes = b""
    begins: int = 0
    """The columns of the character that it begins with; 0 when it begins with none, or with a background."""
    flows: int = 0
    """How many columns the character printed next must have at least to go to the start of the next row; 0 when
    none goes there."""

    def follows(self, before: "Strip") -> bool:
        """True when this row, printed right after the one before, is where it belongs, as one wrapped line."""
        return 0 < before.flows <= self.begins


def paint(line: Line, start: int = 0, stop: int | None = None, *, detail: Detail = Detail.ALL) -> Strip:
    """The cells of a row from column `start` up to `stop`, for a cursor that stands at the first of them.

    Cells that nobody wrote are passed over. Half of a wide character is a blank.
    """
    raw = line.raw[start:stop]
    end = (len(raw.tobytes().rstrip(b"\0")) + 7) // 8
    stroke = _Stroke(line, detail)
    covered = False
    sort = _BLANK
    for column in range(end):
        sort = line.sort(raw[column])
        if not sort.columns:
            if covered:
                covered = False
                continue
            sort = _BLANK
        covered = sort.columns == 2
        if covered and column + 1 == len(raw):
            sort = _BLANK
        stroke.put(start + column, sort)
    flows = 0 if end < len(raw) or sort.is_vacant else 1
    return Strip(stroke.finish(head=sort.head), _begins(line, start), 2 if sort.head else flows)


def text(line: Line, *, styled: bool = False, trimmed: bool = True) -> str:
    """The row as text, with blanks where nobody wrote.

    Args: styled: with SGR sequences, the last one a reset; trimmed: without the blanks at its end.
    """
    parts: list[bytes] = []
    coat, covered = _BARE, False
    for column in range(_written(line, styled=styled) if trimmed else len(line.raw)):
        sort = line.sort(line.raw[column])
        if not sort.columns and covered:
            covered = False
            continue
        covered = sort.columns == 2
        if styled and sort.coat[:2] != coat[:2]:
            coat = sort.coat
            parts.append(sgr(_look(line, coat, column)))
        parts.append(line.grapheme(column) if sort.grapheme else sort.text or b" ")
    if coat[:2] != _BARE[:2]:
        parts.append(sgr(PLAIN))
    return b"".join(parts).decode(errors="replace")


def _written(line: Line, *, styled: bool) -> int:
    """The number of columns before the blanks at the row's end."""
    end = len(line.raw)
    while end:
        sort = line.sort(line.raw[end - 1])
        if sort.grapheme or sort.text not in (b"", b" ") or (styled and sort.coat[:2] != _BARE[:2]):
            break
        end -= 1
    return end


def _look(line: Line, coat: Coat, column: int) -> Attributes:
    if coat.erased is not None:
        return Attributes(background=coat.erased)
    return line.attributes(column) if coat.style else PLAIN


def _begins(line: Line, column: int) -> int:
    sort = line.sort(line.raw[column])
    # A terminal that goes to the next row at its bottom fills the new one with the background of the pen.
    colored = sort.coat.style and line.attributes(column).background is not None
    return 0 if sort.is_vacant or colored else sort.columns


class _Stroke:
    """Cells in, bytes out; equal neighbours share one sequence."""

    __slots__ = ("_coat", "_detail", "_erased", "_gap", "_line", "_link", "_parts")

    def __init__(self, line: Line, detail: Detail) -> None:
        self._line = line
        self._detail = detail
        self._parts: list[bytes] = []
        self._coat = _BARE
        self._link = b""
        self._gap = 0
        self._erased = 0

    def put(self, column: int, sort: Sort) -> None:
        """The next cell."""
        coat = sort.coat if self._detail is not Detail.NO_LOOKS else _BARE
        if self._erased and coat != self._coat:
            self._erase()
        if coat == _BARE and not sort.text and not sort.grapheme:
            self._gap += 1
            return
        if coat != self._coat or coat.linked:
            self._change(coat, column)
        if self._gap:
            self._parts.append(b"\x1b[%dC" % self._gap)
            self._gap = 0
        if coat.erased is not None:
            self._erased += 1
        elif sort.grapheme:
            self._parts.append(self._line.grapheme(column))
        else:
            self._parts.append(sort.text or b" ")

    def finish(self, *, head: bool) -> bytes:
        """Everything, with the pen plain again. With `head` the cursor stands on the last cell."""
        if self._erased:
            self._erase()
        if head and self._gap > 1:
            self._parts.append(b"\x1b[%dC" % (self._gap - 1))
        if self._coat != _BARE:
            self._change(_BARE, 0)
        return b"".join(self._parts)

    def _erase(self) -> None:
        # Erased and not printed, since a terminal treats the two differently when text is selected.
        self._parts.append(b"\x1b[%dX\x1b[%dC" % (self._erased, self._erased))
        self._erased = 0

    def _change(self, coat: Coat, column: int) -> None:
        before, self._coat = self._coat, coat
        if coat.style != before.style or coat.erased != before.erased:
            self._parts.append(sgr(_look(self._line, coat, column)))
        if coat.protected != before.protected:
            self._parts.append(b'\x1b[1"q' if coat.protected else b'\x1b[0"q')
        if self._detail is Detail.ALL and (coat.linked or self._link):
            link = self._line.link(column) if coat.linked else b""
            if link != self._link:
                self._parts.append(b"\x1b]8;;%s\x1b\\" % link)
                self._link = link
