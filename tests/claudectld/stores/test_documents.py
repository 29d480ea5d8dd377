"""What is believed of a document when it, or its backup, is not as it was written."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from claudectl_protocol.faults import Rejected, StoreFailed, StoreReadOnly
from claudectld.ports import StoredProject
from claudectld.stores.document import Condition, Document
from claudectld.stores.envelope import Damaged, JsonObject, seal, unseal
from claudectld.stores.files import Directory
from claudectld.stores.sessions import FileSessionStore
from tests.claudectld.stores.places import NOW, Places, document, replaced, rewrite, session

Damage = Callable[[Path], None]


def _emptied(path: Path) -> None:
    path.write_bytes(b"")


def _halved(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _noise(path: Path) -> None:
    path.write_bytes(bytes(range(256)) * 8)


def _zeroes(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def _a_list(path: Path) -> None:
    path.write_text("[1, 2, 3]")


def _null(path: Path) -> None:
    path.write_text("null")


def _sessions_no_list(path: Path) -> None:
    rewrite(path, sessions={"a": 1})


def _schema_no_number(path: Path) -> None:
    rewrite(path, schema="1")


def _schema_true(path: Path) -> None:
    rewrite(path, schema=True)


def _not_a_number(path: Path) -> None:
    path.write_text('{"schema": 1, "sessions": [], "x": NaN}')


def _infinite(path: Path) -> None:
    path.write_text('{"schema": 1, "sessions": [], "x": 1e999}')


def _deep(path: Path) -> None:
    path.write_text('{"schema": 1, "sessions": [], "x": ' + "[" * 200 + "]" * 200 + "}")


def _abyss(path: Path) -> None:
    path.write_text("[" * 1_000_000)


def _huge(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(100 * 1024 * 1024)


DAMAGES = [
    _emptied,
    _halved,
    _noise,
    _zeroes,
    _a_list,
    _null,
    _sessions_no_list,
    _schema_no_number,
    _schema_true,
    _not_a_number,
    _infinite,
    _deep,
    _abyss,
    _huge,
]


@pytest.fixture
def written(places: Places) -> Places:
    """A project whose file has two sessions and whose backup has one."""
    store = places.saved(session("old", places.project))
    store.save_project(str(places.project), [session("old", places.project), session("new", places.project)])
    return places


def _load(places: Places) -> tuple[StoredProject, tuple[str, ...]]:
    loaded = places.store().load()
    return loaded.projects[0], loaded.notices


def _ids(project: StoredProject) -> list[str]:
    return [one.name for one in project.sessions]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_set_aside_and_the_version_before_is_used(written: Places, damage: Damage) -> None:
    damage(written.sessions)
    damaged = written.sessions.stat()

    project, notices = _load(written)

    assert _ids(project) == ["old"]
    assert project.writable
    assert "sessions.json" in project.problem
    assert any("sessions.json.corrupt-20261122T120000Z" in notice for notice in notices)
    aside = written.files / "sessions.json.corrupt-20261122T120000Z"
    assert (aside.stat().st_ino, aside.stat().st_size) == (damaged.st_ino, damaged.st_size)


@pytest.mark.parametrize("damage", DAMAGES)
def test_when_the_backup_is_damaged_too_the_loss_is_said_aloud(written: Places, damage: Damage) -> None:
    for name in ("sessions.json", "sessions.json.backup"):
        damage(written.files / name)

    project, notices = _load(written)

    assert project.sessions == ()
    assert "lost" in project.problem
    assert any("lost" in notice and str(written.project) in notice for notice in notices)
    kept = {name for name in os.listdir(written.files) if ".corrupt-" in name}
    assert kept == {
        "sessions.json.corrupt-20261122T120000Z",
        "sessions.json.backup.corrupt-20261122T120000Z",
    }


def test_a_lost_list_can_be_begun_anew(written: Places) -> None:
    for name in ("sessions.json", "sessions.json.backup"):
        _noise(written.files / name)
    store = written.store()
    store.load()

    store.save_project(str(written.project), [session("next", written.project)])

    project, notices = _load(written)
    assert (_ids(project), project.problem, notices) == (["next"], "", ())


def test_a_repaired_list_goes_on_with_the_next_save(written: Places) -> None:
    _halved(written.sessions)
    store = written.store()
    (project,) = store.load().projects

    store.save_project(str(written.project), [*project.sessions, session("next", written.project)])

    after, notices = _load(written)
    assert (_ids(after), notices) == (["old", "next"], ())
    assert [entry["name"] for entry in _entries(written.files / "sessions.json.backup")] == ["old"]


def test_a_missing_file_is_replaced_by_its_backup_and_that_is_said(written: Places) -> None:
    written.sessions.unlink()

    project, notices = _load(written)

    assert _ids(project) == ["old"]
    assert "missing" in project.problem
    assert len(notices) == 1


def test_when_both_files_are_missing_that_is_said(written: Places) -> None:
    written.sessions.unlink()
    (written.files / "sessions.json.backup").unlink()

    project, notices = _load(written)

    assert project.sessions == ()
    assert "missing" in project.problem
    assert len(notices) == 1


def test_damage_that_appears_while_the_daemon_runs_costs_nothing(written: Places) -> None:
    store = written.store()
    (project,) = store.load().projects
    _halved(written.sessions)

    store.save_project(str(written.project), project.sessions)

    after, notices = _load(written)
    assert (_ids(after), notices) == (["old", "new"], ())
    assert (written.files / "sessions.json.corrupt-20261122T120000Z").exists()


def test_a_file_edited_by_hand_is_used_and_that_is_said(written: Places) -> None:
    entries = _entries(written.sessions)
    rewrite(written.sessions, sessions=[{**entries[0], "name": "renamed"}])

    project, notices = _load(written)

    assert _ids(project) == ["renamed"]
    assert project.problem == ""
    assert len(notices) == 1
    assert "edited by hand" in notices[0]
    assert not [name for name in os.listdir(written.files) if "corrupt" in name]


def test_a_file_that_was_only_laid_out_anew_is_not_called_edited(written: Places) -> None:
    rewrite(written.sessions)

    assert _load(written)[1] == ()


def test_an_edit_is_kept_as_the_backup_of_the_next_version(written: Places) -> None:
    rewrite(written.sessions, remark="mine")
    store = written.store()
    (project,) = store.load().projects

    store.save_project(str(written.project), project.sessions)

    assert document(written.files / "sessions.json.backup")["remark"] == "mine"
    assert _load(written)[1] == ()


def test_fields_that_are_not_known_survive_a_rewrite(written: Places) -> None:
    entries = _entries(written.sessions)
    entries[0]["colour"] = {"name": "red", "deep": [1, 2.5, None, 10**30]}
    rewrite(written.sessions, sessions=entries, future={"a": ["b"]})
    store = written.store()
    (project,) = store.load().projects

    store.save_project(
        str(written.project),
        [project.sessions[1], replaced(session("old", written.project), name="other")],
    )

    found = document(written.sessions)
    assert found["future"] == {"a": ["b"]}
    by_name = {entry["name"]: entry for entry in _entries(written.sessions)}
    assert by_name["other"]["colour"] == {"name": "red", "deep": [1, 2.5, None, 10**30]}
    assert "colour" not in by_name["new"]


def test_a_field_that_went_back_to_its_default_does_not_stay(written: Places) -> None:
    store = written.store()
    (project,) = store.load().projects
    assert _entries(written.sessions)[0]["args"]

    store.save_project(str(written.project), [session("old", written.project, args=()), project.sessions[1]])

    assert "args" not in _entries(written.sessions)[0]


@pytest.mark.parametrize("entry", [5, None, "text", {}, {"status": "Active"}, ["x"]])
def test_an_entry_that_is_no_session_is_kept_and_reported(written: Places, entry: object) -> None:
    rewrite(written.sessions, sessions=[entry, *_entries(written.sessions)])
    store = written.store()
    loaded = store.load()

    store.save_project(str(written.project), loaded.projects[0].sessions)

    assert _ids(loaded.projects[0]) == ["old", "new"]
    assert any("entry 1" in notice for notice in loaded.notices)
    assert entry in document(written.sessions)["sessions"]  # type: ignore[operator]
    assert _ids(_load(written)[0]) == ["old", "new"]


def test_of_two_entries_with_one_id_the_second_is_kept_and_not_used(written: Places) -> None:
    entries = _entries(written.sessions)
    twin = {**entries[0], "name": "twin"}
    rewrite(written.sessions, sessions=[*entries, twin])
    store = written.store()
    loaded = store.load()

    store.save_project(str(written.project), loaded.projects[0].sessions)

    assert _ids(loaded.projects[0]) == ["old", "new"]
    assert twin in _entries(written.sessions)


def test_an_id_that_could_name_another_file_is_no_session(written: Places) -> None:
    entries = _entries(written.sessions)
    rewrite(written.sessions, sessions=[{**entries[0], "id": "../../x"}, entries[1]])

    project, notices = _load(written)

    assert _ids(project) == ["new"]
    assert any("entry 1" in notice for notice in notices)


def test_a_session_that_appeared_in_the_file_meanwhile_is_kept(written: Places) -> None:
    store = written.store()
    (project,) = store.load().projects
    added = {**_entries(written.sessions)[0], "id": "11111111-0000-4000-8000-000000000000", "name": "added"}
    rewrite(written.sessions, sessions=[*_entries(written.sessions), added])

    store.save_project(str(written.project), project.sessions[:1], removed="rm")

    assert _ids(_load(written)[0]) == ["old", "added"]


def test_the_reason_of_a_removal_is_in_the_file_and_stays_there(written: Places) -> None:
    store = written.store()
    store.load()

    store.save_project(str(written.project), [session("new", written.project)], removed="rm by user")
    store.save_project(str(written.project), [session("new", written.project)])

    assert document(written.sessions)["removed"] == {
        "reason": "rm by user",
        "sessions": [session("old").id],
        "at": NOW,
    }


def test_a_newer_file_is_shown_and_never_written(written: Places) -> None:
    entries = _entries(written.sessions)
    rewrite(written.sessions, schema=2, sessions=[entries[0], {"new": "shape"}], more=1)
    before = _contents(written.files)
    store = written.store()
    loaded = store.load()

    with pytest.raises(Rejected) as refused:
        store.save_project(str(written.project), loaded.projects[0].sessions)
    opened = store.open_project(str(written.project))

    assert isinstance(refused.value.fault, StoreReadOnly)
    assert refused.value.fault.why == "newer_schema"
    assert _ids(loaded.projects[0]) == ["old"]
    assert not loaded.projects[0].writable
    assert not opened.writable
    assert "newer version" in loaded.projects[0].problem
    assert _contents(written.files) == before


def test_a_newer_project_file_makes_the_project_read_only(written: Places) -> None:
    rewrite(written.files / "project.json", schema=9, stamp="other")
    before = _contents(written.files)
    store = written.store()
    (project,) = store.load().projects

    with pytest.raises(Rejected) as refused:
        store.save_project(str(written.project), project.sessions)

    assert isinstance(refused.value.fault, StoreReadOnly)
    assert refused.value.fault.why == "newer_schema"
    assert (_ids(project), project.writable) == (["old", "new"], False)
    assert _contents(written.files) == before


@pytest.mark.parametrize("kind", ["link", "fifo", "directory"])
def test_what_is_no_file_is_left_where_it_is(written: Places, kind: str) -> None:
    aside = written.root / "aside"
    written.sessions.rename(aside)
    match kind:
        case "link":
            written.sessions.symlink_to(aside)
        case "fifo":
            os.mkfifo(written.sessions)
        case _:
            written.sessions.mkdir()
    before = written.sessions.lstat()
    store = written.store()
    (project,) = store.load().projects

    with pytest.raises(Rejected) as refused:
        store.save_project(str(written.project), project.sessions)

    assert isinstance(refused.value.fault, StoreFailed)
    assert not project.writable
    assert _ids(project) == ["old"]
    assert written.sessions.lstat().st_ino == before.st_ino


def test_control_characters_from_a_file_reach_no_notice(written: Places) -> None:
    entries = _entries(written.sessions)
    rewrite(written.sessions, sessions=[{**entries[0], "lifecycle": "\x1b]0;owned\x07\n"}])

    project, notices = _load(written)

    assert notices
    assert all(notice.isprintable() for notice in (*notices, project.problem))


def test_strings_that_are_not_utf_8_come_back(places: Places) -> None:
    odd = session("odd", places.project, args=("caf\udce9", "caf\u00e9"))

    places.saved(odd)

    project, notices = _load(places)
    assert project.sessions == (odd,)
    assert notices == ()


def test_files_are_written_for_people(written: Places) -> None:
    text = written.sessions.read_text()

    assert text.startswith('{\n  "schema": 1,\n  "checksum": "sha256:')
    assert '\n      "name": "old"' in text
    assert "\u2713" in text
    assert text.endswith("}\n")


# --- random content ---------------------------------------------------------------------------------------------

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.text().filter(lambda key: key not in ("schema", "checksum")), _JSON, max_size=5))
def test_what_is_sealed_is_unsealed(body: JsonObject) -> None:
    sealed = seal(3, body)

    assert unseal(sealed) == (3, body, False)
    assert seal(3, unseal(sealed).body) == sealed


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200) | _JSON.map(lambda value: repr(value).encode()))
def test_any_bytes_are_a_document_or_damaged(data: bytes) -> None:
    try:
        envelope = unseal(data)
    except Damaged:
        return

    assert envelope.edited


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_no_flipped_cut_or_inserted_byte_goes_unseen(data: st.DataObject) -> None:
    sealed = seal(1, {"sessions": [{"id": "a", "n": 12, "text": "\u2713"}]})
    at = data.draw(st.integers(0, len(sealed) - 2))
    piece = data.draw(st.binary(max_size=3))
    width = data.draw(st.integers(0, 3))
    changed = sealed[:at] + piece + sealed[at + width :]

    try:
        envelope = unseal(changed)
    except Damaged:
        return

    same = (envelope.schema, envelope.body) == (1, unseal(sealed).body)
    assert envelope.edited or same


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(main=st.binary(max_size=60), backup=st.binary(max_size=60))
def test_garbage_never_raises_and_never_passes_in_silence(
    tmp_path_factory: pytest.TempPathFactory, main: bytes, backup: bytes
) -> None:
    place = tmp_path_factory.mktemp("garbage")
    (place / "a").write_bytes(main)
    (place / "a.backup").write_bytes(backup)

    with Directory.open(str(place)) as directory:
        reading = Document("a", lambda _: "").read(directory, NOW, repair=True)

    assert reading.condition is Condition.LOST
    assert reading.problem
    assert len(os.listdir(place)) == 2


def test_an_unchanged_file_is_not_read_again(written: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    store: FileSessionStore = written.store()
    first = store.load()

    def read(*_: object) -> bytes:
        raise AssertionError("was read")

    monkeypatch.setattr(os, "read", read)

    assert store.load() == first


def _entries(path: Path) -> list[dict[str, object]]:
    entries = document(path)["sessions"]
    assert isinstance(entries, list)
    return entries


def _contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}
