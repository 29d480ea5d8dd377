"""The append side of one run's record: segments, the size log, the process file and the exit file.

Reading is the daemon's business and needs no word with the keeper: the files say everything.
"""

import errno
import json
import os
from collections import deque
from typing import NamedTuple

from .processes import Identity
from .requests import Window

NAME_DIGITS = 20
"""Offsets in segment names are padded so that names sort as numbers."""


class Exit(NamedTuple):
    """How a run ended; neither code nor signal when nobody could learn it."""

    code: int | None
    signal: int | None
    at: float
    reason: str
    size_bytes: int


UNKNOWN = "unknown"


class RecordState(NamedTuple):
    """A record in the middle of being written. `segments` are (offset, size), `segment` the open one's descriptor."""

    segment_bytes: int
    limit_bytes: int
    size_bytes: int
    problem: str
    segment: int | None
    segments: tuple[tuple[int, int], ...]
    unsaid: str


def directory(state: str, session: str, run: str) -> str:
    """Where a run's record lives."""
    return os.path.join(state, "records", session, run)


class Record:
    """One run's record, being written.

    No appending raises because a disk is full or gone: the offset counts on, and what could not be written shows as
    a gap between two segments.
    """

    def __init__(self, path: str, segment_bytes: int, limit_bytes: int) -> None:
        self.path = path
        self.segment_bytes = segment_bytes
        self.limit_bytes = limit_bytes
        self.size_bytes = 0
        self.problem = ""
        """Name of the error that keeps bytes from the disk now, or empty."""
        self._segment: int | None = None
        self._segments: deque[tuple[int, int]] = deque()
        """(offset, size) of every segment on disk, oldest first."""
        self._kept_bytes = 0
        self._unsaid = ""

    @classmethod
    def create(cls, path: str, segment_bytes: int, limit_bytes: int) -> "Record":
        """A new record. Raises FileExistsError when the run has had one, OSError when it cannot be made."""
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        os.mkdir(path, mode=0o700)
        return cls(path, segment_bytes, limit_bytes)

    @classmethod
    def resume(cls, path: str, segment_bytes: int, limit_bytes: int) -> "Record":
        """The record that another keeper left, to go on at its end. Raises OSError when there is none."""
        record = cls(path, segment_bytes, limit_bytes)
        offsets = sorted(int(name) for name in os.listdir(path) if _is_segment(name))
        for offset in offsets:
            size = os.stat(record._name(offset)).st_size
            record.size_bytes = offset + size
            if size > 0:
                record._segments.append((offset, size))
                record._kept_bytes += size
        return record

    @classmethod
    def carry_on(cls, path: str, state: RecordState) -> "Record":
        """The record that this process was writing before its exec; nothing is missing."""
        record = cls(path, state.segment_bytes, state.limit_bytes)
        record.size_bytes = state.size_bytes
        record.problem = state.problem
        record._segment = state.segment
        record._segments.extend(state.segments)
        record._kept_bytes = sum(size for _, size in state.segments)
        record._unsaid = state.unsaid
        return record

    def state(self) -> RecordState:
        """Everything needed to carry on."""
        return RecordState(
            segment_bytes=self.segment_bytes,
            limit_bytes=self.limit_bytes,
            size_bytes=self.size_bytes,
            problem=self.problem,
            segment=self._segment,
            segments=tuple(self._segments),
            unsaid=self._unsaid,
        )

    def append(self, data: bytes) -> None:
        """Count `data` and write what the disk takes."""
        rest = memoryview(data)
        while rest:
            try:
                written = self._write(rest)
            except OSError as error:
                self.problem = os.strerror(error.errno or 0)
                self._close_segment()
                self.size_bytes += len(rest)
                return
            self.problem = ""
            self.size_bytes += written
            rest = rest[written:]
        self._trim()

    def say_size(self, window: Window) -> None:
        """Log the terminal's size from here on."""
        self._say(f"size {self.size_bytes} {window.cols} {window.rows} {window.xpixel} {window.ypixel}\n")

    def say_possible_gap(self, size_bytes: int) -> None:
        """Log that up to `size_bytes` may be missing here."""
        self._say(f"possible_gap {self.size_bytes} {size_bytes}\n")

    def write_process(self, process: Identity, started_at: float) -> None:
        """Write who the child is. Raises OSError."""
        _replace(
            os.path.join(self.path, "process"),
            {**process._asdict(), "started_at": started_at},
            durable=False,
        )

    def write_exit(self, ended: Exit) -> None:
        """Write how the run ended, durably. Raises OSError."""
        _replace(os.path.join(self.path, "exit"), ended._asdict(), durable=True)

    def close(self) -> None:
        """Close the files; nothing is appended afterwards."""
        self._close_segment()

    def _write(self, data: memoryview) -> int:
        if self._segment is not None and self._segments[-1][1] >= self.segment_bytes:
            self._close_segment()
        if self._segment is None:
            self._open_segment()
        assert self._segment is not None
        offset, size = self._segments[-1]
        try:
            written = os.write(self._segment, data[: self.segment_bytes - size])
        except OSError:
            if size == 0:
                self._segments.pop()
                os.unlink(self._name(offset))
            raise
        self._segments[-1] = offset, size + written
        self._kept_bytes += written
        return written

    def _open_segment(self) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
        self._segment = os.open(self._name(self.size_bytes), flags, 0o600)
        self._segments.append((self.size_bytes, 0))

    def _close_segment(self) -> None:
        if self._segment is not None:
            os.close(self._segment)
            self._segment = None

    def _trim(self) -> None:
        while self._kept_bytes > self.limit_bytes and len(self._segments) > 1:
            offset, size = self._segments.popleft()
            self._kept_bytes -= size
            try:
                os.unlink(self._name(offset))
            except OSError as error:
                self.problem = os.strerror(error.errno or 0)  # it stays, and is not asked about again

    def _say(self, line: str) -> None:
        # A line that a full disk refused goes with the next one, so that sizes never go missing for good.
        self._unsaid += line
        try:
            _append_whole(os.path.join(self.path, "sizes"), self._unsaid.encode("ascii"))
        except OSError as error:
            self.problem = os.strerror(error.errno or 0)
            return
        self._unsaid = ""

    def _name(self, offset: int) -> str:
        return os.path.join(self.path, f"{offset:0{NAME_DIGITS}d}")


def read_exit(path: str) -> Exit:
    """How the run in `path` ended, as far as files say.

    Without a readable exit file the status is unknown, and the record's length is what is on disk.
    """
    try:
        with open(os.path.join(path, "exit"), encoding="utf-8") as file:
            found = Exit(**json.load(file))
    except (OSError, ValueError, TypeError):
        return Exit(None, None, 0.0, UNKNOWN, Record.resume(path, 1, 1).size_bytes)
    return found


def has_process(path: str) -> bool:
    """True when a keeper was about to let the run's program run, or has."""
    return os.path.exists(os.path.join(path, "process"))


def has_exit(path: str) -> bool:
    """True when a keeper saw the run end."""
    return os.path.exists(os.path.join(path, "exit"))


def delete(path: str) -> None:
    """Delete a run's record, and its session's directory with the last one. Raises OSError."""
    try:
        names = os.listdir(path)
    except FileNotFoundError:
        return
    for name in names:
        os.unlink(os.path.join(path, name))
    os.rmdir(path)
    try:
        os.rmdir(os.path.dirname(path))
    except OSError:
        pass  # other runs of the session are still there


def _is_segment(name: str) -> bool:
    return len(name) == NAME_DIGITS and name.isascii() and name.isdigit()


def _append_whole(path: str, data: bytes) -> None:
    """Append all of `data` or nothing."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
    try:
        before = os.fstat(fd).st_size
        if os.write(fd, data) < len(data):
            os.ftruncate(fd, before)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    finally:
        os.close(fd)


def _replace(path: str, value: dict[str, object], *, durable: bool) -> None:
    temporary = path + ".new"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(json.dumps(value).encode("ascii") + b"\n")
            file.flush()
            if durable:
                os.fsync(file.fileno())
        os.rename(temporary, path)
    except OSError:
        os.unlink(temporary)
        raise
    if durable:
        sync_directory(os.path.dirname(path))


def sync_directory(path: str) -> None:
    """Make a rename in `path` survive a power cut. Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
