"""What a service is made of, and the commands of this machine's service manager."""

import os
import pwd
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from claudectl.service.local import command_runner, local_services, local_setup
from claudectl.service.port import Said, ServiceTrouble
from claudectl_protocol.endpoint import DAEMON_SOCKET, socket_directory

HOME = pwd.getpwuid(os.getuid()).pw_dir
STATE = "/state/claudectl"
USUAL = os.path.join(socket_directory(os.getuid(), STATE), DAEMON_SOCKET)


@pytest.mark.parametrize(
    ("environment", "socket", "kept"),
    [
        ({"HOME": HOME, "PATH": "/bin", "CLAUDECTL_SOCKET": USUAL, "XDG_RUNTIME_DIR": "/r"}, USUAL, {}),
        ({}, USUAL, {}),
        ({"HOME": "/other"}, USUAL, {"HOME": "/other"}),
        ({"XDG_STATE_HOME": "/s", "XDG_CONFIG_HOME": ""}, USUAL, {"XDG_STATE_HOME": "/s"}),
        ({"XDG_CONFIG_HOME": "/c"}, USUAL, {"XDG_CONFIG_HOME": "/c"}),
        ({}, "/run/other.sock", {"CLAUDECTL_SOCKET": "/run/other.sock"}),
        ({"PYTHONPATH": "/a:b"}, USUAL, {"PYTHONPATH": f"/a:{os.path.abspath('b')}"}),
    ],
)
def test_a_service_is_told_only_what_it_would_not_find_out_by_itself(
    environment: Mapping[str, str], socket: str, kept: Mapping[str, str]
) -> None:
    setup = local_setup(STATE, socket, environment)
    assert (setup.python, setup.state) == (sys.executable, STATE)
    assert setup.environment == kept


def script(path: Path, text: str) -> None:
    """A program."""
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o700)


@pytest.mark.skipif(sys.platform == "darwin", reason="there are no units there")
@pytest.mark.parametrize(
    ("text", "why"),
    [
        (None, "systemctl: No such file or directory"),
        ("echo 'Failed to connect to bus' >&2; echo more >&2; exit 1", "Failed to connect to bus"),
        ("exit 3", "exit code 3"),
    ],
)
def test_a_manager_that_is_missing_or_refuses_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None, why: str
) -> None:
    if text is not None:
        script(tmp_path / "systemctl", text)
    environment = {"HOME": str(tmp_path), "PATH": str(tmp_path)}
    monkeypatch.setenv("PATH", str(tmp_path))

    services = local_services(STATE, environment)
    with pytest.raises(ServiceTrouble) as caught:
        services.install(local_setup(STATE, USUAL, environment))

    assert f"no service manager of yours answers ({why})" in caught.value.why


def test_a_manager_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script(tmp_path / "systemctl", "exec sleep 60")
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    run = command_runner({"HOME": str(tmp_path), "PATH": os.environ["PATH"]})

    assert run(["systemctl"], 0.2) == Said(124, "", "systemctl has not answered for 0.2 s")
