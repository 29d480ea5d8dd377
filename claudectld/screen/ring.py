"""The last output of a run, kept so that playing it again paints the screen."""

from collections.abc import Iterable

import msgspec

from claudectl_protocol.sessions import Size
from claudectld.screen.modes import FRESH, RESET, Modes, transition
from claudectld.screen.tracker import Stretch, Turn

RING_BYTES = 512 * 1024
_ENTRIES = 32
_ENTRY_OVERHEAD = 128


class Entry(msgspec.Struct, omit_defaults=True):
    """Consecutive output. A repaint may begin with it when `modes`, those at its start, are known."""

    size: Size
    data: bytes
    modes: Modes | None = None
    after: Modes | None = None
    """Set when output before this entry was cut out: the modes that the entry before ends with."""
    exact: bool = False
    """True when the screen at the start is known to be empty, so that nothing before the entry matters."""


class Ring:
    """At most `limit_bytes` of output in entries; what can no longer be seen is cut out."""

    def __init__(
        self,
        size: Size,
        entries: Iterable[Entry],
        alternate_at: int | None = None,
        *,
        limit_bytes: int = RING_BYTES,
    ) -> None:
        """Args: entries, alternate_at: those of another ring, or `fresh(size)`."""
        self._limit_bytes = limit_bytes
        self._entry_bytes = limit_bytes // _ENTRIES
        self.size = size
        self.entries = list(entries)
        self.alternate_at = alternate_at
        """The entry that begins on the empty alternate screen, while the main screen is still in the ring."""
        self._weight = sum(_weight(entry) for entry in self.entries)

    @property
    def is_exact(self) -> bool:
        """True when the ring begins on a known screen and all of it was printed at the present size."""
        cells = (self.size.cols, self.size.rows)
        return (
            bool(self.entries)
            and self.entries[0].exact
            and all((entry.size.cols, entry.size.rows) == cells for entry in self.entries)
        )

    def append(self, stretch: Stretch) -> None:
        """Keep a stretch, and drop what it makes invisible or pushes over the limit."""
        entry = Entry(self.size, stretch.data, stretch.modes)
        match stretch.turn:
            case Turn.RESET:
                self._cut(0)
                entry.exact = True
            case Turn.CLEAR:
                entry.exact = True
                if self.alternate_at is None:
                    self._cut(0)
                else:
                    replaced = self.entries[self.alternate_at]
                    entry.after = replaced.after or replaced.modes
                    self._cut(self.alternate_at)
            case Turn.ALTERNATE:
                self.alternate_at = len(self.entries)
            case Turn.MAIN:
                self.alternate_at = None
            case Turn.ON:
                if self._join(entry):
                    return
        self.entries.append(entry)
        self._weight += _weight(entry)
        self._evict()

    def resize(self, size: Size) -> None:
        """What follows is printed at another size."""
        self.size = size
        if self.entries and not self.entries[-1].data:
            self.entries[-1].size = size

    def paint(self, modes: Modes) -> bytes:
        """What brings any terminal of this size to the ring's end, where `modes` hold; the limit and a little."""
        parts = [RESET, transition(FRESH, self.entries[0].modes or FRESH if self.entries else modes)]
        for index, entry in enumerate(self.entries):
            if index and entry.after is not None and entry.modes is not None:
                parts.append(transition(entry.after, entry.modes))
            parts.append(entry.data)
        return b"".join(parts)

    def _join(self, entry: Entry) -> bool:
        """Put the entry's bytes into the last one if that is small or if nothing may begin with the entry."""
        if not self.entries:
            # The rest of a string whose start was dropped would be printed as text.
            return entry.modes is None
        last = self.entries[-1]
        if last.size != entry.size:
            return False
        if entry.modes is not None and len(last.data) + len(entry.data) > self._entry_bytes:
            return False
        last.data += entry.data
        self._weight += len(entry.data)
        self._evict()
        return True

    def _cut(self, start: int) -> None:
        self._weight -= sum(_weight(entry) for entry in self.entries[start:])
        del self.entries[start:]
        if start == 0:
            self.alternate_at = None

    def _evict(self) -> None:
        """Drop from the start what is over the limit, and after that what a repaint may not begin with."""
        weight = self._weight
        dropped = 0
        while dropped < len(self.entries) and (
            weight > self._limit_bytes or (dropped and self.entries[dropped].modes is None)
        ):
            weight -= _weight(self.entries[dropped])
            dropped += 1
        del self.entries[:dropped]
        self._weight = weight
        if self.alternate_at is not None and dropped:
            left = self.alternate_at - dropped
            self.alternate_at = left if left > 0 else None


def fresh(size: Size) -> tuple[Entry, ...]:
    """The entries of a run that has printed nothing: whatever comes first is on an empty screen."""
    return (Entry(size, b"", FRESH, exact=True),)


def _weight(entry: Entry) -> int:
    """The bytes of a repaint or a checkpoint that an entry is to blame for, and something for being an entry."""
    weight = _ENTRY_OVERHEAD + len(entry.data)
    if entry.modes is not None:
        weight += len(transition(FRESH, entry.modes))
        if entry.after is not None:
            weight += len(transition(entry.after, entry.modes))
    return weight
