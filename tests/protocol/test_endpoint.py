"""Where the daemon is found, and whether that place can be trusted."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from claudectl_protocol import endpoint
from claudectl_protocol.endpoint import (
    EndpointUnsafe,
    NoHome,
    SocketPathTooLong,
    check_socket_path,
    config_directory,
    make_directory,
    socket_directory,
    socket_path,
    state_directory,
    verify_directory,
)

UID = os.geteuid()
NOBODY = 4_000_000_001
"""A uid that no user database has."""


@pytest.fixture
def short() -> Iterator[Path]:
    """A directory with a path short enough for sockets."""
    path = Path(tempfile.mkdtemp(prefix="cc-", dir="/tmp"))
    yield path
    shutil.rmtree(path)


def digits(state_dir: str) -> str:
    """The eight digits that stand for a state directory."""
    return sha256(os.path.realpath(state_dir).encode()).hexdigest()[:8]


# --- configuration and state --------------------------------------------------------------------------------


def test_directories_are_those_of_the_xdg_specification() -> None:
    env = {"HOME": "/home/ada", "XDG_CONFIG_HOME": "/c", "XDG_STATE_HOME": "/s"}
    assert (config_directory(env, UID), state_directory(env, UID)) == ("/c/claudectl", "/s/claudectl")


@pytest.mark.parametrize("value", ["", "relative/path"])
def test_xdg_variable_that_is_no_absolute_path_is_ignored(value: str) -> None:
    env = {"HOME": "/home/ada", "XDG_CONFIG_HOME": value, "XDG_STATE_HOME": value}
    assert config_directory(env, UID) == "/home/ada/.config/claudectl"
    assert state_directory(env, UID) == "/home/ada/.local/state/claudectl"


@pytest.mark.parametrize("env", [{}, {"HOME": ""}, {"HOME": "here"}], ids=str)
def test_missing_home_is_taken_from_the_user_database(env: dict[str, str]) -> None:
    assert config_directory(env, 0) == os.path.join(os.path.expanduser("~root"), ".config/claudectl")


def test_user_without_a_home_is_told_so() -> None:
    with pytest.raises(NoHome, match=f"user {NOBODY} has no home"):
        state_directory({}, NOBODY)


# --- the socket ---------------------------------------------------------------------------------------------


def test_chosen_socket_is_taken_as_it_is() -> None:
    assert socket_path({"CLAUDECTL_SOCKET": "/x/y.sock"}, UID, "/s") == "/x/y.sock"


def test_empty_choice_is_none() -> None:
    assert socket_path({"CLAUDECTL_SOCKET": ""}, UID, "/s") == socket_path({}, UID, "/s")


def test_socket_lies_in_the_users_run_directory(short: Path) -> None:
    run = short / str(UID)
    run.mkdir(mode=0o700)
    expected = f"{run}/claudectl/{digits('/s')}"
    assert socket_path({}, UID, "/s", str(short)) == f"{expected}/daemon.sock"
    assert socket_directory(UID, "/s", str(short)) == expected


def test_socket_lies_in_tmp_when_there_is_no_run_directory(short: Path) -> None:
    assert socket_path({}, 1000, "/s", str(short)) == f"/tmp/claudectl-1000/{digits('/s')}/daemon.sock"


def test_run_directory_of_somebody_else_is_not_used(short: Path) -> None:
    (short / str(NOBODY)).mkdir()
    assert socket_directory(NOBODY, "/s", str(short)).startswith(f"/tmp/claudectl-{NOBODY}/")


def test_run_directory_that_is_a_link_is_not_used(short: Path) -> None:
    (short / "real").mkdir()
    (short / str(UID)).symlink_to(short / "real")
    assert socket_directory(UID, "/s", str(short)).startswith("/tmp/")


def test_environment_does_not_move_the_socket(short: Path) -> None:
    plain = socket_path({}, UID, "/s", str(short))
    env = {"XDG_RUNTIME_DIR": "/elsewhere", "TMPDIR": "/elsewhere", "HOME": "/elsewhere"}
    assert socket_path(env, UID, "/s", str(short)) == plain


def test_two_state_directories_never_share_a_socket(short: Path) -> None:
    assert socket_directory(UID, "/s/one", str(short)) != socket_directory(UID, "/s/two", str(short))


def test_one_state_directory_under_two_names_has_one_socket(short: Path) -> None:
    (short / "state").mkdir()
    (short / "link").symlink_to(short / "state")
    assert socket_directory(UID, str(short / "link"), "/none") == socket_directory(
        UID, f"{short}/./state", "/none"
    )


def test_socket_path_of_the_documented_length_can_be_bound_and_a_longer_one_is_refused(short: Path) -> None:
    limit = 107 if sys.platform.startswith("linux") else 103
    longest = f"{short}/".ljust(limit, "s")
    check_socket_path(longest)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(longest)
    with pytest.raises(SocketPathTooLong, match=f"longer than the {limit} bytes"):
        check_socket_path(longest + "s")


@pytest.mark.parametrize(("platform", "limit"), [("linux", 107), ("darwin", 103), ("freebsd14", 103)])
def test_length_of_a_socket_path_is_counted_in_bytes_of_its_system(platform: str, limit: int) -> None:
    check_socket_path("/" + "s" * (limit - 1), platform)
    with pytest.raises(SocketPathTooLong):
        check_socket_path("/" + "é" * (limit // 2 + 1), platform)


# --- trust --------------------------------------------------------------------------------------------------


def test_directory_that_was_made_here_can_be_trusted(short: Path) -> None:
    path = short / "a" / "b" / "c"
    make_directory(str(path))
    verify_directory(str(path))
    for made in (path, path.parent, path.parent.parent):
        assert made.stat().st_mode & 0o777 == 0o700


def test_directory_is_private_whatever_the_umask(short: Path) -> None:
    before = os.umask(0o777)
    try:
        make_directory(str(short / "a" / "b"))
    finally:
        os.umask(before)
    verify_directory(str(short / "a" / "b"))


def test_making_a_directory_changes_none_that_exists(short: Path) -> None:
    (short / "a").mkdir()
    (short / "a").chmod(0o755)
    make_directory(str(short / "a" / "b"))
    make_directory(str(short / "a" / "b"))
    assert (short / "a").stat().st_mode & 0o777 == 0o755


def test_missing_directory_is_missing_and_not_unsafe(short: Path) -> None:
    with pytest.raises(FileNotFoundError):
        verify_directory(str(short / "none"))


@pytest.mark.parametrize("mode", [0o701, 0o710, 0o750, 0o770, 0o755, 0o777, 0o500])
def test_directory_with_another_mode_is_unsafe(short: Path, mode: int) -> None:
    short.chmod(mode)
    with pytest.raises(EndpointUnsafe) as caught:
        verify_directory(str(short))
    assert (caught.value.path, caught.value.why) == (str(short), f"has mode 0{mode:o} instead of 0700")


def test_link_to_a_good_directory_is_unsafe(short: Path) -> None:
    (short / "real").mkdir(mode=0o700)
    (short / "link").symlink_to(short / "real")
    with pytest.raises(EndpointUnsafe, match="symbolic link"):
        verify_directory(str(short / "link"))


def test_file_is_unsafe(short: Path) -> None:
    (short / "file").touch()
    with pytest.raises(EndpointUnsafe, match="not a directory"):
        verify_directory(str(short / "file"))


def test_directory_of_another_user_is_unsafe(short: Path) -> None:
    with pytest.raises(EndpointUnsafe, match=f"belongs to user {UID}"):
        verify_directory(str(short), UID + 1)


def test_directory_below_one_that_everybody_may_write_is_unsafe(short: Path) -> None:
    make_directory(str(short / "open" / "mine"))
    (short / "open").chmod(0o777)
    with pytest.raises(EndpointUnsafe, match="may be written by everybody"):
        verify_directory(str(short / "open" / "mine"))
    (short / "open").chmod(0o1777)
    verify_directory(str(short / "open" / "mine"))


@pytest.mark.skipif(UID != 0, reason="only root can give a directory away")
def test_directory_below_one_of_a_third_user_is_unsafe(short: Path) -> None:
    make_directory(str(short / "theirs" / "mine"))
    os.chown(short / "theirs", NOBODY, -1)
    with pytest.raises(EndpointUnsafe, match=f"belongs to user {NOBODY}"):
        verify_directory(str(short / "theirs" / "mine"))


# --- cost ---------------------------------------------------------------------------------------------------


def test_finding_the_socket_loads_nothing_slow() -> None:
    code = (
        "import sys; before = set(sys.modules)\n"
        "from claudectl_protocol import endpoint\n"
        "endpoint.socket_path({'HOME': '/h'}, 0, endpoint.state_directory({'HOME': '/h'}, 0))\n"
        "print(*sorted(set(sys.modules) - before))"
    )
    root = Path(endpoint.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-S", "-c", code],
        env={"PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = set(done.stdout.split())
    assert {"claudectl_protocol.endpoint"} < loaded
    slow = {
        "typing",
        "re",
        "enum",
        "hashlib",
        "_hashlib",
        "collections",
        "msgspec",
        "socket",
        "pathlib",
        "pwd",
    }
    assert not loaded & slow
