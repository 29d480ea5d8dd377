"""What the service manager is told, by a socket that listens as it does."""

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from claudectld.keeper.notify import notify
from claudectld.notify import STATUS_S, Notifier

pytestmark = pytest.mark.anyio
PATIENCE_S = 20.0


class Manager:
    """A service manager's ear."""

    def __init__(self, name: str | bytes) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(name)
        self.socket.settimeout(PATIENCE_S)

    def heard(self) -> list[str]:
        """The lines of the next message."""
        return self.socket.recv(4096).decode().split("\n")


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    """A manager at `tmp_path / "n"`."""
    made = Manager(os.path.relpath(tmp_path / "n"))
    with made.socket:
        yield made


@pytest.fixture
def address(tmp_path: Path) -> str:
    """Where it listens."""
    return str(tmp_path / "n")


def test_a_message_is_lines_and_each_word_is_one(manager: Manager, address: str) -> None:
    notify(address, "READY=1", "STATUS=two\nREADY=1")
    assert manager.heard() == ["READY=1", "STATUS=two READY=1"]


def test_an_abstract_socket_is_reached() -> None:
    name = f"claudectl-test-{os.getpid()}"
    manager = Manager(b"\0" + name.encode())
    with manager.socket:
        notify(f"@{name}", "READY=1")
        assert manager.heard() == ["READY=1"]


@pytest.mark.parametrize("address", ["", "vsock:2:1234", "relative", "/nobody/listens", "/" + "x" * 200])
def test_where_nobody_listens_nothing_happens(address: str) -> None:
    notify(address, "READY=1")


def test_a_manager_that_hangs_makes_nobody_hang(manager: Manager, address: str) -> None:
    for _ in range(5000):
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as full:
                full.settimeout(0.0)
                full.sendto(b"x", address)
        except BlockingIOError:
            break
    notify(address, "READY=1")
    assert manager.heard() == ["x"]


def test_no_child_is_told_of_the_manager() -> None:
    environment = {
        "NOTIFY_SOCKET": "/n",
        "WATCHDOG_USEC": "1",
        "WATCHDOG_PID": str(os.getpid()),
        "HOME": "/h",
    }
    Notifier.take(environment)
    assert environment == {"HOME": "/h"}


def test_each_stage_of_a_life_is_said(manager: Manager, address: str) -> None:
    notifier = Notifier(address)
    notifier.ready()
    notifier.status("well")
    notifier.leaving()
    assert [manager.heard() for _ in range(3)] == [
        ["READY=1"],
        ["STATUS=well"],
        ["STOPPING=1", "STATUS=leaving"],
    ]


class Enough(Exception):
    """It has waited often enough."""


async def paces(notifier: Notifier, monkeypatch: pytest.MonkeyPatch, count: int) -> list[float]:
    """How long it waits after each of its first messages."""
    waited: list[float] = []

    async def sleep(delay_s: float) -> None:
        waited.append(delay_s)
        if len(waited) == count:
            raise Enough

    with monkeypatch.context() as patch:
        patch.setattr("claudectld.notify.anyio.sleep", sleep)
        with pytest.raises(Enough):
            await notifier.keep_telling(state_of(count))
    return waited


def state_of(count: int) -> Callable[[], str]:
    """A state that is another one each time."""
    states = iter(range(count + 1))
    return lambda: f"state {next(states)}"


async def test_a_watchdog_is_fed_twice_as_often_as_it_asks_with_the_state(
    manager: Manager, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    notifier = Notifier.take({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "30000000"})
    assert await paces(notifier, monkeypatch, 2) == [15.0, 15.0]
    assert [manager.heard() for _ in range(2)] == [
        ["WATCHDOG=1", "STATUS=state 0"],
        ["WATCHDOG=1", "STATUS=state 1"],
    ]


@pytest.mark.parametrize(
    "watchdog", [{}, {"WATCHDOG_USEC": "0"}, {"WATCHDOG_USEC": "9", "WATCHDOG_PID": "1"}]
)
async def test_without_a_watchdog_of_ours_only_the_state_is_told(
    manager: Manager, address: str, monkeypatch: pytest.MonkeyPatch, watchdog: dict[str, str]
) -> None:
    notifier = Notifier.take({"NOTIFY_SOCKET": address, **watchdog})
    assert await paces(notifier, monkeypatch, 1) == [STATUS_S]
    assert manager.heard() == ["STATUS=state 0"]


async def test_without_a_manager_nobody_looks_at_the_state() -> None:
    def state() -> str:
        raise AssertionError("looked at")

    await Notifier("").keep_telling(state)
