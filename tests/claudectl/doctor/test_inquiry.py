"""Asking service managers: what they print, and what is made of it."""

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from claudectl.doctor.facts import Service, Unit
from claudectl.doctor.inquiry import Launchd, NoAnswer, Nobody, Systemd, asking, service_manager
from claudectl_protocol.endpoint import state_directory
from claudectl_protocol.services import DAEMON_UNIT, STATE_KEY

LAUNCHD = """gui/501/claudectl.daemon = {
\tactive count = 1
\tstate = running
\tpid = 4242
\tlast exit code = (never exited)
\tspawn type = daemon (3)
\tsubmitted job = {
\t\tstate = active
\t\tpid = 1
\t}
}
"""


class Manager:
    """Answers by the last word of a command, and remembers what it was asked."""

    def __init__(self, answers: dict[str, str]) -> None:
        self.answers = answers
        self.asked: list[list[str]] = []

    def __call__(self, command: Sequence[str]) -> str:
        self.asked.append([*command])
        if command[-1] not in self.answers:
            raise NoAnswer("Failed to connect to bus")
        return self.answers[command[-1]]


def test_systemd_units_are_read() -> None:
    manager = Manager(
        {
            "claudectld.service": "ActiveState=active\nUnitFileState=enabled\nMainPID=100\n",
            "claudectl-keeper.service": "ActiveState=failed\nUnitFileState=static\nMainPID=0\n",
        }
    )

    service = Systemd(manager, lambda _: True, 1000).service()

    assert service == Service(
        manager="systemd",
        daemon=Unit(installed=True, enabled=True, state="active", pid=100),
        keeper=Unit(installed=True, enabled=False, state="failed", pid=None),
    )
    assert {tuple(asked[:3]) for asked in manager.asked} == {("systemctl", "--user", "show")}


def test_unit_of_another_state_directory_is_not_installed() -> None:
    said = "ActiveState=active\nUnitFileState=enabled\nMainPID=100\n"
    manager = Manager({"claudectld.service": said, "claudectl-keeper.service": said})

    assert not Systemd(manager, lambda _: False, 1000).service().daemon.installed


def test_systemd_that_does_not_answer_says_why() -> None:
    systemd = Systemd(Manager({}), lambda _: True, 1000)

    assert systemd.service() == Service(manager="systemd", trouble="Failed to connect to bus")
    assert systemd.lingering() is None


@pytest.mark.parametrize(("said", "on"), [("Linger=yes\n", True), ("Linger=no\n", False), ("what\n", None)])
def test_logind_is_asked_for_lingering(said: str, *, on: bool | None) -> None:
    manager = Manager({"--property=Linger": said})

    assert Systemd(manager, lambda _: True, 1000).lingering() is on
    assert manager.asked == [["loginctl", "show-user", "1000", "--property=Linger"]]


def test_launchd_jobs_are_read() -> None:
    manager = Manager({"gui/501/claudectl.daemon": LAUNCHD})

    service = Launchd(manager, lambda label: label == "claudectl.daemon", 501).service()

    assert service == Service(
        manager="launchd",
        daemon=Unit(installed=True, enabled=True, state="active", pid=4242),
        keeper=Unit(),
    )


def test_machine_without_a_manager_has_none(tmp_path: Path) -> None:
    manager = service_manager({"HOME": str(tmp_path), "PATH": str(tmp_path)}, os.geteuid())

    assert isinstance(manager, Nobody)
    assert manager.service() == Service(manager="")
    assert manager.lingering() is None


def test_the_real_question_reaches_systemctl_with_the_users_run_directory(tmp_path: Path) -> None:
    env = {"HOME": str(tmp_path), "PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin"}
    unit = tmp_path / ".config" / "systemd" / "user" / DAEMON_UNIT
    unit.parent.mkdir(parents=True)
    unit.write_text(f"[Unit]\n{STATE_KEY}={state_directory(env, 1000)}\n")
    systemctl = tmp_path / "bin" / "systemctl"
    systemctl.parent.mkdir()
    systemctl.write_text('#!/bin/sh\necho "ActiveState=$XDG_RUNTIME_DIR"\n')
    systemctl.chmod(0o755)

    service = service_manager(env, 1000).service()

    assert service.daemon == Unit(installed=True, state="/run/user/1000")
    assert not service.keeper.installed


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("echo no bus >&2; echo more >&2; exit 1", "no bus"),
        ("exit 3", "left with 3"),
        (None, "No such file"),
    ],
)
def test_a_question_that_fails_is_a_sentence(tmp_path: Path, script: str | None, why: str) -> None:
    program = tmp_path / "systemctl"
    if script is not None:
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)

    with pytest.raises(NoAnswer, match=why):
        asking({}, 1000)([str(program)])
