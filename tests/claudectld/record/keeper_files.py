"""Writes a run's files as the keeper does, one call per event, for tests of their reader."""

import json
from pathlib import Path

from claudectl_protocol.sessions import Exit, Size


class KeeperFiles:
    """The directory of one run. A new segment begins after `segment_bytes` and after a hole."""

    def __init__(self, directory: Path, segment_bytes: int = 10) -> None:
        directory.mkdir(parents=True)
        self.directory = directory
        self._segment_bytes = segment_bytes
        self._segment: Path | None = None
        self.length = 0

    def append(self, data: bytes) -> None:
        while data:
            room = self._segment_bytes if self._segment is None else self._room(self._segment)
            if self._segment is None or room == 0:
                self._segment = self.directory / f"{self.length:020d}"
                room = self._segment_bytes
            with self._segment.open("ab") as file:
                file.write(data[:room])
            self.length += len(data[:room])
            data = data[room:]

    def lose(self, size_bytes: int) -> None:
        self.length += size_bytes
        self._segment = None

    def resize(self, size: Size) -> None:
        self.log(f"size {self.length} {size.cols} {size.rows} {size.xpixel} {size.ypixel}\n")

    def log(self, text: str) -> None:
        with (self.directory / "sizes").open("a") as file:
            file.write(text)

    def end(self, exit_status: Exit) -> None:
        content = {
            "code": exit_status.code,
            "signal": exit_status.signal,
            "at": exit_status.at,
            "size_bytes": self.length,
            "reason": exit_status.reason,
        }
        (self.directory / "exit").write_text(json.dumps(content))

    def drop_before(self, offset: int) -> None:
        for path in sorted(self.directory.glob("0*")):
            if int(path.name) + path.stat().st_size <= offset:
                path.unlink()

    def _room(self, segment: Path) -> int:
        return self._segment_bytes - segment.stat().st_size
