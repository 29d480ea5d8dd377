"""What is particular to records in files: hostile names, torn lines, deletion while reading, gaps."""

import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from claudectl_protocol.sessions import Exit, RecordInfo, RunId, SessionId, Size
from claudectld.ports import SizeChange
from claudectld.record.reader import RecordFiles
from tests.claudectld.record.keeper_files import KeeperFiles

SESSION = SessionId("5f0f3a52-0000-4000-8000-000000000001")
RUN = RunId("5f0f3a52-0000-4000-8000-00000000000a")


@pytest.fixture
def writer(tmp_path: Path) -> KeeperFiles:
    return KeeperFiles(tmp_path / SESSION / RUN)


@pytest.fixture
def records(tmp_path: Path) -> RecordFiles:
    return RecordFiles(tmp_path)


def test_names_that_are_no_offsets_are_ignored(records: RecordFiles, writer: KeeperFiles) -> None:
    writer.append(b"real")
    for name in ("99", "0000000000000000000x", "000000000000000000001", "core", "00000000000000000002.tmp"):
        (writer.directory / name).write_bytes(b"garbage")
    (writer.directory / ("٠" * 20)).write_bytes(b"garbage")
    (writer.directory / f"{50:020d}").mkdir()

    assert records.extent(SESSION, RUN) == (0, 4)
    assert records.read(SESSION, RUN, 0, 100) == (0, b"real")
    assert records.read(SESSION, RUN, 4, 100) == (4, b"")


@pytest.mark.parametrize("place", ["session", "run", "segment", "exit", "sizes"])
def test_symlinks_are_never_followed(tmp_path: Path, records: RecordFiles, place: str) -> None:
    elsewhere = KeeperFiles(tmp_path / "elsewhere" / "secret")
    elsewhere.resize(Size(cols=1, rows=2))
    elsewhere.append(b"secret")
    elsewhere.end(Exit(code=0))
    run = tmp_path / SESSION / RUN
    if place == "session":
        (tmp_path / "elsewhere" / RUN).symlink_to(elsewhere.directory)
        (tmp_path / SESSION).symlink_to(tmp_path / "elsewhere")
    elif place == "run":
        run.parent.mkdir()
        run.symlink_to(elsewhere.directory)
    else:
        run.mkdir(parents=True)
        name = f"{0:020d}" if place == "segment" else place
        (run / name).symlink_to(elsewhere.directory / name)

    assert records.extent(SESSION, RUN) == (0, 0)
    assert records.read(SESSION, RUN, 0, 100) == (0, b"")
    assert records.exit(SESSION, RUN) is None
    assert records.sizes(SESSION, RUN) == ()


@pytest.mark.parametrize("name", ["..", ".", "", "a/b", "../elsewhere", "a\0b"])
def test_an_id_that_is_no_plain_name_has_no_record(tmp_path: Path, name: str) -> None:
    KeeperFiles(tmp_path / "records" / "a" / "b").append(b"inside")
    KeeperFiles(tmp_path / "elsewhere" / "run").append(b"outside")
    records = RecordFiles(tmp_path / "records")

    assert records.read(SessionId(name), RunId("run"), 0, 10) == (0, b"")
    assert records.read(SessionId("a"), RunId(name), 0, 10) == (0, b"")


def test_a_fifo_or_socket_in_a_file_s_place_neither_hangs_nor_reads(
    records: RecordFiles, writer: KeeperFiles
) -> None:
    writer.append(b"x")
    os.mkfifo(writer.directory / "exit")
    with tempfile.TemporaryDirectory(prefix="cc-", dir="/tmp") as short, socket.socket(socket.AF_UNIX) as end:
        end.bind(f"{short}/s")
        os.rename(f"{short}/s", writer.directory / "sizes")

        assert records.exit(SESSION, RUN) is None
        assert records.sizes(SESSION, RUN) == ()


def test_gaps_are_known_by_place_and_size(records: RecordFiles, writer: KeeperFiles) -> None:
    writer.append(b"a" * 25)
    writer.lose(5)
    writer.append(b"b" * 3)
    writer.lose(100)
    writer.append(b"c")

    assert records.gaps(SESSION, RUN) == ((25, 5), (33, 100))


def test_bytes_lost_at_the_very_end_are_a_gap_once_the_run_ended(
    records: RecordFiles, writer: KeeperFiles
) -> None:
    writer.append(b"kept")
    writer.lose(6)
    assert records.gaps(SESSION, RUN) == ()

    writer.end(Exit(code=1))

    assert records.gaps(SESSION, RUN) == ((4, 6),)
    assert records.extent(SESSION, RUN) == (0, 4)


def test_deleted_segments_are_no_gap(records: RecordFiles, writer: KeeperFiles) -> None:
    writer.append(b"x" * 40)
    writer.drop_before(20)

    assert records.gaps(SESSION, RUN) == ()


def test_possible_gaps_come_from_the_size_log(records: RecordFiles, writer: KeeperFiles) -> None:
    writer.log("size 0 80 24 0 0\npossible_gap 10 4095\nsize 12 90 24 0 0\npossible_gap 20 65536\n")

    assert records.possible_gaps(SESSION, RUN) == ((10, 4095), (20, 65536))


def test_torn_and_foreign_lines_of_the_size_log_are_skipped(
    records: RecordFiles, writer: KeeperFiles
) -> None:
    writer.log("size 0 80 24 0 0\nsize 5\nsize 6 a b c d\nsize -6 1 1 1 1\nnoise 1 2 3 4 5\nsize 7 ")
    assert records.sizes(SESSION, RUN) == (SizeChange(offset=0, size=Size(cols=80, rows=24)),)

    writer.log("100 30 0 0\n")

    assert records.sizes(SESSION, RUN)[1:] == (SizeChange(offset=7, size=Size(cols=100, rows=30)),)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"code": "0"}', b"\xff\xfe"])
def test_an_exit_file_that_is_not_whole_is_no_exit(
    records: RecordFiles, writer: KeeperFiles, content: bytes
) -> None:
    writer.append(b"x")
    (writer.directory / "exit").write_bytes(content)

    assert records.exit(SESSION, RUN) is None
    assert records.gaps(SESSION, RUN) == ()


def test_an_exit_file_of_a_newer_keeper_is_understood(records: RecordFiles, writer: KeeperFiles) -> None:
    (writer.directory / "exit").write_bytes(
        b'{"code":3,"signal":null,"at":1.0,"size_bytes":0,"reason":"exited","rusage":{"x":1}}'
    )

    assert records.exit(SESSION, RUN) == Exit(code=3, at=1.0)


def test_segments_deleted_between_listing_and_reading_are_passed_over(
    records: RecordFiles, writer: KeeperFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer.append(b"0123456789" * 3)
    real_open = os.open

    def open_after_rotation(name: str, flags: int, *, dir_fd: int | None = None) -> int:
        if name == f"{0:020d}":
            writer.drop_before(10)
        return real_open(name, flags, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", open_after_rotation)

    assert records.read(SESSION, RUN, 0, 100) == (10, b"0123456789")


def test_a_rotation_that_takes_all_listed_segments_is_read_from_the_new_ones(
    records: RecordFiles, writer: KeeperFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer.append(b"0123456789")
    real_open = os.open

    def open_after_rotation(name: str, flags: int, *, dir_fd: int | None = None) -> int:
        if name == f"{0:020d}":
            writer.append(b"later")
            writer.drop_before(10)
        return real_open(name, flags, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", open_after_rotation)

    assert records.read(SESSION, RUN, 0, 100) == (10, b"later")


def test_info_gathers_what_is_known(tmp_path: Path, records: RecordFiles, writer: KeeperFiles) -> None:
    writer.append(b"x" * 30)
    writer.lose(5)
    writer.append(b"y")
    writer.drop_before(10)
    writer.log("possible_gap 30 7\n")

    assert records.info(SESSION, RUN) == RecordInfo(
        run=RUN,
        path=str(tmp_path / SESSION / RUN),
        start=10,
        end=36,
        gaps=((30, 5),),
        possible_gaps=((30, 7),),
    )


def test_no_descriptor_stays_open(records: RecordFiles, writer: KeeperFiles) -> None:
    def open_descriptors() -> Iterator[int]:
        for number in range(64):
            try:
                os.fstat(number)
            except OSError:
                continue
            yield number

    writer.append(b"x" * 30)
    writer.end(Exit(code=0))
    before = list(open_descriptors())

    records.info(SESSION, RUN)
    records.read(SESSION, RUN, 0, 100)
    records.read(SESSION, RUN, 99, 100)
    records.read(SESSION, RunId("nobody"), 0, 100)
    records.exit(SESSION, RUN)

    assert list(open_descriptors()) == before


@settings(max_examples=40, deadline=None)
@given(
    events=st.lists(
        st.one_of(st.binary(min_size=1, max_size=25), st.integers(min_value=1, max_value=30)), max_size=8
    ),
    size_bytes=st.integers(min_value=1, max_value=40),
    start=st.integers(min_value=0, max_value=120),
)
def test_reading_on_gives_every_kept_byte_once_at_its_offset(
    events: list[bytes | int], size_bytes: int, start: int
) -> None:
    kept: dict[int, int] = {}
    with tempfile.TemporaryDirectory(prefix="cc-", dir="/tmp") as directory:
        writer = KeeperFiles(Path(directory) / SESSION / RUN, segment_bytes=7)
        for event in events:
            if isinstance(event, int):
                writer.lose(event)
            else:
                kept.update({writer.length + index: byte for index, byte in enumerate(event)})
                writer.append(event)
        records = RecordFiles(Path(directory))
        seen: dict[int, int] = {}
        offset = start
        while True:
            at, data = records.read(SESSION, RUN, offset, size_bytes)
            if not data:
                break
            assert at >= offset
            seen.update({at + index: byte for index, byte in enumerate(data)})
            offset = at + len(data)

    assert seen == {offset: byte for offset, byte in kept.items() if offset >= start}


def test_where_segments_overlap_the_later_one_counts(records: RecordFiles, writer: KeeperFiles) -> None:
    (writer.directory / f"{0:020d}").write_bytes(b"first and too long")
    (writer.directory / f"{5:020d}").write_bytes(b"second")

    assert records.read(SESSION, RUN, 0, 100) == (0, b"first")
    assert records.read(SESSION, RUN, 5, 100) == (5, b"second")
    assert records.extent(SESSION, RUN) == (0, 11)
    assert records.gaps(SESSION, RUN) == ()
