"""What people may set, and where everything lies."""

import os
from pathlib import Path

import pytest

from claudectl_protocol.settings import Config, DaemonSection
from claudectld import config


def test_without_a_file_the_defaults_hold(tmp_path: Path) -> None:
    assert config.read(str(tmp_path)) == (Config(), "")


def test_what_is_set_is_taken_and_the_rest_is_default(tmp_path: Path) -> None:
    (tmp_path / "claudectld.toml").write_text("[records]\nlimit_mib = 8\n")

    chosen, notice = config.read(str(tmp_path))

    assert chosen.records.limit_mib == 8
    assert chosen.daemon == DaemonSection()
    assert notice == ""


@pytest.mark.parametrize(
    "content",
    [
        b"[records",
        b"\xff\xfe",
        b"[records]\nlimit_mib = 'much'\n",
        b"[recrods]\nlimit_mib = 8\n",
        b"[records]\nlimit = 8\n",
        b"[records]\nlimit_mib = 0\n",
        b"[daemon]\nsync_s = 0\n",
        b"[daemon]\non_stop = 'maybe'\n",
    ],
)
def test_a_file_that_makes_no_sense_is_said_and_not_used(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "claudectld.toml").write_bytes(content)

    chosen, notice = config.read(str(tmp_path))

    assert chosen == Config()
    assert notice.startswith(f"{tmp_path}/claudectld.toml is not used: ")


def test_the_keeper_listens_beside_the_daemon(tmp_path: Path) -> None:
    env = {"HOME": str(tmp_path), "CLAUDECTL_SOCKET": "/somewhere/else.sock"}

    places = config.places(env, os.geteuid())

    assert places.socket == "/somewhere/else.sock"
    assert places.keeper_socket == "/somewhere/keeper.sock"
    assert places.state == str(tmp_path / ".local" / "state" / "claudectl")


def test_clients_look_at_the_chosen_place_and_at_the_usual_one(tmp_path: Path) -> None:
    env = {"HOME": str(tmp_path)}

    usual = config.places(env, os.geteuid())
    chosen = config.places(env, os.geteuid(), "/somewhere/else.sock")

    assert usual.socket_paths() == (usual.socket,)
    assert chosen.socket_paths() == ("/somewhere/else.sock", usual.socket)
