"""The units' text, and what the user's systemd is asked; what it makes of it is in tests/e2e/test_service.py."""

import configparser
import shlex
from pathlib import Path

import pytest

from claudectl.service.port import ServiceTrouble, Setup
from claudectl.service.systemd import Systemd
from claudectl.service.templates import unit_text
from claudectl_protocol.services import DAEMON_UNIT, KEEPER_UNIT
from tests.fakes.services import FakeSystemctl

SETUP = Setup(python="/venv/bin/python", state="/state/claudectl", environment={"XDG_STATE_HOME": "/state"})


def parsed(unit: str, setup: Setup = SETUP) -> configparser.RawConfigParser:
    """A unit, as far as it has no key twice."""
    parser = configparser.RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(unit_text(unit, setup))
    return parser


def test_the_keeper_is_tied_to_nothing_and_ends_nobody() -> None:
    unit = parsed(KEEPER_UNIT)
    assert set(unit["Unit"]) == {
        "Description",
        "StartLimitIntervalSec",
        "X-Claudectl-State",
        "X-Claudectl-Socket",
    }
    service = dict(unit["Service"])
    assert service["ExecStart"] == '"/venv/bin/python" -P -m claudectld keeper'
    assert service["Type"] == "notify"
    assert service["KillMode"] == "process"
    assert service["OOMPolicy"] == "continue"
    assert service["Restart"] == "on-failure"
    assert service["TimeoutStopSec"] == "15s"
    assert int(service["LimitNOFILE"]) >= 1 << 19
    assert unit["Unit"]["StartLimitIntervalSec"] == "0"


def test_the_daemon_comes_after_the_keeper_is_watched_and_stays_away_when_it_left() -> None:
    unit = parsed(DAEMON_UNIT)
    assert unit["Unit"]["Wants"] == unit["Unit"]["After"] == KEEPER_UNIT
    assert not {"Requires", "BindsTo", "PartOf"} & set(unit["Unit"])
    assert unit["Unit"]["StartLimitIntervalSec"] == "0"
    service = dict(unit["Service"])
    assert service["ExecStart"] == '"/venv/bin/python" -P -m claudectld run'
    assert (service["Type"], service["Restart"], service["WatchdogSec"]) == ("notify", "on-failure", "30s")
    assert "KillMode" not in service
    assert unit["Install"]["WantedBy"] == "default.target"


@pytest.mark.parametrize("unit", [KEEPER_UNIT, DAEMON_UNIT])
def test_nothing_of_a_template_is_left(unit: str) -> None:
    for environment in ({}, {"A": "1", "B": "2"}):
        text = unit_text(unit, SETUP._replace(environment=environment))
        assert "@" not in text
        assert text.count("Environment=") == len(environment)


def test_what_means_something_to_systemd_is_quoted() -> None:
    strange = '/a b/%h/"x"/\\y'
    text = unit_text(DAEMON_UNIT, Setup(python=strange, state="/s", environment={"XDG_STATE_HOME": strange}))
    lines = dict(line.split("=", 1) for line in text.splitlines() if "=" in line and line[0] != "#")
    # For these characters a shell's quoting is systemd's.
    assert shlex.split(lines["ExecStart"])[0].replace("%%", "%") == strange
    assert shlex.split(lines["Environment"]) == [f"XDG_STATE_HOME={strange}".replace("%", "%%")]


@pytest.mark.parametrize("state", ["/a\nExecStartPre=/bin/evil", "/a\\", "/a\x1b[1m"])
def test_a_path_that_would_be_more_than_a_value_is_refused(state: str) -> None:
    with pytest.raises(ServiceTrouble, match="cannot stand in a unit file"):
        unit_text(DAEMON_UNIT, SETUP._replace(state=state))


def test_the_units_go_where_the_manager_looks(tmp_path: Path) -> None:
    chosen, usual = tmp_path / "xdg" / "systemd" / "user", tmp_path / "home" / "systemd" / "user"
    services = Systemd(SETUP.state, [str(chosen), str(usual)], "", FakeSystemctl([usual]))

    services.install(SETUP)

    assert {Path(path).parent for path in services.files()} == {usual}
    assert not chosen.exists()


def test_a_manager_that_looks_nowhere_near_is_a_sentence(tmp_path: Path) -> None:
    services = Systemd(SETUP.state, [str(tmp_path / "a")], "", FakeSystemctl([tmp_path / "b"]))
    with pytest.raises(ServiceTrouble, match="your service manager does not read"):
        services.install(SETUP)
    assert list(tmp_path.iterdir()) == []


def test_the_daemon_is_enabled_and_the_manager_reads_again_only_when_something_changed(
    tmp_path: Path,
) -> None:
    systemctl = FakeSystemctl([tmp_path])
    services = Systemd(SETUP.state, [str(tmp_path)], "", systemctl)
    services.install(SETUP)
    services.install(SETUP)

    assert systemctl.enabled == {DAEMON_UNIT}
    assert systemctl.asked.count(["daemon-reload"]) == 1


def test_lingering_is_a_file(tmp_path: Path) -> None:
    services = Systemd(SETUP.state, [str(tmp_path)], str(tmp_path / "linger"), FakeSystemctl([tmp_path]))
    assert services.facts().lingering is False
    (tmp_path / "linger").touch()
    assert services.facts().lingering is True


def test_the_link_that_enabled_it_goes_too_when_nobody_answers(tmp_path: Path) -> None:
    Systemd(SETUP.state, [str(tmp_path)], "", FakeSystemctl([tmp_path])).install(SETUP)
    wanted = tmp_path / "default.target.wants"
    wanted.mkdir()
    (wanted / DAEMON_UNIT).symlink_to(tmp_path / DAEMON_UNIT)

    Systemd(SETUP.state, [str(tmp_path)], "", FakeSystemctl([tmp_path], answers=False)).uninstall()

    assert list(wanted.iterdir()) == []
