"""What the daemon's side says about Claude Code, the configuration and the session files."""

import pytest
from msgspec.structs import replace

from claudectl.doctor import claude
from claudectl.doctor.facts import Answer
from claudectl.doctor.findings import Grade
from claudectl_protocol.diagnosis import ClaudeFacts, Diagnosis
from tests.claudectl.doctor.samples import ABSENT, ANSWER, CLAUDE, DIAGNOSIS, NOW, STATUS

PATH = "/home/ada/.config/claudectl/claudectld.toml"


@pytest.mark.parametrize(
    ("found", "grade", "said"),
    [
        (CLAUDE, Grade.OK, "2.1.330 (/usr/bin/claude)"),
        (replace(CLAUDE, version="2.1.197"), Grade.OK, "tested with 2.1.330"),
        (replace(CLAUDE, version="2.2.0-beta.1"), Grade.OK, "tested with 2.1.330"),
        (replace(CLAUDE, version="2.1.196"), Grade.WEAKER, "older than 2.1.197"),
        (replace(CLAUDE, version="2.0.400"), Grade.WEAKER, "older than 2.1.197"),
        (replace(CLAUDE, version="", problem="left with 1"), Grade.WRONG, "/usr/bin/claude left with 1"),
        (
            ClaudeFacts(searched=("/a", "/b", "/c", "/d", "/e")),
            Grade.WRONG,
            "in /a, /b, /c and 2 more places",
        ),
        (ClaudeFacts(searched=("/a",)), Grade.WRONG, "not found in /a"),
        (ClaudeFacts(), Grade.WRONG, "any known place"),
    ],
)
def test_claude_is_there_and_of_a_version_that_was_tried_or_not(
    found: ClaudeFacts, grade: Grade, said: str
) -> None:
    finding = claude.claude(found)

    assert finding.grade is grade
    assert said in finding.found
    assert finding.fix == ("" if grade is Grade.OK else claude.INSTALL)


def test_a_login_is_there_or_not_and_without_claude_it_does_not_matter() -> None:
    assert [finding.grade for finding in claude.login(CLAUDE)] == [Grade.OK]
    assert [finding.grade for finding in claude.login(replace(CLAUDE, logins=()))] == [Grade.WEAKER]
    assert [*claude.login(ClaudeFacts())] == []


@pytest.mark.parametrize(
    ("found", "changed_at", "answer", "grade", "said"),
    [
        (DIAGNOSIS, NOW - 1000, ANSWER, Grade.OK, "is valid"),
        (DIAGNOSIS, None, ANSWER, Grade.OK, "the defaults hold"),
        (DIAGNOSIS, STATUS.started_at + 1, ANSWER, Grade.WEAKER, "changed after the daemon started"),
        (DIAGNOSIS, STATUS.started_at + 1, ABSENT, Grade.OK, "is valid"),
        (replace(DIAGNOSIS, config_problem="not used: x"), NOW, ANSWER, Grade.WRONG, "not used: x"),
    ],
)
def test_the_config_is_used_or_not(
    found: Diagnosis, changed_at: float | None, answer: Answer, grade: Grade, said: str
) -> None:
    finding = claude.config(found, PATH, changed_at, answer)

    assert finding.grade is grade
    assert said in finding.found


def test_session_files_can_be_read_or_each_is_named() -> None:
    (fine,) = claude.store(DIAGNOSIS)
    broken = [*claude.store(replace(DIAGNOSIS, store_problems=("/a is missing", "/b is not JSON")))]

    assert (fine.grade, fine.found) == (Grade.OK, "data.json and 1 project can be read")
    assert [(finding.grade, finding.found) for finding in broken] == [
        (Grade.WEAKER, "/a is missing"),
        (Grade.WEAKER, "/b is not JSON"),
    ]
