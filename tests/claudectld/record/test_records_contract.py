"""What every implementation of the Records port does, real files and the fake alike."""

from pathlib import Path
from typing import Protocol

import pytest

from claudectl_protocol.sessions import Exit, RunId, SessionId, Size
from claudectld.ports import Records, SizeChange
from claudectld.record.reader import RecordFiles
from tests.claudectld.record.keeper_files import KeeperFiles
from tests.fakes.records import MemoryRecords

SESSION = SessionId("5f0f3a52-0000-4000-8000-000000000001")
RUN = RunId("5f0f3a52-0000-4000-8000-00000000000a")
OTHER = RunId("5f0f3a52-0000-4000-8000-00000000000b")


class Writer(Protocol):
    """The keeper's side of one run's record."""

    def append(self, data: bytes) -> None: ...
    def lose(self, size_bytes: int) -> None: ...
    def resize(self, size: Size) -> None: ...
    def drop_before(self, offset: int) -> None: ...


@pytest.fixture(params=["files", "memory"])
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Records, Writer]:
    if request.param == "memory":
        memory = MemoryRecords()
        return memory, memory.record(SESSION, RUN)
    return RecordFiles(tmp_path), KeeperFiles(tmp_path / SESSION / RUN)


def read_all(records: Records, offset: int, size_bytes: int = 7) -> list[tuple[int, bytes]]:
    pieces: list[tuple[int, bytes]] = []
    while True:
        at, data = records.read(SESSION, RUN, offset, size_bytes)
        if not data:
            return pieces
        if pieces and pieces[-1][0] + len(pieces[-1][1]) == at:
            pieces[-1] = (pieces[-1][0], pieces[-1][1] + data)
        else:
            pieces.append((at, data))
        offset = at + len(data)


def test_a_record_reads_back_what_was_written_across_segments(kept: tuple[Records, Writer]) -> None:
    records, writer = kept
    writer.append(bytes(range(35)))

    assert read_all(records, 0) == [(0, bytes(range(35)))]
    assert read_all(records, 13) == [(13, bytes(range(13, 35)))]
    assert records.extent(SESSION, RUN) == (0, 35)


def test_a_read_returns_no_more_than_was_asked_for(kept: tuple[Records, Writer]) -> None:
    records, writer = kept
    writer.append(b"abcdefgh")

    assert records.read(SESSION, RUN, 2, 3) == (2, b"cde")


def test_a_record_that_grew_is_read_on_from_where_it_ended(kept: tuple[Records, Writer]) -> None:
    records, writer = kept
    writer.append(b"first")
    assert records.read(SESSION, RUN, 5, 100) == (5, b"")

    writer.append(b" second")

    assert read_all(records, 5) == [(5, b" second")]


def test_a_hole_is_skipped_and_never_read_across(kept: tuple[Records, Writer]) -> None:
    records, writer = kept
    writer.append(b"before")
    writer.lose(100)
    writer.append(b"after")

    assert read_all(records, 0, size_bytes=500) == [(0, b"before"), (106, b"after")]
    assert records.read(SESSION, RUN, 50, 500) == (106, b"after")
    assert records.extent(SESSION, RUN) == (0, 111)


def test_an_offset_of_deleted_bytes_reads_the_first_that_are_left(kept: tuple[Records, Writer]) -> None:
    records, writer = kept
    for _ in range(4):
        writer.append(b"0123456789")

    writer.drop_before(20)

    assert records.extent(SESSION, RUN) == (20, 40)
    assert records.read(SESSION, RUN, 3, 5) == (20, b"01234")


def test_an_offset_beyond_the_end_is_clamped_to_the_length(kept: tuple[Records, Writer]) -> None:
    records, writer = kept
    writer.append(b"abc")

    assert records.read(SESSION, RUN, 1_000_000, 10) == (3, b"")


def test_a_run_without_a_record_is_empty(kept: tuple[Records, Writer]) -> None:
    records, _ = kept

    assert records.read(SESSION, OTHER, 7, 10) == (0, b"")
    assert records.extent(SESSION, OTHER) == (0, 0)
    assert records.exit(SESSION, OTHER) is None
    assert records.sizes(SESSION, OTHER) == ()


def test_sizes_are_known_with_the_offsets_from_which_they_hold(kept: tuple[Records, Writer]) -> None:
    records, writer = kept
    small, large = Size(cols=80, rows=24), Size(cols=200, rows=50, xpixel=1600, ypixel=900)
    writer.resize(small)
    writer.append(b"12345")
    writer.resize(large)
    writer.append(b"6")

    assert records.sizes(SESSION, RUN) == (
        SizeChange(offset=0, size=small),
        SizeChange(offset=5, size=large),
    )


def test_a_run_that_has_not_ended_has_no_exit(kept: tuple[Records, Writer]) -> None:
    records, writer = kept
    writer.append(b"still here")

    assert records.exit(SESSION, RUN) is None


@pytest.mark.parametrize(
    "status",
    [
        Exit(code=0, at=1.5),
        Exit(signal=9, at=2.0, reason="signalled"),
        Exit(reason="unknown"),
    ],
)
def test_the_exit_is_what_the_keeper_wrote_and_unknown_is_never_0(tmp_path: Path, status: Exit) -> None:
    memory = MemoryRecords()
    memory.record(SESSION, RUN).exit = status
    writer = KeeperFiles(tmp_path / SESSION / RUN)
    writer.end(status)

    assert RecordFiles(tmp_path).exit(SESSION, RUN) == memory.exit(SESSION, RUN) == status
