"""Entries of a sessions file that somebody has edited: what cannot be used is kept and costs nobody else anything."""

import msgspec
import pytest

from claudectl_protocol.sessions import SessionId
from claudectld.core.session import Session, encode
from claudectld.stores import roll
from claudectld.stores.envelope import Damaged, unseal
from claudectld.stores.global_file import GlobalFile

GOOD = Session(
    id=SessionId("11111111-1111-4111-8111-111111111111"), name="good", project="/p", cwd="/p", program="sh"
)
OTHER = "22222222-2222-4222-8222-222222222222"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("cwd", "/not \ud800 unicode"),
        ("name", "\udcff"),
        ("exit", {"code": 10**30}),
        ("created_at", 10**400),
        ("lifecycle", "dreaming"),
        ("runs", ["../../etc"]),
        ("run", {"id": "../../etc", "boot_id": "", "started_at": 0.0}),
        ("id", "../../etc"),
        ("name", None),
    ],
)
def test_a_session_that_nobody_could_be_shown_is_kept_and_told(field: str, value: object) -> None:
    strange: dict[str, object] = {**encode(GOOD), "id": OTHER, field: value}
    body: dict[str, object] = {roll.SESSIONS: [strange, encode(GOOD)]}

    found = roll.read(body, "/p", "sessions.json")

    assert found.sessions == (GOOD,)
    assert found.unknown == (strange,)
    (notice,) = found.notices
    assert notice.startswith("sessions.json: entry 1 ")
    msgspec.msgpack.encode([session.info() for session in found.sessions])
    assert strange in list_of(roll.updated(body, [GOOD], frozenset({GOOD.id}), "", 0.0))


def list_of(body: dict[str, object]) -> list[object]:
    entries = body[roll.SESSIONS]
    assert isinstance(entries, list)
    return entries


@pytest.mark.parametrize("number", ["1e999", "-1e999", "NaN", "Infinity"])
def test_a_number_that_could_not_be_written_again_is_damage(number: str) -> None:
    with pytest.raises(Damaged):
        unseal(f'{{"schema": 1, "created_at": {number}}}'.encode())


@pytest.mark.parametrize("path", ["/tmp/\0x", "/tmp/\ud800"])
def test_a_project_at_an_impossible_path_is_told_and_nobody_looks_there(
    path: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    directory = tmp_path_factory.mktemp("config")
    store = GlobalFile(str(directory), lambda: 1.0)
    store.add("/good")
    store.add(path)

    content = store.read()

    assert content.projects == ("/good",)
    assert content.notices == (f"{directory}: data.json: project 2 has no path and is kept as it is",)


def test_the_backup_of_the_list_knows_a_project_from_the_start(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    directory = tmp_path_factory.mktemp("config")
    GlobalFile(str(directory), lambda: 1.0).add("/first")
    (directory / "data.json").write_text("garbage")

    content = GlobalFile(str(directory), lambda: 1.0).read()

    assert content.projects == ("/first",)
    assert "data.json is not JSON" in content.notices[0]
