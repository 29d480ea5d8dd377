"""A record in memory: what the keeper would have written, without files."""

from dataclasses import dataclass, field

from claudectl_protocol.sessions import Exit, RecordInfo, RunId, SessionId, Size
from claudectld.ports import SizeChange


@dataclass
class MemoryRecord:
    """One run's record: bytes by offset, sizes by offset, an exit once the run has ended."""

    start: int = 0
    end: int = 0
    pieces: list[tuple[int, bytes]] = field(default_factory=list)
    sizes: list[tuple[int, Size]] = field(default_factory=list)
    exit: Exit | None = None

    def append(self, data: bytes) -> None:
        """The child printed `data`."""
        self.pieces.append((self.end, data))
        self.end += len(data)

    def lose(self, size_bytes: int) -> None:
        """The child printed `size_bytes` that could not be kept."""
        self.end += size_bytes

    def resize(self, size: Size) -> None:
        """The terminal's size changed here."""
        self.sizes.append((self.end, size))

    def drop_before(self, offset: int) -> None:
        """The pieces that end at or before `offset` are deleted."""
        self.pieces = [(at, data) for at, data in self.pieces if at + len(data) > offset]
        self.start = self.pieces[0][0] if self.pieces else self.end


class MemoryRecords:
    """The Records port over `record(session, run)`, which tests write to."""

    def __init__(self) -> None:
        self._records: dict[tuple[SessionId, RunId], MemoryRecord] = {}

    def record(self, session: SessionId, run: RunId) -> MemoryRecord:
        """The record of a run, made when it is first asked for."""
        return self._records.setdefault((session, run), MemoryRecord())

    def read(self, session: SessionId, run: RunId, offset: int, size_bytes: int) -> tuple[int, bytes]:
        record = self._records.get((session, run), MemoryRecord())
        end = 0
        for at, data in record.pieces:
            end = at + len(data)
            position = max(offset, at)
            if position < end:
                return position, data[position - at : position - at + size_bytes]
        return end, b""

    def extent(self, session: SessionId, run: RunId) -> tuple[int, int]:
        record = self._records.get((session, run), MemoryRecord())
        if not record.pieces:
            return 0, 0
        last, data = record.pieces[-1]
        return record.start, last + len(data)

    def sizes(self, session: SessionId, run: RunId) -> tuple[SizeChange, ...]:
        sizes = self._records.get((session, run), MemoryRecord()).sizes
        return tuple(SizeChange(offset=offset, size=size) for offset, size in sizes)

    def exit(self, session: SessionId, run: RunId) -> Exit | None:
        return self._records.get((session, run), MemoryRecord()).exit

    def info(self, session: SessionId, run: RunId) -> RecordInfo:
        record = self._records.get((session, run), MemoryRecord())
        start, end = self.extent(session, run)
        ends = [at + len(data) for at, data in record.pieces]
        gaps = [(gap, at - gap) for gap, (at, _) in zip(ends, record.pieces[1:], strict=False) if at > gap]
        return RecordInfo(run=run, path="", start=start, end=end, gaps=tuple(gaps))
