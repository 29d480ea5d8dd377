"""claudectld.toml as people write it: read with positions, changed in one place, whole after a crash."""

import os
import stat
import threading
import tomllib
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from claudectl.settings_file import Problem, key, read, value_of, write
from claudectl_protocol.faults import InvalidArgument, Rejected, StoreFailed, StoreReadOnly
from claudectl_protocol.settings import Config, keys
from tests.counts import times

COMMENTED = """# my file

[records]   # how much
limit_mib = 64  # plenty

# where
[claude]
program = '/opt/claude'
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "claudectld.toml"


def put(path: Path, dotted: str, text: str) -> None:
    wanted = key(dotted)
    write(str(path), wanted, value_of(text, wanted))


# --- reading --------------------------------------------------------------------------------------------------


def test_a_missing_file_says_nothing(path: Path) -> None:
    assert read(str(path)) == (Config(), {}, ())


def test_what_is_set_is_found_with_its_line(path: Path) -> None:
    path.write_text(COMMENTED)

    reading = read(str(path))

    assert reading.config.records.limit_mib == 64
    assert reading.config.claude.program == "/opt/claude"
    assert reading.given == {"claude.program": 8, "records.limit_mib": 4}
    assert reading.problems == ()


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("[records]\nlimit_mib = 1\n", 2),
        ("\nrecords.limit_mib = 1\n", 2),
        ("[ records ]\n'limit_mib'=1\n", 2),
        ("\n\nrecords = {limit_mib = 1}\n", 3),
        ('["records"]\n"limit_mib" = 1\n', 2),
        ("[claude]\nprogram = 'limit_mib = 3'\n[records]\nlimit_mib = 1\n", 4),
    ],
)
def test_a_line_is_found_however_the_setting_is_written(path: Path, content: str, line: int) -> None:
    path.write_text(content)

    assert read(str(path)).given["records.limit_mib"] == line


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (
            "[a\n",
            Problem(why="it is not TOML: expected ']' at the end of a table declaration", line=1, column=3),
        ),
        ("[recods]\n", Problem(why="there is no section 'recods'; did you mean 'records'?", line=1)),
        ("\n[zzz]\n", Problem(why="there is no section 'zzz'", line=2)),
        (
            "[records]\nlimit = 8\n",
            Problem(why="there is no setting 'records.limit'; did you mean 'records.limit_mib'?", line=2),
        ),
        (
            "[records]\nlimit_mib = 'x'\n",
            Problem(why="records.limit_mib 'x' is wrong: expected `int`, got `str`", line=2),
        ),
        (
            "[records]\nlimit_mib = 0\n",
            Problem(why="records.limit_mib '0' is wrong: expected `int` >= 1", line=2),
        ),
        ("records = 3\n", Problem(why="records is a section, written [records]", line=1)),
        ("[[records]]\n", Problem(why="records is a section, written [records]", line=1)),
        ('"a\\u001b[2J" = 1\n', Problem(why="there is no section 'a'", line=None)),
    ],
)
def test_what_is_wrong_is_said_with_its_place_and_nothing_holds(
    path: Path, content: str, problem: Problem
) -> None:
    path.write_text(content)

    reading = read(str(path))

    assert reading.problems == (problem,)
    assert reading.config == Config()


def test_bytes_that_are_no_text_are_a_problem(path: Path) -> None:
    path.write_bytes(b"[records]\n\xff")

    assert read(str(path)).problems == (Problem(why="byte 10 is no UTF-8"),)


def test_a_file_that_cannot_be_read_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(Rejected) as refused:
        read(str(tmp_path))
    assert refused.value.fault == StoreFailed(path=str(tmp_path), error="Is a directory")


VALUES = st.one_of(
    st.integers(-2, 2),
    st.text("ab", max_size=2),
    st.booleans(),
    st.floats(-1, 1),
    st.lists(st.integers(), max_size=1),
)
NAMES = st.sampled_from([*(one.name for one in keys()), "limit", "odd"])
SECTIONS = st.sampled_from([*{one.section for one in keys()}, "odd"])


@settings(max_examples=times(60, 2000), deadline=None)
@given(st.dictionaries(SECTIONS, st.dictionaries(NAMES, VALUES, max_size=2), max_size=3))
def test_the_check_finds_something_exactly_when_the_daemon_would_not_use_the_file(
    tmp_path_factory: pytest.TempPathFactory, document: dict[str, dict[str, object]]
) -> None:
    tomlkit = pytest.importorskip("tomlkit")
    path = tmp_path_factory.mktemp("toml") / "claudectld.toml"
    path.write_text(tomlkit.dumps(document))
    try:
        msgspec.convert(tomllib.loads(path.read_text()), Config)
        is_used = True
    except msgspec.ValidationError:
        is_used = False

    assert (read(str(path)).problems == ()) == is_used


# --- setting --------------------------------------------------------------------------------------------------


def test_one_value_changes_and_every_comment_stays(path: Path) -> None:
    path.write_text(COMMENTED)

    put(path, "records.limit_mib", "8")

    assert path.read_text() == COMMENTED.replace("limit_mib = 64", "limit_mib = 8")


def test_a_section_that_is_missing_is_added_behind(path: Path) -> None:
    path.write_text(COMMENTED)

    put(path, "daemon.sync_s", "2")

    assert path.read_text() == f"{COMMENTED}\n[daemon]\nsync_s = 2.0\n"


@pytest.mark.parametrize(
    "content",
    ["records.limit_mib = 1\n", "records = {limit_mib = 1}\n", "[records]\r\nlimit_mib = 1\r\n# end\r\n"],
)
def test_every_way_of_writing_is_kept(path: Path, content: str) -> None:
    path.write_bytes(content.encode())

    put(path, "records.limit_mib", "22")

    assert path.read_bytes().decode() == content.replace("= 1", "= 22")


def test_what_is_wrong_can_be_set_right(path: Path) -> None:
    path.write_text("[records]\nlimit_mib = 'x'\n")

    put(path, "records.limit_mib", "8")

    assert read(str(path)).config.records.limit_mib == 8


def test_directory_and_file_are_made_private(tmp_path: Path) -> None:
    path = tmp_path / "new" / "claudectld.toml"

    put(path, "claude.program", "/opt/claude")

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert os.listdir(path.parent) == [path.name]


def test_mode_and_link_stay(path: Path) -> None:
    real = path.parent / "dotfiles.toml"
    real.touch()
    real.chmod(0o640)
    path.symlink_to(real)

    put(path, "records.limit_mib", "8")

    assert path.is_symlink()
    assert stat.S_IMODE(real.stat().st_mode) == 0o640
    assert "limit_mib = 8" in real.read_text()


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"[records\n", "it is not TOML"),
        (b"\xff", "it is no UTF-8"),
        (b"records = 3\n", "'records' is no section"),
    ],
)
def test_a_file_that_is_broken_is_not_touched(path: Path, content: bytes, why: str) -> None:
    path.write_bytes(content)

    with pytest.raises(Rejected) as refused:
        put(path, "records.limit_mib", "8")

    assert isinstance(refused.value.fault, StoreReadOnly)
    assert why in refused.value.fault.why
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    ("dotted", "text", "fault"),
    [
        (
            "records.limit",
            "8",
            InvalidArgument(
                what="the setting 'records.limit'",
                why="does not exist; did you mean 'records.limit_mib'?; 'claudectl config show' lists all",
            ),
        ),
        (
            "records.limit_mib",
            "much",
            InvalidArgument(what="records.limit_mib 'much'", why="is wrong: expected `int`, got `str`"),
        ),
        ("claude.program", "/\udcff", InvalidArgument(what="claude.program", why="can only be UTF-8")),
    ],
)
def test_unknown_names_and_wrong_values_are_refused(dotted: str, text: str, fault: InvalidArgument) -> None:
    with pytest.raises(Rejected) as refused:
        value_of(text, key(dotted))
    assert refused.value.fault == fault


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_failing_disk_changes_nothing_and_leaves_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    path.write_text(COMMENTED)

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(f"os.{step}", fail)
    with pytest.raises(Rejected) as refused:
        put(path, "records.limit_mib", "8")

    assert refused.value.fault == StoreFailed(path=str(path), error="No space left on device")
    assert path.read_text() == COMMENTED
    assert os.listdir(path.parent) == [path.name]


def test_settings_that_are_made_at_the_same_time_are_all_kept(path: Path) -> None:
    path.write_text("[records]\n")
    changes = [("records.limit_mib", "8"), ("daemon.sync_s", "2"), ("claude.program", "/x")]
    threads = [threading.Thread(target=put, args=(path, *change)) for change in changes for _ in range(3)]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert {*read(str(path)).given} == {name for name, _ in changes}
