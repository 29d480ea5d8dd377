"""The registry: stimuli in, effects out."""

import uuid

import pytest
from msgspec.structs import replace

from claudectl_protocol.faults import (
    BadName,
    NameTaken,
    ProcessAlreadyRunning,
    Rejected,
    SpawnError,
    StoreReadOnly,
)
from claudectl_protocol.sessions import (
    Activity,
    ActivityState,
    ConversationId,
    Exit,
    Lifecycle,
    Wanted,
)
from claudectld.core import effects, stimuli
from claudectld.core.registry import Registry
from claudectld.core.session import ProcessIdentity, Session
from tests.claudectld.sessions import PROJECT, new_run, new_session, run_of
from tests.fakes.keeper import BOOT_ID

PROCESS = ProcessIdentity(boot_id=BOOT_ID, pid=4242, start_ticks=99)


def opened(*sessions: Session, writable: bool = True) -> Registry:
    registry = Registry()
    registry.apply(
        stimuli.ProjectSeen(path=PROJECT, sessions=sessions, available=True, writable=writable, problem="")
    )
    return registry


def started(session: Session) -> Registry:
    registry = opened()
    registry.apply(stimuli.Requested(session=session))
    registry.apply(stimuli.Spawned(session=session.id, run=run_of(session), process=PROCESS, now=11.0))
    return registry


def now_of(registry: Registry, session: Session) -> Session:
    found = registry.get(session.id)
    assert found is not None
    return found


def exited(session: Session, exit_: Exit) -> stimuli.Exited:
    return stimuli.Exited(run=run_of(session), exit=exit_, now=20.0)


def stop_wanted(session: Session, *, again: bool = False) -> stimuli.StopWanted:
    return stimuli.StopWanted(session=session.id, grace_s=5.0, force=False, again=again, now=15.0)


def compared(
    session: Session,
    *,
    live: bool = False,
    ended: Exit | None = None,
    expected: bool = False,
    at_start: bool = True,
) -> stimuli.Compared:
    return stimuli.Compared(
        session=session.id,
        boot_id=BOOT_ID,
        expected=expected,
        live=PROCESS if live else None,
        ended=ended,
        now=30.0,
        at_start=at_start,
    )


class TestBeginning:
    def test_a_request_is_started_once_and_asked_again_starts_nothing(self) -> None:
        session = new_session()
        registry = opened()

        first = registry.apply(stimuli.Requested(session=session))
        second = registry.apply(stimuli.Requested(session=session))

        assert first[0] == effects.Start(session=session.id, run=run_of(session), fresh=True)
        assert second == []

    def test_a_session_without_a_name_gets_the_first_free_one(self) -> None:
        registry = opened()
        sessions = [new_session(name="") for _ in range(3)]

        for session in sessions:
            registry.apply(stimuli.Requested(session=session))

        assert [now_of(registry, session).name for session in sessions] == ["claude", "claude-2", "claude-3"]

    def test_a_taken_name_is_refused_and_nothing_changes(self) -> None:
        session = new_session()
        registry = started(session)

        with pytest.raises(Rejected) as refused:
            registry.apply(stimuli.Requested(session=new_session()))

        assert refused.value.fault == NameTaken(name="api", session=session.id)
        assert len(tuple(registry)) == 1

    def test_the_same_name_is_free_in_another_project(self) -> None:
        registry = started(new_session())
        registry.apply(
            stimuli.ProjectSeen(path="/proj/web", sessions=(), available=True, writable=True, problem="")
        )

        assert registry.apply(stimuli.Requested(session=new_session(project="/proj/web")))

    def test_a_name_with_control_characters_is_refused(self) -> None:
        with pytest.raises(Rejected) as refused:
            opened().apply(stimuli.Requested(session=new_session(name="a\x1b[2Jb")))

        assert isinstance(refused.value.fault, BadName)
        assert "\x1b" not in refused.value.fault.name

    def test_a_copied_project_takes_no_session(self) -> None:
        with pytest.raises(Rejected) as refused:
            opened(writable=False).apply(stimuli.Requested(session=new_session()))

        assert isinstance(refused.value.fault, StoreReadOnly)

    def test_a_spawned_run_is_followed_before_it_is_saved(self) -> None:
        session = new_session()
        registry = opened()
        registry.apply(stimuli.Requested(session=session))

        todo = registry.apply(
            stimuli.Spawned(session=session.id, run=run_of(session), process=PROCESS, now=11.0)
        )

        # Claude asks its terminal for the status protocol at once and waits two seconds: no fsync comes first.
        assert todo[0] == effects.Follow(session=session.id, run=run_of(session))
        assert effects.Save(project=PROJECT) in todo
        assert now_of(registry, session).lifecycle is Lifecycle.ACTIVE

    def test_a_first_run_that_cannot_start_leaves_nothing(self) -> None:
        session = new_session()
        registry = opened()
        registry.apply(stimuli.Requested(session=session))

        todo = registry.apply(
            stimuli.SpawnRefused(
                session=session.id,
                run=run_of(session),
                fault=SpawnError(stage="exec", error="ENOENT"),
                text="",
                now=11.0,
            )
        )

        assert registry.get(session.id) is None
        assert effects.Forget(session=session.id, runs=session.runs) in todo

    def test_a_later_run_that_cannot_start_is_failed_and_stays_wanted(self) -> None:
        session = new_session()
        registry = started(session)
        registry.apply(exited(session, Exit(signal=9, reason="signalled")))
        run = new_run()
        registry.apply(stimuli.StartWanted(session=session.id, run=run, now=21.0))

        registry.apply(
            stimuli.SpawnRefused(
                session=session.id,
                run=run.id,
                fault=SpawnError(stage="exec", error="ENOENT"),
                text="no program",
                now=22.0,
            )
        )

        failed = now_of(registry, session)
        assert (failed.lifecycle, failed.wanted) == (Lifecycle.FAILED, Wanted.RUNNING)
        assert failed.exit is not None
        assert failed.exit.text == "no program"

    def test_a_run_that_ended_before_its_spawn_was_heard_of_is_not_followed(self) -> None:
        session = new_session(program="/bin/true")
        registry = opened()
        registry.apply(stimuli.Requested(session=session))
        registry.apply(exited(session, Exit(code=0)))

        todo = registry.apply(
            stimuli.Spawned(session=session.id, run=run_of(session), process=PROCESS, now=21.0)
        )

        assert not any(isinstance(effect, effects.Follow) for effect in todo)
        assert now_of(registry, session).lifecycle is Lifecycle.STOPPED


class TestEnding:
    @pytest.mark.parametrize(
        ("exit_", "lifecycle", "wanted"),
        [
            (Exit(code=0), Lifecycle.STOPPED, Wanted.STOPPED),
            (Exit(code=0, reason="interrupted"), Lifecycle.INTERRUPTED, Wanted.RUNNING),
            (Exit(code=143), Lifecycle.INTERRUPTED, Wanted.RUNNING),
            (Exit(code=129), Lifecycle.INTERRUPTED, Wanted.RUNNING),
            (Exit(signal=9, reason="signalled"), Lifecycle.INTERRUPTED, Wanted.RUNNING),
            (Exit(reason="unknown"), Lifecycle.INTERRUPTED, Wanted.RUNNING),
            (Exit(code=1), Lifecycle.FAILED, Wanted.RUNNING),
        ],
    )
    def test_what_claudes_exit_means(self, exit_: Exit, lifecycle: Lifecycle, wanted: Wanted) -> None:
        session = new_session()
        registry = started(session)

        registry.apply(exited(session, exit_))

        ended = now_of(registry, session)
        assert (ended.lifecycle, ended.wanted) == (lifecycle, wanted)

    @pytest.mark.parametrize("restore", [False, True])
    @pytest.mark.parametrize(
        ("exit_", "lifecycle", "interrupted"),
        [
            (Exit(code=0), Lifecycle.STOPPED, False),
            (Exit(code=7), Lifecycle.STOPPED, False),
            (Exit(signal=15, reason="signalled"), Lifecycle.INTERRUPTED, True),
            (Exit(reason="unknown"), Lifecycle.INTERRUPTED, True),
        ],
    )
    def test_any_exit_of_another_program_clears_it_unless_restore_was_asked_and_it_was_interrupted(
        self, exit_: Exit, lifecycle: Lifecycle, *, interrupted: bool, restore: bool
    ) -> None:
        session = new_session(program="/bin/sh", restore=restore)
        registry = started(session)

        registry.apply(exited(session, exit_))

        ended = now_of(registry, session)
        assert ended.lifecycle is lifecycle
        assert (ended.wanted is Wanted.RUNNING) is (restore and interrupted)

    def test_an_exit_is_acknowledged_only_after_it_is_saved(self) -> None:
        session = new_session()
        registry = started(session)

        todo = registry.apply(exited(session, Exit(code=0)))

        saved = todo.index(effects.Save(project=PROJECT))
        assert todo.index(effects.Acknowledge(run=run_of(session))) > saved

    def test_a_stop_clears_wanted_whatever_the_exit_and_ends_only_when_all_is_gone(self) -> None:
        session = new_session()
        registry = started(session)

        stop = registry.apply(stop_wanted(session))
        registry.apply(exited(session, Exit(code=143)))
        between = now_of(registry, session)
        registry.apply(stimuli.Cleared(run=run_of(session), leftovers=(), now=21.0))

        assert stop[-1] == effects.End(session=session.id, run=run_of(session), grace_s=5.0, force=False)
        assert (between.lifecycle, between.wanted) == (Lifecycle.STOPPING, Wanted.STOPPED)
        after = now_of(registry, session)
        assert after.lifecycle is Lifecycle.STOPPED
        assert after.exit == Exit(code=143, by="claudectl")

    def test_a_stop_while_starting_ends_the_run_once_it_is_there(self) -> None:
        session = new_session()
        registry = opened()
        registry.apply(stimuli.Requested(session=session))

        early = registry.apply(stop_wanted(session))
        late = registry.apply(
            stimuli.Spawned(session=session.id, run=run_of(session), process=PROCESS, now=16.0)
        )

        assert not any(isinstance(effect, effects.End) for effect in early)
        assert any(isinstance(effect, effects.End) for effect in late)

    def test_stopping_what_has_ended_ends_what_it_left_behind_and_keeps_its_exit(self) -> None:
        session = new_session()
        registry = started(session)
        registry.apply(exited(session, Exit(code=0)))

        todo = registry.apply(stop_wanted(session))
        registry.apply(compared(session, ended=Exit(code=0), expected=True, at_start=False))
        registry.apply(stimuli.Cleared(run=run_of(session), leftovers=(), now=21.0))

        assert todo[-1] == effects.End(session=session.id, run=run_of(session), grace_s=5.0, force=False)
        after = now_of(registry, session)
        assert (after.lifecycle, after.exit) == (Lifecycle.STOPPED, Exit(code=0))

    def test_stopping_an_interrupted_session_makes_it_unwanted(self) -> None:
        session = new_session()
        registry = started(session)
        registry.apply(exited(session, Exit(reason="unknown")))

        registry.apply(stop_wanted(session))

        assert now_of(registry, session).wanted is Wanted.STOPPED
        assert registry.restorable() == ()

    def test_what_could_not_be_ended_is_said(self) -> None:
        session = new_session()
        registry = started(session)
        registry.apply(stop_wanted(session))
        registry.apply(exited(session, Exit(code=0)))

        registry.apply(stimuli.Cleared(run=run_of(session), leftovers=(77,), now=21.0))

        assert "77" in registry.info(now_of(registry, session)).problem

    def test_a_running_session_is_neither_started_nor_removed(self) -> None:
        session = new_session()
        registry = started(session)

        for stimulus in (
            stimuli.StartWanted(session=session.id, run=new_run(), now=20.0),
            stimuli.Removed(session=session.id),
        ):
            with pytest.raises(Rejected) as refused:
                registry.apply(stimulus)
            assert refused.value.fault == ProcessAlreadyRunning(session=session.id, name="api")

    def test_removing_saves_with_a_reason_before_anything_is_deleted(self) -> None:
        session = new_session()
        registry = started(session)
        registry.apply(exited(session, Exit(code=0)))

        todo = registry.apply(stimuli.Removed(session=session.id))

        assert todo[1:] == [
            effects.Save(project=PROJECT, removed="rm"),
            effects.Forget(session=session.id, runs=session.runs),
        ]
        assert tuple(registry) == ()


class TestComparing:
    def test_a_live_run_is_followed_and_nothing_else_happens_to_it(self) -> None:
        session = new_session()
        registry = started(session)

        todo = registry.apply(compared(session, live=True))

        assert todo == [effects.Follow(session=session.id, run=run_of(session))]

    def test_a_run_that_was_asked_for_and_never_seen_is_asked_for_again(self) -> None:
        session = new_session()
        registry = opened(session)

        todo = registry.apply(compared(session))

        assert todo == [effects.Start(session=session.id, run=run_of(session))]

    def test_a_run_that_is_asked_for_again_comes_after_what_every_earlier_one_has_left(self) -> None:
        first, second = new_run().id, new_run().id
        session = new_session()
        session = replace(session, runs=(first, second, run_of(session)))
        registry = opened(session)

        todo = registry.apply(compared(session))

        assert todo == [effects.Start(session=session.id, run=run_of(session), old=(first, second))]

    def test_a_run_that_was_asked_for_before_the_reboot_is_interrupted(self) -> None:
        session = new_session(boot_id="boot-0")
        registry = opened(session)

        registry.apply(compared(session))

        assert now_of(registry, session).lifecycle is Lifecycle.INTERRUPTED
        assert registry.restorable() == (session.id,)

    def test_a_spawn_that_is_under_way_is_not_found_missing(self) -> None:
        session = new_session()
        registry = opened()
        registry.apply(stimuli.Requested(session=session))

        assert registry.apply(compared(session, at_start=False)) == []

    def test_a_run_spawned_while_the_keeper_was_being_asked_is_not_found_missing(self) -> None:
        session = new_session()
        registry = started(session)

        assert registry.apply(compared(session, at_start=False)) == []
        assert now_of(registry, session).lifecycle is Lifecycle.ACTIVE

    def test_an_active_run_that_nobody_knows_is_interrupted_not_ended_with_zero(self) -> None:
        session = new_session()
        registry = started(session)

        registry.apply(compared(session, expected=True))

        lost = now_of(registry, session)
        assert lost.lifecycle is Lifecycle.INTERRUPTED
        assert lost.exit is not None
        assert (lost.exit.code, lost.exit.signal) == (None, None)

    def test_an_exit_that_no_daemon_saw_is_taken_over(self) -> None:
        session = replace(new_session(), lifecycle=Lifecycle.ACTIVE)
        registry = opened(session)

        todo = registry.apply(compared(session, ended=Exit(code=0)))

        assert now_of(registry, session).lifecycle is Lifecycle.STOPPED
        assert effects.Acknowledge(run=run_of(session)) in todo

    def test_a_stop_that_was_cut_short_is_finished(self) -> None:
        session = replace(new_session(), lifecycle=Lifecycle.STOPPING, wanted=Wanted.STOPPED)

        for seen in (
            compared(session, live=True),
            compared(session, ended=Exit(code=143)),
            compared(session, expected=True),
        ):
            todo = opened(session).apply(seen)
            assert any(isinstance(effect, effects.End) for effect in todo)

    def test_the_keeper_is_right_about_what_lives(self) -> None:
        session = replace(new_session(), lifecycle=Lifecycle.INTERRUPTED)
        registry = opened(session)

        registry.apply(compared(session, live=True))

        assert now_of(registry, session).lifecycle is Lifecycle.ACTIVE

    def test_a_run_that_ended_after_the_keeper_answered_is_not_brought_back(self) -> None:
        session = new_session()
        registry = started(session)
        registry.apply(exited(session, Exit(code=0)))

        todo = registry.apply(compared(session, live=True, expected=True, at_start=False))

        assert todo == []
        assert now_of(registry, session).lifecycle is Lifecycle.STOPPED

    def test_a_live_run_of_a_session_nobody_wants_is_ended(self) -> None:
        session = replace(new_session(), lifecycle=Lifecycle.STOPPED, wanted=Wanted.STOPPED)
        registry = opened(session)

        todo = registry.apply(compared(session, live=True))

        assert any(isinstance(effect, effects.End) for effect in todo)

    def test_only_what_is_wanted_and_can_be_is_restored(self) -> None:
        lost = {"lifecycle": Lifecycle.INTERRUPTED}
        claude = replace(new_session("one"), **lost)
        restored = replace(new_session("two", program="/bin/sh", restore=True), **lost)
        plain = replace(new_session("three", program="/bin/sh"), **lost)
        left = replace(new_session("four"), lifecycle=Lifecycle.STOPPED, wanted=Wanted.STOPPED)
        registry = opened(claude, restored, plain, left)

        assert set(registry.restorable()) == {claude.id, restored.id}

    def test_sessions_of_a_copied_project_are_shown_and_never_restored(self) -> None:
        session = replace(new_session(), lifecycle=Lifecycle.INTERRUPTED)
        registry = opened(session, writable=False)

        assert registry.restorable() == ()
        assert [shown.lifecycle for shown in registry.in_project(PROJECT)] == [Lifecycle.UNAVAILABLE]
        assert registry.apply(compared(session, live=True)) == []

    def test_sessions_of_our_own_project_are_taken_over_though_it_cannot_be_written(self) -> None:
        session = replace(new_session(), lifecycle=Lifecycle.ACTIVE)
        registry = Registry()
        seen = stimuli.ProjectSeen(
            path=PROJECT, sessions=(session,), available=True, writable=False, problem="read-only", ours=True
        )
        registry.apply(seen)

        assert registry.apply(compared(session, live=True)) == [
            effects.Follow(session=session.id, run=run_of(session))
        ]
        assert registry.restorable() == ()
        assert registry.problems() == (f"{PROJECT}: read-only",)
        for change in (
            stimuli.Requested(session=new_session("other")),
            stimuli.Renamed(session=session.id, name="other"),
        ):
            with pytest.raises(Rejected) as refused:
                registry.apply(change)
            assert refused.value.fault == StoreReadOnly(path=PROJECT, why="read_only", detail="read-only")
        assert any(isinstance(effect, effects.End) for effect in registry.apply(stop_wanted(session)))

    def test_a_save_that_worked_proves_that_a_project_can_be_written(self) -> None:
        registry = Registry()
        registry.apply(
            stimuli.ProjectSeen(
                path=PROJECT, sessions=(), available=True, writable=False, problem="read-only", ours=True
            )
        )
        registry.apply(stimuli.SaveFailed(project=PROJECT, why="EROFS"))
        registry.apply(stimuli.Saved(project=PROJECT))

        registry.apply(stimuli.Requested(session=new_session()))
        assert registry.problems() == ()

    def test_a_session_that_two_files_hold_belongs_to_the_first(self) -> None:
        session = new_session()
        registry = started(session)
        elsewhere = replace(session, project="/proj/other", lifecycle=Lifecycle.STOPPED)
        registry.apply(
            stimuli.ProjectSeen(
                path="/proj/other", sessions=(elsewhere,), available=True, writable=True, problem=""
            )
        )
        registry.apply(stimuli.GlobalSeen(sessions=(replace(elsewhere, project=None),)))

        assert now_of(registry, session).project == PROJECT
        assert now_of(registry, session).lifecycle is Lifecycle.ACTIVE
        (shown,) = registry.in_project("/proj/other")
        assert (shown.id, shown.lifecycle) == (session.id, Lifecycle.UNAVAILABLE)


class TestKnowing:
    def test_a_claude_that_has_not_reported_is_unknown_not_idle(self) -> None:
        session = new_session()
        registry = started(session)

        activity = registry.info(now_of(registry, session)).activity

        assert activity is not None
        assert (activity.state, activity.text) == (ActivityState.UNKNOWN, "no report since start")

    def test_a_report_is_news_once(self) -> None:
        session = new_session()
        registry = started(session)
        working = Activity(state=ActivityState.WORKING, source="osc7501", since=12.0)

        first = registry.apply(stimuli.Reported(run=run_of(session), activity=working))
        again = registry.apply(stimuli.Reported(run=run_of(session), activity=replace(working, since=13.0)))

        assert first == [effects.Changed(session=session.id)]
        assert again == []
        assert registry.info(now_of(registry, session)).activity == working

    def test_a_new_conversation_is_added_to_the_ledger(self) -> None:
        session = new_session()
        registry = started(session)
        fresh = ConversationId(str(uuid.uuid4()))
        seen = stimuli.ConversationSeen(run=run_of(session), conversation=fresh, reason="clear", now=40.0)

        registry.apply(seen)
        again = registry.apply(seen)

        assert now_of(registry, session).conversation == fresh
        assert len(now_of(registry, session).conversations) == 2
        assert again == []

    def test_a_failed_save_is_a_problem_until_one_succeeds(self) -> None:
        session = new_session()
        registry = started(session)

        registry.apply(stimuli.SaveFailed(project=PROJECT, why="disk full"))
        during = registry.info(now_of(registry, session)).problem
        registry.apply(stimuli.Saved(project=PROJECT))

        assert "disk full" in during
        assert registry.info(now_of(registry, session)).problem == ""


class TestMoving:
    def _moved(self, *sessions: Session, moved_from: str | None = PROJECT) -> stimuli.ProjectSeen:
        return stimuli.ProjectSeen(
            path="/proj/new",
            sessions=sessions,
            available=True,
            writable=True,
            problem="",
            moved_from=moved_from,
        )

    def _in_file(self, session: Session) -> Session:
        """As the store reads it after the move."""
        return replace(session, project="/proj/new", cwd="/proj/new")

    def test_a_known_session_goes_along_with_its_project_and_stays_what_it_is(self) -> None:
        session = new_session()
        registry = started(session)

        todo = registry.apply(self._moved(self._in_file(session)))

        moved = now_of(registry, session)
        assert (moved.project, moved.cwd, moved.lifecycle) == ("/proj/new", "/proj/new", Lifecycle.ACTIVE)
        assert moved.run == replace(new_run(), id=run_of(session), process=PROCESS)
        assert todo == [effects.Changed(session=session.id), effects.Save(project="/proj/new")]

    def test_a_session_that_never_got_into_the_file_goes_along_too(self) -> None:
        session = new_session()
        registry = started(session)

        registry.apply(self._moved())

        assert now_of(registry, session).project == "/proj/new"

    def test_the_old_path_is_forgotten_with_what_could_not_be_saved_there(self) -> None:
        session = new_session()
        registry = started(session)
        registry.apply(stimuli.SaveFailed(project=PROJECT, why="ENOENT"))

        registry.apply(self._moved(self._in_file(session)))
        registry.apply(stimuli.SaveFailed(project=PROJECT, why="ENOENT"))

        assert [project.path for project in registry.projects()] == ["/proj/new"]
        assert (registry.unsaved(), registry.problems()) == ((), ())

    def test_sessions_of_other_projects_stay_where_they_are(self) -> None:
        session, other = new_session(), new_session("other", project=None)
        registry = started(session)
        registry.apply(stimuli.GlobalSeen(sessions=(other,)))

        registry.apply(self._moved(self._in_file(session)))

        assert now_of(registry, other) == other

    def test_a_project_that_was_not_moved_leaves_known_sessions_alone(self) -> None:
        session = new_session()
        registry = started(session)
        before = now_of(registry, session)

        todo = registry.apply(
            stimuli.ProjectSeen(path=PROJECT, sessions=(session,), available=True, writable=True, problem="")
        )

        assert (now_of(registry, session), todo) == (before, [])
