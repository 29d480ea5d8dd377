"""The copy that a keeper runs from, and starting one from the daemon."""

import os
import shutil
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from claudectld.keeper import copy
from claudectld.keeper.client import KeeperClient
from claudectld.keeper.start import start_keeper
from claudectld.ports import KeeperGone
from tests.claudectld.keeper.harness import Home, parent, wait_gone

pytestmark = pytest.mark.anyio


def environ(pid: int) -> bytes:
    return Path(f"/proc/{pid}/environ").read_bytes()


async def test_a_started_keeper_serves_is_nobodys_child_and_starting_again_changes_nothing(
    home: Home,
) -> None:
    await start_keeper(home.state, home.socket)
    async with KeeperClient(home.socket) as client:
        keeper = (await client.hello()).keeper
        await start_keeper(home.state, home.socket)
        assert (await client.hello()).keeper == keeper
    assert parent(keeper.pid) != os.getpid()
    os.kill(keeper.pid, signal.SIGTERM)
    wait_gone(keeper.pid)


async def test_a_keeper_started_inside_a_session_does_not_carry_its_marker(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLAUDECTL_RUN", "some-run")
    monkeypatch.setenv("SECRET", "value")
    await start_keeper(home.state, home.socket)
    async with KeeperClient(home.socket) as client:
        keeper = (await client.hello()).keeper
    environment = environ(keeper.pid)
    os.kill(keeper.pid, signal.SIGTERM)
    wait_gone(keeper.pid)
    assert b"CLAUDECTL_RUN" not in environment
    assert b"SECRET" not in environment


SYSTEMCTL = """#!/bin/sh
# Stands in for systemctl: what it was asked for is in `asked`, and by which call it obeys is in `obeys_at`.
echo "$*" >> {home}/asked
[ -e {home}/refuses ] && {{ echo 'Job failed.' >&2; exit 1; }}
[ $(wc -l < {home}/asked) -ge $(cat {home}/obeys_at) ] || exit 0
exec {keeper} >/dev/null 2>&1
"""


@pytest.fixture
def service(home: Home, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A home where the keeper's unit is installed, and a service manager that starts keepers when it is asked."""
    install_unit(home, str(home.state))
    (home.path / "systemd").mkdir()
    (home.path / "systemd" / "private").touch()
    (home.path / "obeys_at").write_text("1")
    program = home.path / "bin" / "systemctl"
    program.parent.mkdir()
    program.write_text(SYSTEMCTL.format(home=home.path, keeper=" ".join(home.command())))
    program.chmod(0o700)
    # No other program is there: a keeper that is not started by systemctl is started by the daemon itself.
    monkeypatch.setenv("PATH", f"{program.parent}:/bin")
    monkeypatch.setattr("claudectld.keeper.start._scope", lambda: ())
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(home.path))
    monkeypatch.setenv("HOME", str(home.path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    return home


def install_unit(home: Home, state: str) -> None:
    """The keeper's unit, for a state directory."""
    unit = home.path / ".config" / "systemd" / "user" / "claudectl-keeper.service"
    unit.parent.mkdir(parents=True, exist_ok=True)
    unit.write_text(f"[Unit]\nX-Claudectl-State={state}\n")


def asked(home: Home) -> list[str]:
    """What systemctl was asked for."""
    path = home.path / "asked"
    return path.read_text().splitlines() if path.exists() else []


async def check_and_end(home: Home) -> None:
    """A keeper serves, and ends."""
    async with KeeperClient(home.socket) as client:
        keeper = (await client.hello()).keeper
    os.kill(keeper.pid, signal.SIGTERM)
    wait_gone(keeper.pid)


async def test_where_its_service_is_installed_the_service_manager_starts_it(service: Home) -> None:
    await start_keeper(service.state, service.socket)
    assert asked(service) == ["--user start claudectl-keeper.service"]
    await check_and_end(service)


async def test_a_service_that_counts_as_started_while_its_keeper_leaves_is_asked_again(service: Home) -> None:
    (service.path / "obeys_at").write_text("3")
    await start_keeper(service.state, service.socket)
    assert len(asked(service)) == 3
    await check_and_end(service)


async def test_where_the_service_does_not_start_the_keeper_is_started_without_it(service: Home) -> None:
    (service.path / "refuses").touch()
    await start_keeper(service.state, service.socket)
    assert len(asked(service)) == 1
    await check_and_end(service)


async def test_a_service_for_another_state_directory_is_left_alone(service: Home) -> None:
    install_unit(service, "/another/claudectl")
    await start_keeper(service.state, service.socket)
    assert asked(service) == []
    await check_and_end(service)


async def test_where_no_service_manager_runs_none_is_asked(service: Home) -> None:
    (service.path / "systemd" / "private").unlink()
    await start_keeper(service.state, service.socket)
    assert asked(service) == []
    await check_and_end(service)


async def test_a_keeper_that_cannot_start_is_a_sentence(home: Home) -> None:
    home.socket.parent.mkdir()
    home.socket.parent.chmod(0o755)
    with pytest.raises(KeeperGone, match=r"did not start: the socket directory .* is not ours alone"):
        await start_keeper(home.state, home.socket)


async def test_a_state_directory_that_cannot_be_made_is_a_sentence(home: Home) -> None:
    (home.path / "file").touch()
    with pytest.raises(KeeperGone, match="cannot be copied"):
        await start_keeper(home.path / "file" / "state", home.socket)


async def test_nobody_listening_is_keeper_gone(home: Home) -> None:
    with pytest.raises(KeeperGone, match="no keeper at"):
        async with KeeperClient(home.socket):
            pass


def test_the_same_modules_are_copied_once_for_the_owner_only(tmp_path: Path) -> None:
    first = Path(copy.install(str(tmp_path / "state")))
    inodes = {path: path.stat().st_ino for path in first.rglob("*")}
    assert copy.install(str(tmp_path / "state")) == str(first)
    assert {path: path.stat().st_ino for path in first.rglob("*")} == inodes
    assert os.listdir(first.parent) == [first.name]
    for path in (tmp_path / "state", first.parent, first, *first.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600)


def test_a_damaged_copy_is_replaced_whole(tmp_path: Path) -> None:
    first = Path(copy.install(str(tmp_path)))
    whole = (first / "keeper" / "main.py").read_bytes()
    (first / "keeper" / "main.py").write_bytes(whole[:100])
    (first / "keeper" / "run.py").unlink()
    assert copy.install(str(tmp_path)) == str(first)
    assert (first / "keeper" / "main.py").read_bytes() == whole
    assert (first / "keeper" / "run.py").exists()
    assert os.listdir(first.parent) == [first.name]


def test_a_copy_needs_neither_the_sources_nor_the_environment_they_are_in(home: Home) -> None:
    """The sources are copied away, installed from there, and deleted before the keeper starts."""
    package = home.path / "site" / "claudectld"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    shutil.copytree(Path(copy.__file__).parent, package / "keeper")
    script = "import sys; from claudectld.keeper import copy; print(copy.install(sys.argv[1]))"
    state = home.path / "other"
    done = subprocess.run(
        [sys.executable, "-c", script, str(state)],
        env={"PYTHONPATH": str(home.path / "site")},
        capture_output=True,
        text=True,
        cwd="/",
    )
    shutil.rmtree(home.path / "site")
    assert done.stdout.strip().startswith(str(state)), done.stderr
    started = home.start()
    assert started.poll() is None
    assert copy.install(str(state)) == done.stdout.strip()
