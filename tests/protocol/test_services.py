"""Which unit file is for which state directory."""

import os
from pathlib import Path

import pytest

from claudectl_protocol.services import (
    DAEMON_UNIT,
    STATE_KEY,
    installed_unit,
    run_directory,
    unit_directories,
    unit_value,
)

UID = os.getuid()


def install(directory: Path, state: str) -> Path:
    """A unit file for a state directory."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / DAEMON_UNIT
    path.write_text(f"# ours\n[Unit]\n{STATE_KEY}={state}\n[Service]\n")
    return path


def test_units_are_looked_for_where_a_shell_and_where_the_manager_would(tmp_path: Path) -> None:
    home = str(tmp_path)
    usual = os.path.join(home, ".config", "systemd", "user")
    assert unit_directories({"HOME": home}, UID) == (usual,)
    assert unit_directories({"HOME": home, "XDG_CONFIG_HOME": "/x"}, UID) == ("/x/systemd/user", usual)


@pytest.mark.parametrize("chosen", [".config", "elsewhere"])
def test_a_unit_is_found_in_either_place(tmp_path: Path, chosen: str) -> None:
    env = {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path / "elsewhere")}
    path = install(tmp_path / chosen / "systemd" / "user", "/s/claudectl")
    assert installed_unit(DAEMON_UNIT, "/s/claudectl", env, UID) == str(path)


def test_a_unit_for_another_state_directory_is_not_ours(tmp_path: Path) -> None:
    env = {"HOME": str(tmp_path)}
    install(tmp_path / ".config" / "systemd" / "user", "/other/claudectl")
    assert installed_unit(DAEMON_UNIT, "/s/claudectl", env, UID) is None


def test_the_same_state_directory_by_another_name_is_ours(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "link").symlink_to("state")
    env = {"HOME": str(tmp_path)}
    path = install(tmp_path / ".config" / "systemd" / "user", str(tmp_path / "link"))
    assert installed_unit(DAEMON_UNIT, str(tmp_path / "state"), env, UID) == str(path)


def test_a_unit_that_does_not_say_is_nobodys(tmp_path: Path) -> None:
    path = install(tmp_path, "/s")
    path.write_text("[Service]\nExecStart=/bin/true\n")
    assert unit_value(str(path), STATE_KEY) is None
    assert unit_value(str(tmp_path / "none"), STATE_KEY) is None


def test_the_run_directory_is_found_in_a_bare_environment() -> None:
    assert run_directory({}, 7) == "/run/user/7"
    assert run_directory({"XDG_RUNTIME_DIR": "/r"}, 7) == "/r"
