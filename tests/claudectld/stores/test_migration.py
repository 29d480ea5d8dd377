"""Files of earlier claudectls: every session of theirs is in its project afterwards, and nothing is lost on the way."""

import json
import os
import shutil

import pytest

from claudectl_protocol.faults import Rejected
from claudectl_protocol.sessions import Lifecycle, Wanted
from claudectld.stores.private import FilePrivateStore
from tests.claudectld.stores.older import EXPECTED, GOLDEN, copies, put, sessions, wanted
from tests.claudectld.stores.places import NOW, Places, document, session


@pytest.mark.parametrize("name", EXPECTED)
def test_every_session_is_in_its_project_afterwards_and_the_old_file_is_kept(
    places: Places, name: str
) -> None:
    before = put(places, name)

    stored = places.store().load()

    assert wanted(stored) == EXPECTED[name]
    assert copies(places) == [before]
    assert (places.config / "data.json.older-20261122T120000Z").exists()
    moved = sum(map(len, EXPECTED[name].values())) - (name == "own")
    sessions_moved = "1 session" if moved == 1 else f"{moved} sessions"
    notice = (
        f"{places.data}: {sessions_moved} of an older version moved to where they belong "
        "(the file before is kept as data.json.older-20261122T120000Z)"
    )
    assert notice in stored.notices
    assert name in ("strange", "own") or len(stored.notices) == 1
    for project, some in EXPECTED[name].items():
        if project:
            entries = document(places.root / project / ".claudectl" / "sessions.json")["sessions"]
            assert isinstance(entries, list)
            assert [entry["name"] for entry in entries] == [each for each, _ in some]


@pytest.mark.parametrize("name", EXPECTED)
def test_a_second_start_finds_the_same_sessions_and_writes_nothing(places: Places, name: str) -> None:
    put(places, name)
    first = places.store().load()
    files = {path: path.read_bytes() for path in places.root.rglob("*") if path.is_file()}

    again = places.store().load()

    assert sessions(again) == sessions(first)
    assert not any("moved to where" in notice for notice in again.notices)
    assert {path: path.read_bytes() for path in places.root.rglob("*") if path.is_file()} == files


def test_a_session_keeps_what_it_was(places: Places) -> None:
    put(places, "lists")

    checkout = sessions(places.store().load())["shop"][0]

    assert checkout.id == "0b6c2a54-61cf-4f57-9a53-3a8f7be0f1d1"
    assert (checkout.project, checkout.cwd) == (f"{places.root}/shop", f"{places.root}/shop/web")
    assert checkout.created_at == 1709287200.0
    assert checkout.conversation == "11111111-1111-4111-8111-111111111111"
    assert (checkout.wanted, checkout.lifecycle) == (Wanted.RUNNING, Lifecycle.INTERRUPTED)
    assert (checkout.program, checkout.prompt, checkout.env_names) == ("claude", None, ("LANG", "PATH"))


def test_a_session_without_a_directory_ran_in_its_projects(places: Places) -> None:
    put(places, "lists")

    stopped = sessions(places.store().load())["shop"][1]

    assert (stopped.cwd, stopped.created_at) == (f"{places.root}/shop", 1709290800.0)
    assert (stopped.wanted, stopped.lifecycle) == (Wanted.STOPPED, Lifecycle.STOPPED)


def test_other_spellings_are_understood(places: Places) -> None:
    put(places, "spellings")

    found = sessions(places.store().load())
    camel = found["shop"][0]
    seventh, fifth = found["blog"]

    assert [camel.id, camel.conversation] == 2 * ["44444444-4444-4444-8444-444444444444"]
    assert (camel.cwd, camel.created_at) == (f"{places.root}/shop", 1709290800.123)
    assert (seventh.cwd, seventh.created_at) == (f"{places.root}/blog", NOW)
    assert fifth.id == "55555555-5555-4555-8555-555555555555"


def test_values_of_variables_go_where_secrets_are_and_into_no_project(places: Places) -> None:
    put(places, "objects")

    secret = sessions(places.store().load())["blog"][0]

    context = FilePrivateStore(str(places.state)).load_context(secret.id)
    assert context is not None
    assert context.env == {"PATH": "/bin", "LANG": "C", "TOKEN": "sesame"}
    assert secret.env_names == ("LANG", "PATH", "TOKEN")
    assert "sesame" not in (places.root / "blog" / ".claudectl" / "sessions.json").read_text()
    assert all(path.stat().st_mode & 0o077 == 0 for path in places.config.glob("data.json*"))


def test_what_is_not_understood_stays_as_it_is_and_is_told(places: Places) -> None:
    put(places, "strange")

    notices = "\n".join(places.store().load().notices)

    found = document(places.data)
    assert found["settings"] == {"theme": "dark"}
    projects = found["projects"]
    assert isinstance(projects, list)
    assert {"id": "p2", "name": "no path"} in projects
    assert None in projects
    assert [one["sessions"] for one in projects if one and one.get("id") == "p1"] == [
        [17, {"status": "Active"}]
    ]
    entries = found["sessions"]
    assert isinstance(entries, list)
    assert entries[:2] == [{"id": "no session"}, "text"]
    assert "entry 1 is no session of this version and is kept as it is" in notices
    assert "entry 2 is no session" in notices
    assert "project 1 still holds what an older version kept there" in notices
    assert "project 2 has no path" in notices


def test_a_file_of_an_unknown_shape_is_left_alone_and_told(places: Places) -> None:
    before = put(places, "foreign")

    stored = places.store().load()

    assert wanted(stored) == {}
    assert places.data.read_bytes() == before
    assert os.listdir(places.config) == ["data.json"]
    assert not (places.root / "shop" / ".claudectl").exists()
    (notice,) = stored.notices
    assert "left alone" in notice


def test_sessions_of_a_missing_project_wait_in_the_file_until_it_is_back(places: Places) -> None:
    put(places, "lists", missing=("blog",))
    first = places.store().load()
    data = places.data.read_bytes()
    second = places.store().load()

    for stored in (first, second):
        assert wanted(stored) == {name: EXPECTED["lists"][name] for name in ("shop", "")}
        waiting = (
            f"{places.data}: 1 session of an older version for {places.root}/blog kept here for now: "
            "the directory is missing"
        )
        assert waiting in stored.notices
    assert places.data.read_bytes() == data
    assert len(copies(places)) == 1
    assert "drafts" in data.decode()

    (places.root / "blog").mkdir()
    assert wanted(places.store().load()) == EXPECTED["lists"]
    assert "drafts" not in places.data.read_text()


@pytest.mark.parametrize("way", ["open_project", "find_project"])
def test_a_project_that_comes_back_while_the_daemon_runs_has_its_sessions(places: Places, way: str) -> None:
    put(places, "lists", missing=("blog",))
    store = places.store()
    store.load()
    store.save_global([*store.load().global_sessions, session("new")])
    blog = places.root / "blog"
    assert store.find_project(str(blog)) is None
    blog.mkdir()

    found = store.open_project(str(blog)) if way == "open_project" else store.find_project(str(blog))

    assert found is not None
    assert [one.name for one in found.sessions] == ["drafts"]
    after = places.store().load()
    assert wanted(after)["blog"] == EXPECTED["lists"]["blog"]
    assert [one.name for one in after.global_sessions] == ["loose", "new"]


def test_sessions_of_a_project_that_is_not_ours_to_write_wait(places: Places) -> None:
    put(places, "lists")
    places.saved(session("a", places.project))
    shutil.rmtree(places.root / "blog")
    shutil.copytree(places.project, places.root / "blog")

    stored = places.store().load()

    assert any("blog kept here for now: a copy of" in notice for notice in stored.notices)
    assert "drafts" in places.data.read_text()
    assert wanted(stored)["shop"] == EXPECTED["lists"]["shop"]


def test_a_project_with_sessions_of_its_own_gets_the_old_ones_beside_them(places: Places) -> None:
    own = session("checkout", places.root / "shop")
    (places.root / "shop").mkdir()
    store = places.store()
    store.open_project(own.project or "")
    store.save_project(own.project or "", [own])
    (places.root / "blog").mkdir()
    places.data.write_text((GOLDEN / "lists.json").read_text().replace("@HOME@", str(places.root)))

    shop = sessions(places.store().load())["shop"]

    assert [one.name for one in shop] == ["checkout", "checkout-2", "checkout-3"]
    assert shop[0] == own


def test_a_removed_session_does_not_come_back(places: Places) -> None:
    put(places, "lists", missing=("blog",))
    store = places.store()
    shop = sessions(store.load())["shop"]
    store.save_project(f"{places.root}/shop", shop[:1], removed="rm")

    assert len(sessions(places.store().load())["shop"]) == 1


def test_a_project_behind_a_link_is_the_one_it_leads_to(places: Places) -> None:
    put(places, "lists", missing=("blog",))
    (places.root / "elsewhere").mkdir()
    (places.root / "blog").symlink_to("elsewhere")

    stored = places.store().load()
    again = places.store().load()

    assert [one.name for one in sessions(again)["elsewhere"]] == ["drafts"]
    assert [one.path for one in again.projects] == [f"{places.root}/elsewhere", f"{places.root}/shop"]
    assert not any("copy of" in notice for notice in (*stored.notices, *again.notices))


def test_the_home_directory_was_a_project_and_is_none_any_more(places: Places) -> None:
    places.config.mkdir(parents=True)
    old = {"projects": [{"id": "h", "path": str(places.root)}], "sessions": [{"id": "s", "project_id": "h"}]}
    places.data.write_text(json.dumps(old))

    stored = places.store().load()

    assert [one.cwd for one in stored.global_sessions] == [str(places.root)]
    assert stored.projects == places.store().load().projects == ()
    assert not (places.root / ".claudectl").exists()


def test_nothing_is_moved_where_the_old_file_cannot_be_written(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = put(places, "lists")
    store = places.store()

    def refuse(*_: object) -> None:
        raise OSError(30, "Read-only file system")

    with monkeypatch.context() as patch:
        patch.setattr("claudectld.stores.files.Directory.create_exclusively", refuse)
        stored = store.load()

    assert any("kept here" in notice or "cannot be moved" in notice for notice in stored.notices)
    assert places.data.read_bytes() == before
    assert wanted(places.store().load()) == EXPECTED["lists"]


def test_a_session_that_was_moved_can_be_saved_as_any_other(places: Places) -> None:
    put(places, "lists")
    store = places.store()
    loaded = sessions(store.load())
    shop = f"{places.root}/shop"

    store.save_project(shop, loaded["shop"])
    store.save_global(loaded[""])
    with pytest.raises(Rejected):
        store.save_project(f"{places.root}/nowhere", [])

    assert sessions(places.store().load()) == loaded
