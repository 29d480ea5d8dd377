"""The daemon's socket and its lock: one daemon, a place that is ours alone, and whose file it is."""

import os
import shutil
import socket
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from claudectl_protocol.endpoint import EndpointUnsafe, SocketPathTooLong
from claudectld.listener import AlreadyRunning, SocketFile, StateLock


@pytest.fixture
def place() -> Iterator[Path]:
    """A short path, for a socket fits no long one."""
    made = Path(tempfile.mkdtemp(prefix="cc-", dir="/tmp")).resolve()
    yield made
    shutil.rmtree(made)


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


class TestStateLock:
    def test_a_second_one_is_told_who_has_it(self, place: Path) -> None:
        lock = StateLock(str(place / "lock"))
        with pytest.raises(AlreadyRunning) as refused:
            StateLock(str(place / "lock"))
        lock.close()

        assert refused.value.pid == os.getpid()
        StateLock(str(place / "lock")).close()

    def test_an_unreadable_note_names_nobody(self, place: Path) -> None:
        lock = StateLock(str(place / "lock"))
        (place / "lock").write_bytes(b"\xff not a pid")
        with pytest.raises(AlreadyRunning) as refused:
            StateLock(str(place / "lock"))
        lock.close()

        assert refused.value.pid is None

    def test_what_a_longer_note_left_behind_is_gone(self, place: Path) -> None:
        (place / "lock").write_text("123456789012345\n")
        StateLock(str(place / "lock")).close()

        assert (place / "lock").read_text() == f"{os.getpid()}\n"

    def test_a_link_is_not_followed(self, place: Path) -> None:
        (place / "lock").symlink_to(place / "elsewhere")
        with pytest.raises(OSError, match="symbolic"):
            StateLock(str(place / "lock"))

        assert not (place / "elsewhere").exists()

    def test_it_is_nobody_elses_to_read(self, place: Path) -> None:
        StateLock(str(place / "lock")).close()

        assert _mode(place / "lock") == 0o600


class TestSocketFile:
    def test_it_listens_where_only_we_can_enter(self, place: Path) -> None:
        file = SocketFile(str(place / "run" / "daemon.sock"))
        with file.bind(), socket.socket(socket.AF_UNIX) as client:
            client.connect(file.path)

            assert (_mode(place / "run"), _mode(place / "run" / "daemon.sock")) == (0o700, 0o600)
            assert file.is_bound()

    def test_it_takes_the_place_of_a_dead_ones(self, place: Path) -> None:
        path = str(place / "daemon.sock")
        SocketFile(path).bind().close()

        with SocketFile(path).bind(), socket.socket(socket.AF_UNIX) as client:
            client.connect(path)

    @pytest.mark.parametrize("mode", [0o711, 0o755, 0o770, 0o777])
    def test_a_directory_that_others_can_enter_is_not_used(self, place: Path, mode: int) -> None:
        place.chmod(mode)
        with pytest.raises(EndpointUnsafe):
            SocketFile(str(place / "daemon.sock")).bind()

        assert list(place.iterdir()) == []

    def test_a_directory_that_is_a_link_is_not_used(self, place: Path) -> None:
        (place / "real").mkdir(mode=0o700)
        (place / "link").symlink_to(place / "real")
        with pytest.raises(EndpointUnsafe):
            SocketFile(str(place / "link" / "daemon.sock")).bind()

    def test_a_file_that_is_no_socket_is_left_alone(self, place: Path) -> None:
        path = place / "daemon.sock"
        path.write_text("precious")
        with pytest.raises(OSError, match="in use"):
            SocketFile(str(path)).bind()

        assert path.read_text() == "precious"

    def test_a_path_that_fits_no_socket_is_refused(self, place: Path) -> None:
        with pytest.raises(SocketPathTooLong):
            SocketFile(str(place / ("x" * 200) / "daemon.sock")).bind()

        assert list(place.iterdir()) == []

    def test_it_notices_that_the_path_leads_elsewhere(self, place: Path) -> None:
        file = SocketFile(str(place / "daemon.sock"))
        with file.bind():
            os.unlink(file.path)
            assert not file.is_bound()
            with SocketFile(file.path).bind():
                assert not file.is_bound()

    def test_it_removes_its_own_and_never_a_successors(self, place: Path) -> None:
        path = str(place / "daemon.sock")
        first, second = SocketFile(path), SocketFile(path)
        with first.bind(), second.bind():
            first.unlink()
            assert second.is_bound()
            second.unlink()
            assert not os.path.lexists(path)
