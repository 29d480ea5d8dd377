"""The append side of the record, without a keeper."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from claudectld.keeper import record
from claudectld.keeper.processes import Identity
from claudectld.keeper.record import Exit, Record
from claudectld.keeper.requests import Window
from tests.claudectld.keeper.harness import segments, sizes


def new(path: Path, segment_bytes: int = 10, limit_bytes: int = 1000) -> Record:
    return Record.create(str(path / "session" / "run"), segment_bytes, limit_bytes)


def extents(kept: Record) -> list[tuple[int, bytes]]:
    return [(int(path.name), path.read_bytes()) for path in segments(Path(kept.path))]


def test_a_segment_is_named_by_the_offset_of_its_first_byte(tmp_path: Path) -> None:
    kept = new(tmp_path)
    for data in (b"123456", b"789", b"abcd", b"e"):
        kept.append(data)
    kept.close()
    assert extents(kept) == [(0, b"123456789a"), (10, b"bcde")]
    assert segments(Path(kept.path))[1].name == "00000000000000000010"


def test_the_oldest_segments_go_when_the_limit_is_passed_but_never_the_present_one(tmp_path: Path) -> None:
    kept = new(tmp_path, segment_bytes=4, limit_bytes=9)
    for data in (b"aaaa", b"bbbb", b"cccc"):
        kept.append(data)
    assert extents(kept) == [(4, b"bbbb"), (8, b"cccc")]
    kept.append(b"d" * 20)
    kept.close()
    assert extents(kept) == [(24, b"dddd"), (28, b"dddd")]
    assert kept.size_bytes == 32


def test_a_limit_below_a_segments_size_keeps_the_present_segment(tmp_path: Path) -> None:
    kept = new(tmp_path, segment_bytes=10, limit_bytes=1)
    kept.append(b"123456789")
    kept.close()
    assert extents(kept) == [(0, b"123456789")]


def test_a_record_is_gone_on_with_at_its_length(tmp_path: Path) -> None:
    kept = new(tmp_path)
    kept.append(b"one")
    kept.append(b"")
    kept.close()
    again = Record.resume(kept.path, 10, 1000)
    assert again.size_bytes == 3
    again.say_possible_gap(4095)
    again.append(b"two")
    again.close()
    assert extents(kept) == [(0, b"one"), (3, b"two")]
    assert sizes(Path(kept.path)) == ["possible_gap 3 4095"]


def test_a_gap_before_the_end_is_kept_when_a_record_is_gone_on_with(tmp_path: Path) -> None:
    kept = new(tmp_path)
    Path(kept.path, "0" * 20).write_bytes(b"abc")
    Path(kept.path, f"{7:020d}").write_bytes(b"hij")
    again = Record.resume(kept.path, 10, 4)
    assert again.size_bytes == 10
    again.append(b"k")
    again.close()
    assert extents(kept) == [(7, b"hij"), (10, b"k")]


def test_what_cannot_be_written_is_a_gap_of_known_size(tmp_path: Path) -> None:
    kept = new(tmp_path)
    kept.append(b"before....")
    away = tmp_path / "away"
    os.rename(kept.path, away)
    kept.append(b"lost because the next segment has nowhere to go")
    assert kept.problem == "No such file or directory"
    os.rename(away, kept.path)
    kept.append(b"after")
    kept.close()
    assert kept.problem == ""
    assert extents(kept) == [(0, b"before...."), (57, b"after")]
    assert kept.size_bytes == 62


def test_a_size_that_could_not_be_logged_is_logged_with_the_next(tmp_path: Path) -> None:
    kept = new(tmp_path)
    away = tmp_path / "away"
    os.rename(kept.path, away)
    kept.say_size(Window(80, 24, 0, 0))
    os.rename(away, kept.path)
    kept.append(b"abc")
    kept.say_size(Window(81, 25, 0, 0))
    assert sizes(Path(kept.path)) == ["size 0 80 24 0 0", "size 3 81 25 0 0"]


def test_a_missing_or_broken_exit_file_means_unknown_never_0(tmp_path: Path) -> None:
    kept = new(tmp_path)
    kept.append(b"abc")
    kept.close()
    unknown = Exit(None, None, 0.0, "unknown", 3)
    assert record.read_exit(kept.path) == unknown
    for broken in ("", "{", "[]", '{"code": 0}', "null"):
        Path(kept.path, "exit").write_text(broken)
        assert record.read_exit(kept.path) == unknown


def test_an_exit_file_is_read_back(tmp_path: Path) -> None:
    kept = new(tmp_path)
    ended = Exit(None, 15, 12.5, "signalled", 99)
    kept.write_exit(ended)
    kept.write_process(Identity("boot", 1, 2), 3.0)
    assert record.read_exit(kept.path) == ended
    assert sorted(os.listdir(kept.path)) == ["exit", "process"]


def test_deleting_a_run_takes_the_sessions_directory_with_the_last_one(tmp_path: Path) -> None:
    first = Record.create(str(tmp_path / "session" / "1"), 10, 10)
    second = Record.create(str(tmp_path / "session" / "2"), 10, 10)
    record.delete(first.path)
    assert os.listdir(tmp_path / "session") == ["2"]
    record.delete(second.path)
    assert os.listdir(tmp_path) == []
    record.delete(second.path)


FULL_DISK = """
import os, sys
from claudectld.keeper.record import Record
kept = Record.create(sys.argv[1] + "/session/run", 1 << 30, 1 << 30)
chunk = bytes(range(256)) * 16
while not kept.problem:
    kept.append(chunk)
full = kept.size_bytes
kept.append(chunk)
os.unlink(sys.argv[1] + "/ballast")
kept.append(b"after")
kept.close()
segments = sorted(name for name in os.listdir(kept.path) if name.isdigit())
on_disk = [(int(name), os.path.getsize(kept.path + "/" + name)) for name in segments]
data = open(kept.path + "/" + segments[0], "rb").read()
assert data == (chunk * (len(data) // len(chunk) + 1))[: len(data)]
assert on_disk[0][0] == 0 and full - len(chunk) <= on_disk[0][1] < full, (on_disk, full)
assert on_disk[1:] == [(full + len(chunk), 5)], (on_disk, full)
assert kept.problem == ""
print("ok")
"""


@pytest.mark.privileged
def test_a_full_disk_stops_nothing_and_leaves_a_gap_of_known_size(tmp_path: Path) -> None:
    mount = 'mount -t tmpfs -o size=200k none "$1" && head -c 50000 /dev/zero >"$1/ballast" && exec "$2" -c "$3" "$1"'
    command = ["unshare", "--mount", "sh", "-c", mount, "sh", str(tmp_path), sys.executable, FULL_DISK]
    done = subprocess.run(command, capture_output=True, text=True)
    if "unshare" in done.stderr or "mount:" in done.stderr:
        pytest.skip(f"no mount namespace here: {done.stderr.strip()}")
    assert done.stdout == "ok\n", done.stderr
