"""The list of projects and the sessions of none, beside what older versions and other programs left there."""

import json
import os
from pathlib import Path

import pytest

from claudectl_protocol.faults import Rejected, StoreReadOnly
from tests.claudectld.stores.places import NOW, Places, document, rewrite, session


def _put(places: Places, content: object) -> bytes:
    places.config.mkdir(parents=True, exist_ok=True)
    places.data.write_text(json.dumps(content))
    return places.data.read_bytes()


def test_the_list_says_since_when(places: Places) -> None:
    places.store().open_project(str(places.project))

    found = document(places.data)

    assert found["schema"] == 1
    assert found["projects"] == [{"path": str(places.project), "added_at": NOW}]
    assert found["sessions"] == []


def test_what_an_older_version_left_is_reported_and_survives(places: Places) -> None:
    old_project = {"id": "p1", "name": "x", "sessions": [{"status": "Active"}]}
    old_path = {"path": str(places.root / "old"), "sessions": [{"id": "s2", "project_id": "p1"}]}
    old_entry = {"status": "Stopped", "project_id": "p1"}
    _put(places, {"version": 1, "projects": [old_project, old_path], "sessions": [old_entry]})
    store = places.store()
    loaded = store.load()

    store.open_project(str(places.project))
    store.save_global([session("g")])
    store.close_project(str(places.root / "old"))

    assert [project.path for project in loaded.projects] == [str(places.root / "old")]
    assert loaded.global_sessions == ()
    for phrase in ("project 1 has no path", "project 2 still holds", "entry 1 is no session"):
        assert any(phrase in notice for notice in loaded.notices), phrase
    found = document(places.data)
    assert found["version"] == 1
    assert found["projects"] == [
        old_project,
        {"closed_at": NOW, **old_path},
        {"path": str(places.project), "added_at": NOW},
    ]
    sessions = found["sessions"]
    assert isinstance(sessions, list)
    assert old_entry in sessions
    after = places.store().load()
    assert [project.path for project in after.projects] == [str(places.project)]
    assert after.global_sessions == (session("g"),)


def test_a_project_with_old_sessions_can_be_closed_and_opened_again(places: Places) -> None:
    old = {"path": str(places.project), "added_at": 5.0, "sessions": [{"status": "Active"}]}
    _put(places, {"schema": 1, "projects": [old], "sessions": []})
    store = places.store()

    store.close_project(str(places.project))
    closed = store.load().projects
    store.open_project(str(places.project))

    assert closed == ()
    assert document(places.data)["projects"] == [old]


@pytest.mark.parametrize("content", [{"projects": {"a": 1}}, {"sessions": "many"}, {"projects": None}])
def test_a_file_of_another_shape_is_left_alone(places: Places, content: object) -> None:
    before = _put(places, content)
    store = places.store()
    loaded = store.load()

    with pytest.raises(Rejected) as saving:
        store.save_global([session("g")])
    with pytest.raises(Rejected) as opening:
        store.open_project(str(places.project))

    for refused in (saving, opening):
        assert isinstance(refused.value.fault, StoreReadOnly)
        assert refused.value.fault.path == str(places.data)
    assert len(loaded.notices) == 1
    assert "left alone" in loaded.notices[0]
    assert places.data.read_bytes() == before
    assert os.listdir(places.config) == ["data.json"]
    assert list(places.project.iterdir()) == []


def test_a_newer_file_is_shown_and_never_written(places: Places) -> None:
    store = places.store()
    store.open_project(str(places.project))
    store.save_global([session("g")])
    rewrite(places.data, schema=7)
    before = places.data.read_bytes()
    later = places.store()
    loaded = later.load()

    with pytest.raises(Rejected) as saving:
        later.save_global([session("g"), session("h")])
    with pytest.raises(Rejected):
        later.close_project(str(places.project))

    assert isinstance(saving.value.fault, StoreReadOnly)
    assert saving.value.fault.why == "newer_schema"
    assert [project.path for project in loaded.projects] == [str(places.project)]
    assert loaded.global_sessions == (session("g"),)
    assert places.data.read_bytes() == before


def test_a_damaged_list_is_set_aside_and_its_backup_has_every_project_that_was_added(places: Places) -> None:
    other = places.root / "other"
    other.mkdir()
    store = places.store()
    store.open_project(str(places.project))
    store.open_project(str(other))
    places.data.write_text("[")

    loaded = places.store().load()

    assert [project.path for project in loaded.projects] == [str(other), str(places.project)]
    assert any("data.json.corrupt-20261122T120000Z" in notice for notice in loaded.notices)


def test_a_lost_list_is_said_aloud(places: Places) -> None:
    _put(places, [1])
    (places.config / "data.json.backup").write_text("")

    loaded = places.store().load()

    assert loaded.projects == ()
    assert any("lost" in notice for notice in loaded.notices)


def test_a_configuration_directory_behind_a_link_is_used(places: Places) -> None:
    dotfiles = places.root / "dotfiles"
    dotfiles.mkdir()
    places.config.parent.mkdir(parents=True)
    places.config.symlink_to(dotfiles)

    places.store().open_project(str(places.project))

    assert [project.path for project in places.store().load().projects] == [str(places.project)]
    assert (dotfiles / "data.json").exists()


def test_a_list_that_is_a_link_is_neither_followed_nor_replaced(places: Places) -> None:
    target = places.root / "dotfiles.json"
    target.write_text('{"projects": []}')
    places.config.mkdir(parents=True)
    places.data.symlink_to(target)
    store = places.store()

    with pytest.raises(Rejected):
        store.save_global([session("g")])

    assert "ELOOP" in store.load().notices[0]
    assert places.data.is_symlink()
    assert target.read_text() == '{"projects": []}'


def test_a_path_that_is_listed_twice_is_one_project(places: Places) -> None:
    places.saved(session("a", places.project))
    rewrite(places.data, projects=[{"path": str(places.project)}, {"path": str(places.project), "x": 1}])

    assert [project.path for project in places.store().load().projects] == [str(places.project)]


def test_entries_that_are_no_absolute_path_are_kept(places: Places) -> None:
    strange: list[object] = [{"path": "relative"}, {"path": 5}, "text", None, {"path": "/a", "closed_at": 1}]
    _put(places, {"schema": 1, "projects": strange, "sessions": []})
    store = places.store()
    loaded = store.load()

    store.open_project(str(places.project))

    assert loaded.projects == ()
    assert document(places.data)["projects"] == [*strange, {"path": str(places.project), "added_at": NOW}]


def test_other_files_of_the_directory_are_left_alone(places: Places) -> None:
    places.config.mkdir(parents=True)
    theirs = {"claudectld.toml": "x = 1\n", "config.toml": "y", "data.json.bak": "z"}
    for name, content in theirs.items():
        (places.config / name).write_text(content)
    store = places.store()

    store.open_project(str(places.project))
    store.save_global([session("g")])

    assert {name: Path(places.config / name).read_text() for name in theirs} == theirs
