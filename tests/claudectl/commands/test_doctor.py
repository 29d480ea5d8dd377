"""`claudectl doctor`: its exit code and its document."""

import json
import os
from pathlib import Path

import pytest
from msgspec.structs import replace

from claudectl_protocol.calls import Diagnose, Status
from tests.claudectl.conftest import Claudectl, Daemon
from tests.claudectl.doctor.samples import DIAGNOSIS, STATUS


@pytest.fixture(autouse=True)
def at_home(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of this machine's own is on PATH or in the configuration."""
    monkeypatch.setenv("PATH", str(directory))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(directory / "config"))


def test_exits_with_1_only_when_something_is_wrong(
    daemon: Daemon, claudectl: Claudectl, socket_path: str
) -> None:
    daemon({Status: STATUS, Diagnose: replace(DIAGNOSIS, projects=())})
    os.chmod(socket_path, 0o666)

    wrong = claudectl("doctor")
    os.chmod(socket_path, 0o600)
    weaker = claudectl("doctor")

    assert (wrong.code, wrong.err) == (1, "")
    assert "✗ wrong   socket " in wrong.out
    assert f"; fix: chmod go-rwx {socket_path}\n" in wrong.out
    assert (weaker.code, weaker.err) == (0, "")
    assert "weaker" in weaker.out
    assert "✗" not in weaker.out
    assert "\x1b" not in weaker.out


def test_the_document_has_every_finding_with_its_grade(daemon: Daemon, claudectl: Claudectl) -> None:
    daemon({Status: STATUS, Diagnose: replace(DIAGNOSIS, store_problems=("/gone is missing",))})

    document = json.loads(claudectl("doctor", "--json").out)

    assert document["schema"] == 1
    found = {one["check"]: one for one in document["findings"]}
    assert found["session files"] == {
        "check": "session files",
        "grade": "weaker",
        "found": "/gone is missing",
        "fix": "",
    }
    assert found["daemon"]["grade"] == "weaker"
    assert found["Claude Code"]["grade"] == "ok"


def test_a_daemon_is_never_started(claudectl: Claudectl, directory: Path) -> None:
    claudectl("doctor")

    assert not (directory / "state").exists()
