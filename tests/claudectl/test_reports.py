"""What `daemon upgrade` says it has done."""

import pytest

from claudectl.documents import UpgradeDocument
from claudectl.reports import upgrade_report
from claudectl_protocol.calls import KeeperUpgrade, UpgradeState
from claudectl_protocol.sessions import DaemonStatus

STATUS = DaemonStatus(
    version="1.2",
    pid=8,
    started_at=0.0,
    socket="/run/s",
    state_directory="/state",
    keeper="ok",
    keeper_pid=9,
    sessions=1,
    active=1,
    projects=1,
)


@pytest.mark.parametrize(
    ("state", "why", "about"),
    [
        (UpgradeState.UPGRADED, "", "upgraded the keeper (pid 9) in place"),
        (UpgradeState.UPGRADED, "a new one came", "upgraded the keeper (pid 9): a new one came"),
        (UpgradeState.CURRENT, "", "the keeper (pid 9) is current"),
        (
            UpgradeState.REFUSED,
            "it is\x1b[31m broken",
            "the keeper (pid 9) goes on in older code: it is broken",
        ),
    ],
)
def test_an_upgrade_says_who_serves_what_became_of_the_keeper_and_that_sessions_go_on(
    state: UpgradeState, why: str, about: str
) -> None:
    done = UpgradeDocument(daemon=STATUS, keeper=KeeperUpgrade(state=state, why=why))
    said = f"claudectld 1.2 serves (pid 8)\n{about}\nno session was touched\n"
    assert upgrade_report(done) == said
