"""Gathering the facts of a home of the test's own, without a daemon."""

import os
import stat
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from claudectl.doctor.facts import Facts, Kind, Owner, Service, Unit
from claudectl.doctor.inquiry import Nobody
from claudectl.doctor.witness import Witness
from claudectl.launch import Launcher
from claudectl_protocol.calls import Diagnose, Status
from claudectl_protocol.faults import Denied, Unsupported
from tests.claudectl.conftest import Daemon
from tests.claudectl.doctor.samples import DIAGNOSIS, STATUS


class Manager:
    """A service manager that says what it is told to."""

    def service(self) -> Service:
        return Service(manager="systemd", daemon=Unit(installed=True))

    def lingering(self) -> bool | None:
        return True


def environment(home: Path, path: str = "/usr/bin:/bin") -> dict[str, str]:
    return {
        "HOME": str(home),
        "PATH": path,
        "PYTHONPATH": os.pathsep.join(os.path.abspath(entry) for entry in sys.path if entry),
    }


def facts(home: Path, env: Mapping[str, str] | None = None) -> Facts:
    given = environment(home) if env is None else env
    socket = str(home / "daemon.sock")
    state = str(home / ".local" / "state" / "claudectl")
    launcher = Launcher(socket, state, given, autostart=True, say=print)
    return Witness(launcher, given, Nobody()).facts()


def script(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    path.chmod(0o755)


def test_an_empty_home_has_nothing_yet_and_nothing_is_made_in_it(directory: Path) -> None:
    found = facts(directory)

    assert found.answer.absent
    assert found.answer.status is None
    assert found.diagnosis is not None
    assert found.diagnosis.files_soft is None
    assert found.lock_pid is None
    assert found.service.manager == ""
    assert found.config_changed_at is None
    assert [place.found for place in found.places] == [Kind.DIRECTORY, *[Kind.MISSING] * 3]
    assert found.disks[0].free_bytes > 0
    assert os.listdir(directory) == []


def test_the_daemon_is_asked_for_what_only_it_knows(daemon: Daemon, directory: Path) -> None:
    fake = daemon({Status: STATUS, Diagnose: DIAGNOSIS})

    found = facts(directory)

    assert found.answer.status == STATUS
    assert found.diagnosis == DIAGNOSIS
    asked = fake.calls[-1]
    assert isinstance(asked, Diagnose)
    assert asked.env["HOME"] == str(directory)
    assert asked.cwd == os.getcwd()


def test_an_older_daemon_is_not_needed_for_the_diagnosis(daemon: Daemon, directory: Path) -> None:
    daemon({Status: STATUS, Diagnose: Unsupported(call="diagnose")})

    found = facts(directory)

    assert found.answer.status == STATUS
    assert found.diagnosis is not None
    assert found.diagnosis.keeper_code != ""


def test_a_refusal_is_told_in_its_words(daemon: Daemon, directory: Path) -> None:
    daemon({Status: Denied(why="the caller runs inside a session")})

    found = facts(directory)

    assert found.answer.status is None
    assert not found.answer.absent
    assert "inside a session" in found.answer.trouble


def test_an_installation_without_its_daemon_is_told_of(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")

    found = facts(directory)

    assert found.diagnosis is None
    assert found.diagnosis_trouble == "it left with 1"


def test_a_module_in_the_callers_directory_is_not_run(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = directory / "claudectld"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(f"open({str(directory / 'ran')!r}, 'w')")
    monkeypatch.chdir(directory)

    found = facts(directory)

    assert found.diagnosis is not None
    assert not (directory / "ran").exists()


def test_places_are_seen_as_they_are(directory: Path) -> None:
    state = directory / ".local" / "state" / "claudectl"
    state.mkdir(parents=True)
    state.chmod(0o755)
    (state / "env").symlink_to(directory)
    (directory / "daemon.sock").touch(mode=0o644)
    directory.chmod(0o750)

    sockets, socket, state_place, secrets = facts(directory).places

    assert (sockets.found, sockets.mode) == (Kind.DIRECTORY, 0o750)
    assert "instead of 0700" in sockets.unsafe
    assert (socket.found, socket.mode) == (Kind.FILE, 0o644)
    assert (state_place.found, state_place.mode) == (Kind.DIRECTORY, 0o755)
    assert secrets.found is Kind.LINK
    assert stat.S_IMODE(os.stat(directory).st_mode) == 0o750


@pytest.mark.parametrize(
    ("content", "owner"),
    [
        ("#!{own}/python3\nfrom claudectl.__main__ import main\n", Owner.OURS),
        (
            "#!/bin/sh\n'''exec' \"{own}/python\" \"$0\" \"$@\"\n' '''\nfrom claudectl.__main__ import main\n",
            Owner.OURS,
        ),
        ("#!/elsewhere/bin/python3\nfrom claudectl.__main__ import main\n", Owner.OTHER_INSTALLATION),
        ("#!/bin/sh\necho another program\n", Owner.FOREIGN),
    ],
)
def test_whose_claudectl_is_first_on_path_is_read_and_never_run(
    directory: Path, monkeypatch: pytest.MonkeyPatch, content: str, owner: Owner
) -> None:
    own = directory / "own"
    script(own / "claudectl", "ours")
    (own / "python").symlink_to(sys.executable)
    monkeypatch.setattr(sys, "executable", str(own / "python"))
    script(directory / "first" / "claudectl", content.format(own=own))

    program = facts(directory, environment(directory, f"{directory / 'first'}:{own}:/usr/bin:/bin")).program

    assert (program.path, program.owner) == (str(directory / "first" / "claudectl"), owner)
    assert program.own_directory == str(own)


def test_a_link_to_ours_is_ours(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = directory / "own"
    script(own / "claudectl", "#!/anything\nfrom claudectl.__main__ import main\n")
    monkeypatch.setattr(sys, "executable", str(own / "python"))
    (directory / "bin").mkdir()
    (directory / "bin" / "claudectl").symlink_to(own / "claudectl")

    assert facts(directory, environment(directory, str(directory / "bin"))).program.owner is Owner.OURS


def test_no_claudectl_on_path_is_nobodys(directory: Path) -> None:
    assert facts(directory, environment(directory, str(directory))).program.owner is Owner.NOBODY


def test_the_newest_of_our_files_dates_the_clock(directory: Path) -> None:
    state = directory / ".local" / "state" / "claudectl"
    state.mkdir(parents=True)
    (state / "keeper.json").touch()
    os.utime(state / "keeper.json", (4e9, 4e9))

    clock = facts(directory).clock

    assert (clock.newest_path, clock.newest_at) == (str(state / "keeper.json"), 4e9)
    assert clock.now < 4e9


@pytest.mark.parametrize("content", ["", "x", str(os.getpid())], ids=["empty", "word", "not held"])
def test_a_lock_that_names_no_daemon_is_nobodys(directory: Path, content: str) -> None:
    locks = directory / ".local" / "state" / "claudectl" / "locks"
    locks.mkdir(parents=True)
    (locks / "daemon.lock").write_text(content)

    assert facts(directory).lock_pid is None


def test_the_managers_word_is_taken(directory: Path) -> None:
    env = environment(directory)
    launcher = Launcher(str(directory / "daemon.sock"), "/nowhere", env, autostart=True, say=print)

    found = Witness(launcher, env, Manager()).facts()

    assert found.lingering is True
    assert found.service.daemon.installed
