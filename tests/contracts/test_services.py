"""What services must be under every service manager; the managers are fakes, the files are real."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import pytest

from claudectl.exit_codes import ExitCode
from claudectl.service.launchd import Launchd
from claudectl.service.port import Services, ServiceTrouble, Setup
from claudectl.service.systemd import Systemd
from tests.fakes.services import FakeLaunchctl, FakeSystemctl

DIRECTORY = {Systemd: Path(".config/systemd/user"), Launchd: Path("Library/LaunchAgents")}


class World(Protocol):
    """Services, and a hand on their manager."""

    directory: Path
    """Where the files go."""

    def services(self, state: str, *, answers: bool = True) -> Services:
        """The services of a state directory, under a manager that answers or does not."""
        ...

    def pid(self) -> int | None:
        """The daemon that the manager keeps."""
        ...


class SystemdWorld:
    """Systemd over a fake systemctl."""

    def __init__(self, home: Path) -> None:
        self.directory = home / DIRECTORY[Systemd]
        self.systemctl = FakeSystemctl([self.directory])

    def services(self, state: str, *, answers: bool = True) -> Services:
        """As World."""
        run = self.systemctl if answers else FakeSystemctl([self.directory], answers=False)
        return Systemd(state, [str(self.directory)], str(self.directory / "linger"), run)

    def pid(self) -> int | None:
        """As World."""
        return self.systemctl.running.get("claudectld.service")


class LaunchdWorld:
    """Launchd over a fake launchctl."""

    def __init__(self, home: Path) -> None:
        self.directory = home / DIRECTORY[Launchd]
        self.launchctl = FakeLaunchctl()

    def services(self, state: str, *, answers: bool = True) -> Services:
        """As World."""
        run = self.launchctl if answers else FakeLaunchctl(answers=False)
        return Launchd(state, str(self.directory), 501, run, lambda _: None)

    def pid(self) -> int | None:
        """As World."""
        return self.launchctl.jobs.get("claudectl.daemon")


@pytest.fixture(params=[SystemdWorld, LaunchdWorld])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    """Each manager in turn."""
    make: Callable[[Path], World] = request.param
    return make(tmp_path / "home")


@pytest.fixture
def setup(tmp_path: Path) -> Setup:
    """What is installed."""
    state = tmp_path / "state" / "claudectl"
    return Setup(python="/venv/bin/python", state=str(state), environment={"PYTHONPATH": "/src"})


def test_nothing_is_there_before_the_install(world: World, setup: Setup) -> None:
    services = world.services(setup.state)
    assert services.files() == ()
    services.uninstall()
    assert world.pid() is None


def test_an_install_writes_both_files_and_starts_nothing(world: World, setup: Setup) -> None:
    services = world.services(setup.state)

    assert services.install(setup) is True

    assert len(services.files()) == 2
    assert {Path(path).parent for path in services.files()} == {world.directory}
    assert all(Path(path).is_file() for path in services.files())
    assert world.pid() is None


def test_the_same_install_again_changes_nothing_and_another_does(world: World, setup: Setup) -> None:
    services = world.services(setup.state)
    services.install(setup)
    before = {path: Path(path).stat().st_ino for path in services.files()}

    assert services.install(setup) is False
    assert {path: Path(path).stat().st_ino for path in services.files()} == before
    assert services.install(setup._replace(python="/other/python")) is True
    assert all("/other/python" in Path(path).read_text() for path in services.files())


def test_started_it_runs_stopped_it_does_not_and_it_starts_again(world: World, setup: Setup) -> None:
    services = world.services(setup.state)
    services.install(setup)
    assert services.facts().daemon_pid is None

    services.start()
    first = world.pid()
    services.start()
    assert (services.facts().daemon_pid, world.pid()) == (first, first)
    assert first is not None

    services.stop()
    assert (services.facts().daemon_pid, world.pid()) == (None, None)
    services.stop()
    services.start()
    assert services.facts().daemon_pid not in (None, first)


def test_uninstalled_nothing_runs_and_no_file_is_left(world: World, setup: Setup) -> None:
    services = world.services(setup.state)
    services.install(setup)
    services.start()

    services.uninstall()

    assert services.files() == ()
    assert list(world.directory.iterdir()) == []
    assert world.pid() is None
    services.uninstall()


def test_services_of_another_state_directory_are_left_alone(world: World, setup: Setup) -> None:
    world.services(setup.state).install(setup)
    world.services(setup.state).start()
    pid = world.pid()
    other = setup._replace(state="/elsewhere/claudectl")
    services = world.services(other.state)

    assert services.files() == ()
    services.uninstall()
    with pytest.raises(ServiceTrouble, match=f"is for the state directory {setup.state}") as caught:
        services.install(other)

    assert caught.value.code is ExitCode.REFUSED
    assert len(world.services(setup.state).files()) == 2
    assert world.pid() == pid


def test_a_file_that_is_not_ours_is_never_replaced(world: World, setup: Setup) -> None:
    services = world.services(setup.state)
    services.install(setup)
    theirs = Path(services.files()[0])
    theirs.write_text("[Service]\nExecStart=/bin/true\n")

    with pytest.raises(ServiceTrouble, match="is not claudectl's"):
        services.install(setup)

    services.uninstall()
    assert theirs.read_text() == "[Service]\nExecStart=/bin/true\n"


def test_without_a_manager_an_install_is_a_sentence_and_writes_nothing(world: World, setup: Setup) -> None:
    services = world.services(setup.state, answers=False)

    with pytest.raises(
        ServiceTrouble, match="works without its service, and 'claudectl doctor' says"
    ) as caught:
        services.install(setup)

    assert caught.value.code is ExitCode.FAILED
    assert not world.directory.exists()


def test_without_a_manager_an_uninstall_still_removes_the_files(world: World, setup: Setup) -> None:
    world.services(setup.state).install(setup)

    world.services(setup.state, answers=False).uninstall()

    assert list(world.directory.iterdir()) == []


def test_a_directory_that_cannot_be_written_is_a_sentence(world: World, setup: Setup) -> None:
    world.directory.parent.mkdir(parents=True)
    world.directory.write_text("a file")

    with pytest.raises(ServiceTrouble, match="cannot be written"):
        world.services(setup.state).install(setup)
