"""The agents' property lists against what launchd.plist(5) knows, and what launchctl is asked. Nothing of this was run
on macOS.
"""

import plistlib
from pathlib import Path

import pytest

from claudectl.service.launchd import AGENTS, ATTEMPTS, DAEMON, KEEPER, Launchd
from claudectl.service.port import ServiceTrouble, Setup
from claudectl.service.templates import agent_data
from tests.fakes.services import FakeLaunchctl

DOCUMENTED: dict[str, type | tuple[type, ...]] = {
    "Label": str,
    "Disabled": bool,
    "UserName": str,
    "GroupName": str,
    "inetdCompatibility": dict,
    "LimitLoadToHosts": list,
    "LimitLoadFromHosts": list,
    "LimitLoadToSessionType": (str, list),
    "LimitLoadToHardware": dict,
    "LimitLoadFromHardware": dict,
    "Program": str,
    "BundleProgram": str,
    "ProgramArguments": list,
    "EnableGlobbing": bool,
    "EnableTransactions": bool,
    "EnablePressuredExit": bool,
    "OnDemand": bool,
    "ServiceIPC": bool,
    "KeepAlive": (bool, dict),
    "RunAtLoad": bool,
    "RootDirectory": str,
    "WorkingDirectory": str,
    "EnvironmentVariables": dict,
    "Umask": (int, str),
    "TimeOut": int,
    "ExitTimeOut": int,
    "ThrottleInterval": int,
    "InitGroups": bool,
    "WatchPaths": list,
    "QueueDirectories": list,
    "StartOnMount": bool,
    "StartInterval": int,
    "StartCalendarInterval": (dict, list),
    "StandardInPath": str,
    "StandardOutPath": str,
    "StandardErrorPath": str,
    "Debug": bool,
    "WaitForDebugger": bool,
    "SoftResourceLimits": dict,
    "HardResourceLimits": dict,
    "Nice": int,
    "ProcessType": str,
    "AbandonProcessGroup": bool,
    "LowPriorityIO": bool,
    "LowPriorityBackgroundIO": bool,
    "MaterializeDatalessFiles": bool,
    "LaunchOnlyOnce": bool,
    "MachServices": dict,
    "Sockets": dict,
    "LaunchEvents": dict,
    "HopefullyExitsLast": bool,
    "HopefullyExitsFirst": bool,
    "SessionCreate": bool,
    "LegacyTimers": bool,
    "AssociatedBundleIdentifiers": (str, list),
}
"""The keys of launchd.plist(5), and the types of their values."""
KEEP_ALIVE = {
    "SuccessfulExit",
    "NetworkState",
    "PathState",
    "OtherJobEnabled",
    "Crashed",
    "AfterInitialDemand",
}
PROCESS_TYPES = {"Background", "Standard", "Adaptive", "Interactive"}
SETUP = Setup(python="/a & b/python", state="/Users/u/<state>/claudectl", environment={"HOME": "/Users/u"})
ENVIRONMENT = {"HOME": "/Users/u", "XDG_STATE_HOME": "/Users/u/<state>"}


def agent(name: str) -> dict[str, object]:
    """An agent's property list, filled in."""
    found: dict[str, object] = plistlib.loads(agent_data(f"{name}.plist", SETUP, ENVIRONMENT))
    return found


@pytest.mark.parametrize("name", AGENTS)
def test_every_key_is_documented_and_of_its_type(name: str) -> None:
    for key, value in agent(name).items():
        assert key in DOCUMENTED
        assert isinstance(value, DOCUMENTED[key]), key
        # In Python, but not in a property list, a truth is a number.
        assert not (isinstance(value, bool) and DOCUMENTED[key] is int), key
    keep_alive = agent(name)["KeepAlive"]
    assert isinstance(keep_alive, dict)
    assert set(keep_alive) <= KEEP_ALIVE
    assert agent(name)["ProcessType"] in PROCESS_TYPES


@pytest.mark.parametrize("name", AGENTS)
def test_an_agent_starts_at_login_is_kept_alive_only_when_it_failed_and_ends_no_session(name: str) -> None:
    found = agent(name)
    assert found["Label"] == name
    assert found["RunAtLoad"] is True
    assert found["KeepAlive"] == {"SuccessfulExit": False}
    assert found["AbandonProcessGroup"] is True
    assert found["EnvironmentVariables"] == ENVIRONMENT
    for log in ("StandardOutPath", "StandardErrorPath"):
        assert str(found[log]).startswith("/Users/u/<state>/claudectl/logs/")


def test_the_keeper_detaches_itself_and_the_daemon_does_not() -> None:
    assert agent(KEEPER)["ProgramArguments"] == [
        "/a & b/python",
        "-P",
        "-m",
        "claudectld",
        "keeper",
        "--detach",
    ]
    assert agent(DAEMON)["ProgramArguments"] == ["/a & b/python", "-P", "-m", "claudectld", "run"]


def launchd(directory: Path, launchctl: FakeLaunchctl) -> tuple[Launchd, Setup]:
    """Services in a directory, and what they are made of."""
    state = str(directory / "state" / "claudectl")
    services = Launchd(state, str(directory / "agents"), 501, launchctl, lambda _: None)
    return services, SETUP._replace(state=state)


def test_both_jobs_are_handed_over_with_what_is_on_disk(tmp_path: Path) -> None:
    launchctl = FakeLaunchctl()
    services, setup = launchd(tmp_path, launchctl)
    services.install(setup)

    services.start()

    assert set(launchctl.handed_over) == set(AGENTS)
    assert launchctl.handed_over[DAEMON] == plistlib.loads(Path(services.files()[1]).read_bytes())
    # launchd opens the logs itself.
    assert (tmp_path / "state" / "claudectl" / "logs").is_dir()


def test_a_daemon_that_left_is_kicked_and_one_that_runs_is_not_killed(tmp_path: Path) -> None:
    launchctl = FakeLaunchctl()
    services, setup = launchd(tmp_path, launchctl)
    services.install(setup)
    services.start()
    launchctl.exit(DAEMON)

    services.start()

    assert launchctl.asked[-1] == ["kickstart", f"gui/501/{DAEMON}"]
    assert launchctl.jobs[DAEMON] is not None


def test_a_changed_agent_is_taken_out_before_it_is_replaced(tmp_path: Path) -> None:
    launchctl = FakeLaunchctl()
    services, setup = launchd(tmp_path, launchctl)
    services.install(setup)
    services.start()

    services.install(setup._replace(python="/new/python"))
    services.start()

    taken = launchctl.handed_over[DAEMON]
    assert isinstance(taken, dict)
    assert taken["ProgramArguments"][0] == "/new/python"


def test_a_job_that_is_not_quite_gone_is_handed_over_when_it_is(tmp_path: Path) -> None:
    launchctl = FakeLaunchctl()
    services, setup = launchd(tmp_path, launchctl)
    services.install(setup)
    launchctl.refusals = 3

    services.start()

    assert services.facts().daemon_pid is not None


def test_what_launchd_never_takes_is_a_sentence(tmp_path: Path) -> None:
    launchctl = FakeLaunchctl()
    services, setup = launchd(tmp_path, launchctl)
    services.install(setup)
    launchctl.refusals = ATTEMPTS

    with pytest.raises(ServiceTrouble, match=r"launchd does not take .*: Bootstrap failed: 5"):
        services.start()
