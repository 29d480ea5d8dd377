"""Reads STATE/records/SESSION/RUN/ while the keeper writes and deletes there: segments, size log, exit file.

Nothing is cached between calls, so a file that grew or went away is seen as it is; nothing is written here.
"""

import errno
import os
import re
import stat
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import msgspec

from claudectl_protocol.sessions import Exit, RecordInfo, RunId, SessionId, Size
from claudectld.ports import SizeChange

"""The size of a run whose size log is missing."""

_SEGMENT_NAME = re.compile(r"[0-9]{20}", re.ASCII)
_EXIT_LIMIT_BYTES = 64 * 1024
# Non-blocking, so that a FIFO put in a segment's place cannot hang the daemon.
_OPEN_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# A symlink is ELOOP, or ENOTDIR where a directory was wanted; a socket ENXIO (Linux) or EOPNOTSUPP (macOS).
_NOT_THERE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO, errno.EOPNOTSUPP})


class _Segment(NamedTuple):
    start: int
    name: str


class _ExitFile(msgspec.Struct, frozen=True):
    code: int | None = None
    signal: int | None = None
    at: float | None = None
    size_bytes: int = 0
    reason: str = "unknown"


class RecordFiles:
    """The Records port over a directory of record files.

    Symlinks below the directory are never followed and names that the keeper does not write are ignored.
    A run without files, or one that is deleted while it is read, is an empty record. Other faults of the
    file system (EIO, EACCES) come out as OSError.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def read(self, session: SessionId, run: RunId, offset: int, size_bytes: int) -> tuple[int, bytes]:
        """At most `size_bytes` from the first recorded byte at or after `offset`; never across a gap.

        Returns (offset of the first byte, bytes), fewer than asked for at the end of a segment. No bytes
        means the end of the record, and the offset is then its length, also when a larger one was asked for.
        """
        if size_bytes < 1:
            raise ValueError(f"size_bytes must be positive, not {size_bytes}")
        with self._run(session, run) as directory:
            while directory is not None and (segments := _segments(directory)):
                found = _read(directory, segments, max(offset, 0), size_bytes)
                if found is not None:
                    return found
        return 0, b""

    def extent(self, session: SessionId, run: RunId) -> tuple[int, int]:
        """(first offset on disk, offset after the last byte on disk); (0, 0) when there is none."""
        with self._run(session, run) as directory:
            spans = [] if directory is None else _spans(directory)
        return (spans[0][0], spans[-1][1]) if spans else (0, 0)

    def sizes(self, session: SessionId, run: RunId) -> tuple[SizeChange, ...]:
        """Every size the terminal has had, in order; the first is the one it started with."""
        changes = [
            SizeChange(
                offset=fields[0],
                size=Size(cols=fields[1], rows=fields[2], xpixel=fields[3], ypixel=fields[4]),
            )
            for fields in self._size_log(session, run, "size", 5)
        ]
        return tuple(sorted(changes, key=lambda change: change.offset))

    def gaps(self, session: SessionId, run: RunId) -> tuple[tuple[int, int], ...]:
        """Known holes as (offset, size_bytes): bytes that the child printed and that could not be kept.

        A hole at the end is known once the exit file has said how much was printed.
        """
        with self._run(session, run) as directory:
            if directory is None:
                return ()
            spans = _spans(directory)
            exit_file = _exit_file(directory)
        if exit_file is not None:
            spans.append((exit_file.size_bytes, exit_file.size_bytes))
        return tuple((end, start - end) for (_, end), (start, _) in pairwise(spans) if start > end)

    def possible_gaps(self, session: SessionId, run: RunId) -> tuple[tuple[int, int], ...]:
        """Places where at most size_bytes may be missing because a keeper died: (offset, size_bytes)."""
        return tuple((fields[0], fields[1]) for fields in self._size_log(session, run, "possible_gap", 2))

    def exit(self, session: SessionId, run: RunId) -> Exit | None:
        """The keeper's exit file, or None if it never wrote one that can be read."""
        with self._run(session, run) as directory:
            found = None if directory is None else _exit_file(directory)
        if found is None:
            return None
        return Exit(code=found.code, signal=found.signal, at=found.at, reason=found.reason)

    def info(self, session: SessionId, run: RunId) -> RecordInfo:
        """Where a run's record lies, what of it is on disk, and what is missing."""
        start, end = self.extent(session, run)
        return RecordInfo(
            run=run,
            path=str(self._directory / session / run),
            start=start,
            end=end,
            gaps=self.gaps(session, run),
            possible_gaps=self.possible_gaps(session, run),
        )

    @contextmanager
    def _run(self, session: SessionId, run: RunId) -> Iterator[int | None]:
        """A descriptor of the run's directory, or None when there is no such record."""
        if not (_is_plain(session) and _is_plain(run)):
            yield None
            return
        outer = _open(None, str(self._directory / session), _OPEN_DIRECTORY)
        if outer is None:
            yield None
            return
        try:
            directory = _open(outer, run, _OPEN_DIRECTORY)
        finally:
            os.close(outer)
        try:
            yield directory
        finally:
            if directory is not None:
                os.close(directory)

    def _size_log(self, session: SessionId, run: RunId, word: str, fields: int) -> Iterator[tuple[int, ...]]:
        """The numbers of the size log's lines that begin with `word`; torn and foreign lines are skipped."""
        with self._run(session, run) as directory:
            data = None if directory is None else _content(directory, "sizes")
        # The piece after the last newline is a line that the keeper has not finished.
        for line in (data or b"").split(b"\n")[:-1]:
            first, *rest = line.split(b" ")
            if first == word.encode() and len(rest) == fields and all(field.isdigit() for field in rest):
                yield tuple(int(field) for field in rest)


def _is_plain(name: str) -> bool:
    """True for a name that cannot leave its directory."""
    return bool(name) and "/" not in name and "\0" not in name and name not in (".", "..")


def _segments(directory: int) -> list[_Segment]:
    """The run's segments by offset."""
    with os.scandir(directory) as entries:
        return sorted(
            _Segment(int(entry.name), entry.name)
            for entry in entries
            if _SEGMENT_NAME.fullmatch(entry.name) and entry.is_file(follow_symlinks=False)
        )


def _read(directory: int, segments: list[_Segment], offset: int, size_bytes: int) -> tuple[int, bytes] | None:
    """The bytes at or after `offset` in these segments, or None if all of them were deleted meanwhile."""
    end: int | None = None
    first = max(bisect_right(segments, offset, key=lambda segment: segment.start) - 1, 0)
    for index in range(first, len(segments)):
        segment = segments[index]
        file = _open_file(directory, segment.name)
        if file is None:
            continue
        position = max(offset, segment.start)
        room = size_bytes
        if index + 1 < len(segments):
            room = min(room, segments[index + 1].start - position)
        try:
            data = os.pread(file, room, position - segment.start) if room > 0 else b""
            if data:
                return position, data
            end = segment.start + os.fstat(file).st_size
        finally:
            os.close(file)
    return None if end is None else (end, b"")


def _spans(directory: int) -> list[tuple[int, int]]:
    """(first offset, offset after the last byte) of every segment on disk."""
    while segments := _segments(directory):
        spans = []
        for index, segment in enumerate(segments):
            try:
                size_bytes = os.stat(segment.name, dir_fd=directory, follow_symlinks=False).st_size
            except FileNotFoundError:
                continue
            end = segment.start + size_bytes
            if index + 1 < len(segments):
                end = min(end, segments[index + 1].start)
            spans.append((segment.start, end))
        if spans:
            return spans
    return []


def _exit_file(directory: int) -> _ExitFile | None:
    """The exit file, or None when it is missing or (after a power cut) not whole."""
    data = _content(directory, "exit", _EXIT_LIMIT_BYTES)
    if data is None:
        return None
    try:
        return msgspec.json.decode(data, type=_ExitFile)
    except msgspec.DecodeError:
        return None


def _content(directory: int, name: str, limit_bytes: int | None = None) -> bytes | None:
    """A small file as it is now, or None when there is no such regular file."""
    file = _open_file(directory, name)
    if file is None:
        return None
    with os.fdopen(file, "rb", buffering=0) as stream:
        return stream.readall() if limit_bytes is None else stream.read(limit_bytes)


def _open_file(directory: int, name: str) -> int | None:
    """A descriptor of a regular file, or None when there is none of that name."""
    file = _open(directory, name, _OPEN_FILE)
    if file is not None and not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        return None
    return file


def _open(directory: int | None, name: str, flags: int) -> int | None:
    """A descriptor, or None when nothing of the wanted kind has that name."""
    try:
        return os.open(name, flags, dir_fd=directory)
    except OSError as error:
        if error.errno in _NOT_THERE:
            return None
        raise
