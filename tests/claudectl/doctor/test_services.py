"""What the service manager's answers mean."""

import pytest
from msgspec.structs import replace

from claudectl.doctor import services
from claudectl.doctor.facts import Answer, Service, Unit
from claudectl.doctor.findings import Grade
from tests.claudectl.doctor.samples import ABSENT, ANSWER, SERVICE

UNIT = SERVICE.daemon


@pytest.mark.parametrize(
    ("found", "answer", "grade", "said", "fix"),
    [
        (SERVICE, ANSWER, Grade.OK, "installed, enabled and active", ""),
        (Service(manager=""), ANSWER, Grade.WEAKER, "no service manager", "@reboot"),
        (Service(manager="systemd", trouble="no bus"), ANSWER, Grade.WEAKER, "no bus", "log in"),
        (Service(manager="systemd"), ANSWER, Grade.WEAKER, "not installed", "claudectl daemon install"),
        (replace(SERVICE, daemon=replace(UNIT, state="failed")), ABSENT, Grade.WRONG, "gave it up", "status"),
        (
            replace(SERVICE, daemon=replace(UNIT, enabled=False)),
            ANSWER,
            Grade.WEAKER,
            "not enabled",
            "install",
        ),
        (
            replace(SERVICE, daemon=replace(UNIT, pid=99)),
            ANSWER,
            Grade.WEAKER,
            "(pid 100) runs outside",
            "install",
        ),
        (
            replace(SERVICE, daemon=replace(UNIT, pid=None, state="inactive")),
            ABSENT,
            Grade.WEAKER,
            "but inactive",
            "claudectl daemon start",
        ),
    ],
)
def test_the_service_brings_the_daemon_back_or_not(
    found: Service, answer: Answer, grade: Grade, said: str, fix: str
) -> None:
    finding = services.service(found, answer)

    assert finding.grade is grade
    assert said in finding.found
    assert fix in finding.fix
    assert bool(finding.fix) == bool(fix)


@pytest.mark.parametrize(
    ("found", "keeper_pid", "grades"),
    [
        (SERVICE, 200, [Grade.OK]),
        (SERVICE, None, [Grade.OK]),
        (SERVICE, 201, [Grade.WEAKER]),
        (replace(SERVICE, keeper=Unit()), 200, [Grade.WEAKER]),
        (replace(SERVICE, keeper=Unit(installed=True, state="failed")), None, [Grade.WRONG]),
        (replace(SERVICE, daemon=Unit()), 200, []),
        (Service(manager="systemd", trouble="no bus"), 200, []),
        (Service(manager=""), 200, []),
    ],
)
def test_the_keepers_service_has_the_keeper_or_not(
    found: Service, keeper_pid: int | None, grades: list[Grade]
) -> None:
    assert [finding.grade for finding in services.keeper_service(found, keeper_pid)] == grades


@pytest.mark.parametrize(
    ("found", "on", "grades"),
    [
        (SERVICE, True, [Grade.OK]),
        (SERVICE, False, [Grade.WEAKER]),
        (SERVICE, None, [Grade.WEAKER]),
        (Service(manager="launchd"), None, []),
        (Service(manager=""), None, []),
    ],
)
def test_lingering_is_on_or_off(found: Service, *, on: bool | None, grades: list[Grade]) -> None:
    findings = [*services.lingering(found, on)]

    assert [finding.grade for finding in findings] == grades
    assert all(
        finding.fix == "loginctl enable-linger" for finding in findings if finding.grade is not Grade.OK
    )
