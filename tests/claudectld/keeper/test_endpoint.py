"""The lock, the socket's directory, and stale sockets."""

import os
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from claudectld.keeper.endpoint import AlreadyRunning, Endpoint, Lock, Unsafe
from tests.claudectld.keeper.harness import Home


@contextmanager
def bound(path: Path) -> Iterator[Endpoint]:
    made = Endpoint(str(path))
    try:
        yield made
    finally:
        made.close()


def test_the_socket_is_0600_in_a_directory_made_0700(home: Home) -> None:
    path = home.path / "a" / "b" / "keeper.sock"
    before = os.getcwd()
    with bound(path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert {stat.S_IMODE(each.stat().st_mode) for each in (path.parent, path.parent.parent)} == {0o700}
        assert os.getcwd() == before
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
    assert not path.exists()


def test_a_stale_socket_is_replaced(home: Home) -> None:
    home.socket.parent.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(home.socket))
    with bound(home.socket), socket.socket(socket.AF_UNIX) as client:
        client.connect(str(home.socket))


def test_what_is_no_socket_is_left_alone(home: Home) -> None:
    home.socket.parent.mkdir(mode=0o700)
    home.socket.write_text("precious")
    with pytest.raises(Unsafe, match="no socket"):
        Endpoint(str(home.socket))
    assert home.socket.read_text() == "precious"


@pytest.mark.parametrize("mode", [0o750, 0o705, 0o777, 0o1777])
def test_a_directory_that_others_may_enter_is_refused(home: Home, mode: int) -> None:
    home.socket.parent.mkdir()
    home.socket.parent.chmod(mode)
    with pytest.raises(Unsafe, match="0700"):
        Endpoint(str(home.socket))


def test_a_symbolic_link_in_place_of_the_directory_is_refused(home: Home) -> None:
    elsewhere = home.path / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    home.socket.parent.symlink_to(elsewhere)
    with pytest.raises(Unsafe, match="symbolic link"):
        Endpoint(str(home.socket))
    assert list(elsewhere.iterdir()) == []


def test_a_directory_below_one_that_everybody_may_change_is_refused(home: Home) -> None:
    above = home.path / "above"
    above.mkdir()
    above.chmod(0o777)
    with pytest.raises(Unsafe, match="rename"):
        Endpoint(str(above / "run" / "keeper.sock"))


@pytest.mark.privileged
def test_a_directory_of_another_user_is_refused_and_so_is_one_below_it(home: Home) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs a second uid")
    home.socket.parent.mkdir(mode=0o700)
    os.chown(home.socket.parent, 65534, 65534)
    with pytest.raises(Unsafe, match="not ours"):
        Endpoint(str(home.socket))
    with pytest.raises(Unsafe, match="belongs to user 65534"):
        Endpoint(str(home.socket.parent / "below" / "keeper.sock"))


@pytest.mark.parametrize("size", [104, 108, 200, 5000])
def test_a_path_too_long_for_an_address_is_refused_with_a_sentence(home: Home, size: int) -> None:
    path = f"{home.path}/run/".ljust(size, "x")
    with pytest.raises(Unsafe, match="longer than 103"):
        Endpoint(path)
    assert not (home.path / "run").exists()


def test_the_longest_path_is_taken_whole(home: Home) -> None:
    path = Path(f"{home.path}/run/".ljust(103, "x"))
    with bound(path), socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))


def test_a_successors_socket_is_not_removed(home: Home) -> None:
    first = Endpoint(str(home.socket))
    home.socket.unlink()
    with bound(home.socket):
        assert not first.is_in_place
        first.close()
        assert home.socket.exists()


def test_the_lock_is_held_by_one_and_says_by_whom(tmp_path: Path) -> None:
    path = str(tmp_path / "lock")
    lock = Lock(path)
    with pytest.raises(AlreadyRunning, match=f"already running pid {os.getpid()}"):
        Lock(path)
    lock.release()
    Lock(path).release()


def test_the_lock_ends_with_its_process(tmp_path: Path) -> None:
    path = str(tmp_path / "lock")
    script = (
        "import os, signal, sys; from claudectld.keeper.endpoint import Lock; lock = Lock(sys.argv[1]);"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", script, path], check=False)
    assert Path(path).read_text() != ""
    Lock(path).release()


def test_the_lock_follows_no_symbolic_link(tmp_path: Path) -> None:
    (tmp_path / "lock").symlink_to(tmp_path / "target")
    with pytest.raises(OSError, match="symbolic"):
        Lock(str(tmp_path / "lock"))
    assert not (tmp_path / "target").exists()
