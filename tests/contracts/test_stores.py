"""What every session store and every private store does, the one in memory and the one in files alike."""

from collections.abc import Callable
from pathlib import Path

import pytest

from claudectl_protocol.faults import Rejected, StoreFailed
from claudectl_protocol.sessions import RunId, SessionId
from claudectld.core.session import LaunchContext
from claudectld.ports import PrivateStore, SessionStore
from claudectld.stores import stamp
from claudectld.stores.private import FilePrivateStore
from claudectld.stores.sessions import FileSessionStore
from tests.claudectld.stores.places import NOW, heritage, session, session_id
from tests.fakes.stores import MemoryPrivateStore, MemorySessionStore


def _files(root: Path) -> SessionStore:
    state = root / "state"
    return FileSessionStore(str(root / "config"), stamp.owner(str(state)), lambda: NOW, heritage(root, state))


def _memory(_root: Path) -> SessionStore:
    return MemorySessionStore()


def _private_files(root: Path) -> PrivateStore:
    return FilePrivateStore(str(root / "state"))


def _private_memory(_root: Path) -> PrivateStore:
    return MemoryPrivateStore()


@pytest.fixture(params=[_memory, _files])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> SessionStore:
    make: Callable[[Path], SessionStore] = request.param
    return make(tmp_path)


@pytest.fixture(params=[_private_memory, _private_files])
def private(request: pytest.FixtureRequest, tmp_path: Path) -> PrivateStore:
    make: Callable[[Path], PrivateStore] = request.param
    return make(tmp_path)


@pytest.fixture
def project(tmp_path: Path) -> str:
    path = tmp_path.resolve() / "project"
    path.mkdir()
    return str(path)


def test_a_new_store_is_empty_and_says_nothing(store: SessionStore) -> None:
    loaded = store.load()

    assert (loaded.projects, loaded.global_sessions, loaded.notices) == ((), (), ())


def test_an_opened_project_is_known_and_writable(store: SessionStore, project: str) -> None:
    opened = store.open_project(project)

    assert opened == store.load().projects[0]
    assert (opened.path, opened.sessions, opened.available, opened.writable, opened.problem) == (
        project,
        (),
        True,
        True,
        "",
    )


def test_sessions_come_back_as_they_were_and_in_their_order(store: SessionStore, project: str) -> None:
    store.open_project(project)
    sessions = tuple(session(name, project) for name in ("z", "a", "m"))

    store.save_project(project, sessions)

    assert store.load().projects[0].sessions == sessions
    assert store.open_project(project).sessions == sessions


def test_global_sessions_and_projects_do_not_disturb_each_other(store: SessionStore, project: str) -> None:
    store.open_project(project)
    store.save_project(project, [session("mine", project)])

    store.save_global([session("everywhere")])

    loaded = store.load()
    assert loaded.global_sessions == (session("everywhere"),)
    assert loaded.projects[0].sessions == (session("mine", project),)


def test_sessions_missing_without_a_reason_are_refused_and_nothing_changes(
    store: SessionStore, project: str
) -> None:
    store.open_project(project)
    both = (session("a", project), session("b", project))
    store.save_project(project, both)
    store.save_global([session("g")])

    with pytest.raises(ValueError, match=session_id("b")):
        store.save_project(project, both[:1])
    with pytest.raises(ValueError, match=session_id("g")):
        store.save_global([])

    assert store.load().projects[0].sessions == both
    assert store.load().global_sessions == (session("g"),)


def test_a_session_exchanged_for_another_is_missing_too(store: SessionStore, project: str) -> None:
    store.open_project(project)
    store.save_project(project, [session("a", project)])

    with pytest.raises(ValueError, match=session_id("a")):
        store.save_project(project, [session("b", project)])


def test_sessions_are_removed_with_a_reason(store: SessionStore, project: str) -> None:
    store.open_project(project)
    store.save_project(project, [session("a", project), session("b", project)])
    store.save_global([session("g")])

    store.save_project(project, [session("b", project)], removed="rm by user")
    store.save_global([], removed="rm by user")

    assert store.load().projects[0].sessions == (session("b", project),)
    assert store.load().global_sessions == ()


def test_a_session_that_is_there_twice_is_refused(store: SessionStore, project: str) -> None:
    store.open_project(project)

    with pytest.raises(ValueError, match="twice"):
        store.save_project(project, [session("a", project), session("a", project)])


def test_a_closed_project_leaves_the_list_and_keeps_its_sessions(store: SessionStore, project: str) -> None:
    store.open_project(project)
    store.save_project(project, [session("a", project)])

    store.close_project(project)

    assert store.load().projects == ()
    assert store.open_project(project).sessions == (session("a", project),)
    assert [known.path for known in store.load().projects] == [project]


def test_closing_an_unknown_project_does_nothing(store: SessionStore) -> None:
    store.close_project("/nowhere")

    assert store.load().projects == ()


def test_saving_to_a_project_that_was_never_opened_fails(store: SessionStore, project: str) -> None:
    with pytest.raises(Rejected) as refused:
        store.save_project(project, [session("a", project)])

    assert isinstance(refused.value.fault, StoreFailed)
    assert refused.value.fault.error == "ENOENT"


def test_projects_are_listed_by_path(store: SessionStore, tmp_path: Path) -> None:
    paths = [str(tmp_path.resolve() / name) for name in ("c", "a", "b")]
    for path in paths:
        Path(path).mkdir()
        store.open_project(path)

    assert [known.path for known in store.load().projects] == sorted(paths)


SESSION = SessionId("5e55104e-0000-4000-8000-000000000001")
RUN = RunId("00000000-0000-4000-8000-00000000000a")
CONTEXT = LaunchContext(
    env={"PATH": "/bin", "TOKEN": "s\n\u2713", "EMPTY": ""},
    umask=0o027,
    rlimits={7: (1024, -1), 0: (5, 5)},
    groups=(4, 27),
)


def test_a_context_comes_back_as_it_was(private: PrivateStore) -> None:
    private.save_context(SESSION, LaunchContext(env={}))
    private.save_context(SESSION, CONTEXT)

    assert private.load_context(SESSION) == CONTEXT


def test_what_was_never_saved_is_none(private: PrivateStore) -> None:
    assert private.load_context(SESSION) is None
    assert private.load_checkpoint(RUN) is None


def test_the_newest_checkpoint_comes_back(private: PrivateStore) -> None:
    private.save_checkpoint(RUN, 10, b"old")
    private.save_checkpoint(RUN, 1 << 40, bytes(range(256)))

    assert private.load_checkpoint(RUN) == (1 << 40, bytes(range(256)))


def test_an_empty_checkpoint_is_a_checkpoint(private: PrivateStore) -> None:
    private.save_checkpoint(RUN, 0, b"")

    assert private.load_checkpoint(RUN) == (0, b"")


def test_removing_takes_one_session_and_its_runs(private: PrivateStore) -> None:
    other_session = SessionId("5e55104e-0000-4000-8000-000000000002")
    other_run = RunId("00000000-0000-4000-8000-00000000000b")
    for kept_session, kept_run in ((SESSION, RUN), (other_session, other_run)):
        private.save_context(kept_session, CONTEXT)
        private.save_checkpoint(kept_run, 1, b"x")

    private.remove(SESSION, [RUN])
    private.remove(SESSION, [RUN])

    assert (private.load_context(SESSION), private.load_checkpoint(RUN)) == (None, None)
    assert private.load_context(other_session) == CONTEXT
    assert private.load_checkpoint(other_run) == (1, b"x")
