"""The connection: whom it trusts, how long it waits, and what it makes of other versions."""

import os
import socket
from pathlib import Path

import pytest

from claudectl.client import Client
from claudectl.transport import ConnectionLost, DaemonSilent, DaemonUnreachable, NoDaemon, peer_uid
from claudectl_protocol import faults
from claudectl_protocol.calls import Done, List, SendKeys, SessionList, Status, Target
from claudectl_protocol.connection import ClientConnection
from claudectl_protocol.faults import Rejected
from claudectl_protocol.framing import VERSION, RemoteProtocolError, VersionMismatch, preamble
from tests.claudectl.conftest import Claudectl, Daemon
from tests.claudectl.samples import ACTIVE, STATUS
from tests.fakes.daemon import FakeDaemon, Silence, Vanish


def test_a_call_brings_its_reply(daemon: Daemon, socket_path: str) -> None:
    daemon({Status: STATUS})

    with Client.connect(socket_path) as client:
        assert client.call(Status()) == STATUS
        assert client.call(Status(), timeout_s=20) == STATUS


def test_a_call_that_is_refused_raises_the_fault(daemon: Daemon, socket_path: str) -> None:
    daemon({Status: faults.Denied(why="no")})

    with Client.connect(socket_path) as client, pytest.raises(Rejected) as caught:
        client.call(Status())

    assert caught.value.fault == faults.Denied(why="no")


def test_several_calls_keep_their_order_and_their_refusals(daemon: Daemon, socket_path: str) -> None:
    daemon({List: lambda call: SessionList(sessions=(ACTIVE,)) if "/a" in str(call) else Vanish()})

    with Client.connect(socket_path) as client:
        assert client.call_each([List(cwd="/a"), List(cwd="/a")]) == [SessionList(sessions=(ACTIVE,))] * 2
        with pytest.raises(ConnectionLost):
            client.call_each([List(cwd="/b")])


def test_a_large_call_goes_through(daemon: Daemon, socket_path: str) -> None:
    fake = daemon({SendKeys: Done()})
    call = SendKeys(target=Target(text="x", cwd="/"), data=b"x" * 900_000, key="k")

    with Client.connect(socket_path) as client:
        client.call(call)

    assert fake.calls == [call]


def test_a_call_that_does_not_fit_is_refused_here(daemon: Daemon, socket_path: str) -> None:
    fake = daemon({SendKeys: Done()})

    with Client.connect(socket_path) as client, pytest.raises(Rejected) as caught:
        client.call(SendKeys(target=Target(text="x", cwd="/"), data=b"x" * 2_000_000, key="k"))

    assert isinstance(caught.value.fault, faults.InvalidArgument)
    assert fake.calls == []


def test_a_dismissal_raises_its_fault(socket_path: str) -> None:
    with (
        FakeDaemon(socket_path, {}, dismissal=faults.Denied(why="not you")),
        pytest.raises(Rejected) as caught,
        Client.connect(socket_path) as client,
    ):
        client.call(Status())

    assert caught.value.fault == faults.Denied(why="not you")


# --- whom it trusts -----------------------------------------------------------------------------------------


def test_no_socket_is_no_daemon(socket_path: str) -> None:
    with pytest.raises(NoDaemon):
        Client.connect(socket_path)


def test_no_directory_is_no_daemon(directory: Path) -> None:
    with pytest.raises(NoDaemon):
        Client.connect(str(directory / "none" / "daemon.sock"))


def test_a_socket_that_its_daemon_left_behind_is_no_daemon(socket_path: str) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(socket_path)

    with pytest.raises(NoDaemon):
        Client.connect(socket_path)


def test_a_directory_behind_a_link_is_not_trusted(daemon: Daemon, directory: Path) -> None:
    fake = daemon({Status: STATUS})
    link = directory / "link"
    link.symlink_to(directory)

    with pytest.raises(DaemonUnreachable, match=r"cannot be trusted: .*link is a symbolic link"):
        Client.connect(str(link / "daemon.sock"))
    assert fake.calls == []


@pytest.mark.parametrize("mode", [0o755, 0o770, 0o701])
def test_a_directory_that_others_may_enter_is_not_trusted(
    daemon: Daemon, directory: Path, socket_path: str, mode: int
) -> None:
    daemon({Status: STATUS})
    directory.chmod(mode)

    with pytest.raises(DaemonUnreachable, match=f"has mode {mode:04o} instead of 0700") as caught:
        Client.connect(socket_path)
    assert not isinstance(caught.value, NoDaemon)


@pytest.mark.privileged
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_a_directory_of_another_user_is_not_trusted(
    daemon: Daemon, directory: Path, socket_path: str
) -> None:
    daemon({Status: STATUS})
    os.chown(directory, 12345, 12345)

    with pytest.raises(DaemonUnreachable, match="belongs to user 12345"):
        Client.connect(socket_path)


def test_a_server_of_another_user_is_not_trusted(
    daemon: Daemon, socket_path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = daemon({Status: STATUS})
    monkeypatch.setattr("claudectl.transport.peer_uid", lambda _: os.geteuid() + 1)

    with pytest.raises(DaemonUnreachable, match="is served by user"):
        Client.connect(socket_path)
    assert fake.calls == []


def test_the_peer_of_a_socket_is_known_by_its_user() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX)
    with ours, theirs:
        assert peer_uid(ours) == os.geteuid()


def test_a_path_that_is_too_long_is_told(directory: Path) -> None:
    with pytest.raises(DaemonUnreachable, match="longer than"):
        Client.connect(str(directory / ("x" * 200)))


# --- how long it waits --------------------------------------------------------------------------------------


def test_a_daemon_that_says_nothing_is_given_up(socket_path: str) -> None:
    with (
        FakeDaemon(socket_path, {}, mute=True),
        pytest.raises(DaemonSilent, match=r"did not answer within 0\.05 s"),
    ):
        Client.connect(socket_path, timeout_s=0.05)


def test_a_call_with_a_limit_is_given_up(daemon: Daemon, socket_path: str) -> None:
    daemon({Status: Silence()})

    with Client.connect(socket_path) as client, pytest.raises(DaemonSilent, match=r"within 0\.05 s"):
        client.call(Status(), timeout_s=0.05)


def test_a_full_backlog_is_waited_for_and_then_given_up(socket_path: str) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(socket_path)
        listener.listen(0)
        with socket.socket(socket.AF_UNIX) as first:
            first.connect(socket_path)

            with pytest.raises(DaemonSilent):
                Client.connect(socket_path, timeout_s=1)


# --- other versions -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "sentence"),
    [
        ((VERSION[0] - 1, 0), "the daemon is older than this claudectl"),
        ((VERSION[0] + 1, 0), "this claudectl is older than the daemon"),
    ],
)
def test_another_major_version_is_told_with_who_is_older(
    socket_path: str, claudectl: Claudectl, version: tuple[int, int], sentence: str
) -> None:
    with FakeDaemon(socket_path, {Status: STATUS}, greeting=preamble(version)) as fake:
        with pytest.raises(VersionMismatch):
            Client.connect(socket_path)
        outcome = claudectl("status")

    assert (outcome.code, outcome.out) == (70, "")
    assert outcome.err.startswith(f"claudectl: {sentence} (")
    assert fake.calls == []


def test_what_a_daemon_said_before_it_hung_up_is_read_although_nothing_can_be_sent() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX)
    theirs.sendall(preamble((VERSION[0] + 1, 0)))
    theirs.close()
    connection = ClientConnection("0", 1)
    connection.start()

    with Client(ours, connection) as client, pytest.raises(VersionMismatch):
        client.call(Status())


def test_something_else_on_the_socket_is_told(socket_path: str, claudectl: Claudectl) -> None:
    with FakeDaemon(socket_path, {}, greeting=b"SSH-2.0-OpenSSH\r\n"):
        with pytest.raises(RemoteProtocolError):
            Client.connect(socket_path)
        outcome = claudectl("status")

    assert outcome.code == 70
    assert "does not keep to the protocol" in outcome.err
