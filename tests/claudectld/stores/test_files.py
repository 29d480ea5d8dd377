"""The atomic replace and the bounded read, on real directories."""

import errno
import os
import socket
import stat
from pathlib import Path

import pytest

from claudectld.stores.files import LIMIT_BYTES, Directory, Untrusted, is_safe_name, make_directories

NOW = 1795348800.0


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def _names(path: Path) -> list[str]:
    return sorted(os.listdir(path))


@pytest.fixture
def place(tmp_path: Path) -> Path:
    made = tmp_path / "place"
    made.mkdir(mode=0o700)
    return made


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077, 0o777])
def test_modes_do_not_depend_on_the_umask(tmp_path: Path, umask: int) -> None:
    os.umask(umask)

    with Directory.create(str(tmp_path / "made")) as directory:
        directory.replace("a", b"1")
        directory.replace("a", b"2", backup=True)
        directory.create_exclusively("b", b"3")

    assert _mode(tmp_path / "made") == 0o700
    assert {name: _mode(tmp_path / "made" / name) for name in _names(tmp_path / "made")} == {
        "a": 0o600,
        "a.backup": 0o600,
        "b": 0o600,
    }


def test_a_directory_that_is_too_open_is_closed(place: Path) -> None:
    place.chmod(0o755)

    with Directory.create(str(place)):
        pass

    assert _mode(place) == 0o700


def test_missing_parents_are_made_private(tmp_path: Path) -> None:
    os.umask(0)

    make_directories(str(tmp_path / "a" / "b" / "c"))

    assert [_mode(tmp_path / part) for part in ("a", "a/b", "a/b/c")] == [0o700] * 3


def test_a_replaced_file_keeps_the_version_before(place: Path) -> None:
    with Directory.open(str(place)) as directory:
        for content in (b"1", b"2", b"3"):
            directory.replace("a", content, backup=True)

    assert (place / "a").read_bytes() == b"3"
    assert (place / "a.backup").read_bytes() == b"2"
    assert _names(place) == ["a", "a.backup"]


def test_the_backup_is_made_where_there_are_no_hard_links(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, "no links")

    with Directory.open(str(place)) as directory:
        directory.replace("a", b"1")
        monkeypatch.setattr(os, "link", refuse)
        directory.replace("a", b"2", backup=True)

    assert ((place / "a").read_bytes(), (place / "a.backup").read_bytes()) == (b"2", b"1")
    assert _names(place) == ["a", "a.backup"]


def test_a_write_in_many_pieces_is_whole(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:3]))

    with Directory.open(str(place)) as directory:
        directory.replace("a", b"0123456789")

    assert (place / "a").read_bytes() == b"0123456789"


@pytest.mark.parametrize("step", ["write", "fsync", "rename", "link"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
def test_a_failing_step_changes_nothing_and_leaves_nothing(
    place: Path, monkeypatch: pytest.MonkeyPatch, step: str, number: int
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    with Directory.open(str(place)) as directory:
        directory.replace("a", b"1")
        directory.replace("a", b"2", backup=True)
        monkeypatch.setattr(os, step, fail)

        with pytest.raises(OSError, match=os.strerror(number)):
            directory.replace("a", b"3", backup=True)

    assert ((place / "a").read_bytes(), (place / "a.backup").read_bytes()) == (b"2", b"1")
    assert _names(place) == ["a", "a.backup"]


def test_a_link_in_the_way_is_replaced_and_its_target_is_not_touched(place: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("theirs")
    (place / "a").symlink_to(target)

    with Directory.open(str(place)) as directory:
        with pytest.raises(OSError, match="symbolic") as refused:
            directory.read("a")
        directory.replace("a", b"ours")

    assert refused.value.errno == errno.ELOOP
    assert target.read_text() == "theirs"
    assert (place / "a").read_bytes() == b"ours"
    assert not (place / "a").is_symlink()


def test_what_is_no_regular_file_is_refused_without_waiting(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The name of a socket must be short.
    monkeypatch.chdir(place)
    os.mkfifo(place / "fifo")
    (place / "directory").mkdir()
    with socket.socket(socket.AF_UNIX) as listener, Directory.open(str(place)) as directory:
        listener.bind("socket")

        for name in ("fifo", "directory", "socket"):
            with pytest.raises(OSError, match=r".") as refused:
                directory.read(name)
            assert refused.value.errno in (errno.EINVAL, errno.ENXIO, errno.EOPNOTSUPP)


def test_a_file_over_the_limit_is_refused_without_being_loaded(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (place / "huge").open("wb") as file:
        file.truncate(100 * 1024 * 1024)
    (place / "largest").write_bytes(b"x" * LIMIT_BYTES)
    with Directory.open(str(place)) as directory:
        assert len(directory.read("largest")) == LIMIT_BYTES

        def read(*_: object) -> bytes:
            raise AssertionError("was loaded")

        monkeypatch.setattr(os, "read", read)
        with pytest.raises(OSError, match="16 MiB") as refused:
            directory.read("huge")

    assert refused.value.errno == errno.EFBIG


def test_a_file_that_could_not_be_read_again_is_not_written(place: Path) -> None:
    with Directory.open(str(place)) as directory, pytest.raises(OSError, match="16 MiB"):
        directory.replace("a", b"x" * (LIMIT_BYTES + 1))

    assert _names(place) == []


def test_a_link_or_a_file_is_no_directory_of_ours(place: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(place)
    (tmp_path / "file").write_text("")

    for name in ("link", "file"):
        with pytest.raises(Untrusted):
            Directory.open(str(tmp_path / name))
        with pytest.raises(Untrusted):
            Directory.create(str(tmp_path / name))
    with Directory.open(str(tmp_path / "link"), follow=True) as directory:
        assert directory.identity.inode == place.stat().st_ino


@pytest.mark.privileged
def test_a_directory_of_another_user_is_not_ours(place: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a directory away")
    os.chown(place, 12345, 12345)

    with pytest.raises(Untrusted):
        Directory.open(str(place))


def test_files_are_set_aside_under_dated_names_and_the_last_five_are_kept(place: Path) -> None:
    with Directory.open(str(place)) as directory:
        for day in range(4):
            (place / "a").write_text(f"day {day}")
            directory.set_aside("a", NOW + day * 86400)
        for again in range(3):
            (place / "a").write_text(f"again {again}")
            aside = directory.set_aside("a", NOW + 3 * 86400)

    assert aside == "a.corrupt-20261125T120000Z-03"
    assert {name: (place / name).read_text() for name in _names(place)} == {
        "a.corrupt-20261124T120000Z": "day 2",
        "a.corrupt-20261125T120000Z": "day 3",
        "a.corrupt-20261125T120000Z-01": "again 0",
        "a.corrupt-20261125T120000Z-02": "again 1",
        "a.corrupt-20261125T120000Z-03": "again 2",
    }


def test_only_old_leftovers_of_the_same_file_are_swept(place: Path) -> None:
    ours = (".a.0123456789abcdef.tmp", ".a.backup.0123456789abcdef.tmp", ".a.fedcba9876543210.tmp")
    theirs = (".b.0123456789abcdef.tmp", ".a.swp", ".a.0123456789abcde.tmp", "a")
    for name in ours + theirs:
        (place / name).write_text(name)
        os.utime(place / name, (NOW - 3600, NOW - 3600))
    os.utime(place / ours[2], (NOW - 1, NOW - 1))

    with Directory.open(str(place)) as directory:
        directory.sweep("a", NOW)

    assert _names(place) == sorted((*theirs, ours[2]))


def test_removing_takes_the_leftovers_along(place: Path) -> None:
    for name in ("a", ".a.0123456789abcdef.tmp", "ab", ".ab.0123456789abcdef.tmp"):
        (place / name).write_text("secret")

    with Directory.open(str(place)) as directory:
        directory.remove("a")
        directory.remove("a")

    assert _names(place) == [".ab.0123456789abcdef.tmp", "ab"]


def test_an_exclusive_file_is_made_once(place: Path) -> None:
    with Directory.open(str(place)) as directory:
        directory.create_exclusively("a", b"first")
        with pytest.raises(FileExistsError):
            directory.create_exclusively("a", b"second")

    assert (place / "a").read_bytes() == b"first"
    assert _names(place) == ["a"]


def test_no_descriptor_is_left_open(place: Path) -> None:
    before = len(os.listdir("/dev/fd"))

    with Directory.create(str(place)) as directory:
        directory.replace("a", b"1", backup=True)
        directory.read("a")
    (place.parent / "link").symlink_to(place)
    with pytest.raises(Untrusted):
        Directory.open(str(place.parent / "link"))

    assert len(os.listdir("/dev/fd")) == before


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../a", ".hidden", "a\n", "x" * 65, "é"])
def test_names_that_could_leave_the_directory_are_not_safe(name: str) -> None:
    assert not is_safe_name(name)


def test_ids_are_safe_names() -> None:
    assert is_safe_name("5e55104e-0000-4000-8000-000000000001")
