"""How words become sessions where a project was copied; the rest is in the end-to-end tests."""

import pytest

from claudectl_protocol.calls import Target
from claudectl_protocol.faults import Rejected, SessionAmbiguous, SessionNotFound
from claudectl_protocol.sessions import Lifecycle, SessionId
from claudectld.core.names import resolve
from claudectld.core.session import Session

ID = SessionId("0123abcd-1111-4111-8111-111111111111")
OTHER = SessionId("0123abff-2222-4222-8222-222222222222")


def session(
    id_: SessionId = ID, name: str = "api", project: str = "/proj/api", *, copied: bool = False
) -> Session:
    lifecycle = Lifecycle.UNAVAILABLE if copied else Lifecycle.ACTIVE
    return Session(id=id_, name=name, project=project, cwd=project, program="sh", lifecycle=lifecycle)


ORIGINAL = session()
COPY = session(project="/proj/copy", copied=True)


def found(text: str, own: list[Session], *, all_projects: bool = False) -> Session:
    target = Target(text=text, cwd="/", all_projects=all_projects)
    return resolve(target, own, [ORIGINAL, COPY, session(OTHER, "web", "/proj/web")], "/")


@pytest.mark.parametrize("text", ["0123abcd", ID, "api", "0123abc"])
@pytest.mark.parametrize("own", [[ORIGINAL], []])
def test_a_copy_never_makes_its_original_ambiguous(text: str, own: list[Session]) -> None:
    assert found(text, own, all_projects=True) == ORIGINAL


def test_from_the_copy_an_id_means_the_original_and_a_name_the_copy() -> None:
    assert found("0123abcd", [COPY]) == ORIGINAL
    assert found("api", [COPY]) == COPY


def test_a_copy_without_its_original_can_be_shown() -> None:
    assert resolve(Target(text=ID, cwd="/"), [], [COPY], "/") == COPY


def test_sessions_with_different_ids_stay_ambiguous() -> None:
    with pytest.raises(Rejected) as rejected:
        found("0123ab", [], all_projects=True)

    fault = rejected.value.fault
    assert isinstance(fault, SessionAmbiguous)
    assert [candidate.id for candidate in fault.candidates] == [ID, OTHER]


def test_seven_digits_do_not_reach_another_project_and_eight_do() -> None:
    with pytest.raises(Rejected) as rejected:
        found("0123abc", [])

    assert isinstance(rejected.value.fault, SessionNotFound)
    assert found("0123abcd", []) == ORIGINAL
