"""The supervisor against fakes of every port: what it does in which order, and what it does when something fails."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio
import anyio.lowlevel
import pytest
from msgspec.structs import replace

from claudectl_protocol.faults import (
    ClaudeCodeNotFound,
    KeeperUnavailable,
    OldRunAlive,
    ProcessAlreadyRunning,
    Rejected,
    SpawnError,
    StoreFailed,
)
from claudectl_protocol.sessions import (
    Activity,
    ActivityState,
    Exit,
    Lifecycle,
    RunId,
    Size,
    Wanted,
)
from claudectld import starting
from claudectld.claude import status
from claudectld.core.registry import Registry
from claudectld.core.session import LaunchContext, Session
from claudectld.feed import CHECKPOINT_BYTES
from claudectld.ports import EndedRun, KeeperCode, KeeperGone, RenderedLog, Screen, SpawnFailed, WholeKeeper
from claudectld.supervisor import Supervisor
from tests.claudectld.sessions import PROJECT, new_session, run_of
from tests.fakes.keeper import BOOT_ID, FakeKeeper, FakeRun
from tests.fakes.launching import FakeConversations, FakeLauncher
from tests.fakes.machine import FakeMachine
from tests.fakes.records import MemoryRecords
from tests.fakes.screen import TapeScreen
from tests.fakes.stores import MemoryPrivateStore, MemorySessionStore

pytestmark = pytest.mark.anyio

CONTEXT = LaunchContext(env={"HOME": "/home/me"})


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class TapeScreens:
    """Makes tape screens."""

    def fresh(self, size: Size) -> Screen:
        return TapeScreen(parse_report=status.parse, status_reply=status.REPLY)

    def restored(self, checkpoint: bytes) -> Screen | None:
        screen = TapeScreen(parse_report=status.parse, status_reply=status.REPLY)
        screen.load(checkpoint)
        return screen

    def log(self, size: Size) -> RenderedLog | None:
        return None


class FakeLink:
    """One keeper, or after it was lost its successor that holds the same children."""

    def __init__(self, runs: dict[RunId, FakeRun]) -> None:
        self.keeper = FakeKeeper(runs)
        self.released = False
        self.is_reachable = True
        self.code = self.keeper.code
        self.used = [self.keeper]

    async def connect(self) -> WholeKeeper:
        return self.keeper

    async def replace(self) -> WholeKeeper:
        if not self.is_reachable:
            raise KeeperGone("no keeper can be started")
        self.keeper = FakeKeeper(self.keeper.runs)
        self.used.append(self.keeper)
        return self.keeper

    async def installed(self) -> KeeperCode:
        return KeeperCode(name=self.code, directory=f"/{self.code}", interpreter="/python")

    def release(self) -> None:
        self.released = True


class House:
    """A supervisor with everything around it; `again` is the next daemon over the same files and children."""

    def __init__(self) -> None:
        self.store = MemorySessionStore()
        self.private = MemoryPrivateStore()
        self.records = MemoryRecords()
        self.machine = FakeMachine()
        self.machine.boot = BOOT_ID
        self.launcher = FakeLauncher()
        self.conversations = FakeConversations()
        self.runs: dict[RunId, FakeRun] = {}
        self.link: FakeLink

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Supervisor]:
        self.link = FakeLink(self.runs)
        try:
            with anyio.fail_after(20):
                async with anyio.create_task_group() as tasks:
                    supervisor = Supervisor(
                        registry=Registry(),
                        tasks=tasks,
                        link=self.link,
                        store=self.store,
                        private=self.private,
                        records=self.records,
                        machine=self.machine,
                        launcher=self.launcher,
                        conversations=self.conversations,
                        screens=TapeScreens(),
                    )
                    await supervisor.open()
                    yield supervisor
                    tasks.cancel_scope.cancel()
        finally:
            for keeper in self.link.used:
                keeper.close()

    def print(self, session: Session, data: bytes) -> None:
        """The session's child prints."""
        self.records.record(session.id, run_of(session)).append(data)
        self.link.keeper.print(run_of(session), data)

    def print_unseen(self, session: Session, data: bytes) -> None:
        """The session's child prints while no daemon runs."""
        self.records.record(session.id, run_of(session)).append(data)
        self.runs[run_of(session)].printed += data

    def exit_unseen(self, session: Session, *, code: int) -> None:
        """The session's child ends while no daemon runs."""
        held = self.runs[run_of(session)]
        exit_ = Exit(code=code, at=1.0)
        held.ended = EndedRun(run=run_of(session), session=session.id, exit=exit_, size_bytes=0)


def is_(lifecycle: Lifecycle) -> Callable[[Session | None], bool]:
    return lambda now: now is not None and now.lifecycle is lifecycle


class TestCreating:
    async def test_starting_is_on_disk_before_anything_is_spawned(self) -> None:
        house = House()
        async with house.open() as supervisor:
            session = new_session()

            await supervisor.create(session, CONTEXT)

            assert house.private.contexts[session.id] == CONTEXT
            assert house.store.saves[0] == (PROJECT, (session.id,), "")
            assert [spec.run for spec in house.link.keeper.spawned] == [run_of(session)]
            assert house.store.files[PROJECT].sessions[0].lifecycle is Lifecycle.ACTIVE

    async def test_the_same_request_twice_starts_one_child(self) -> None:
        house = House()
        async with house.open() as supervisor:
            session = new_session()

            first = await supervisor.create(session, CONTEXT)
            second = await supervisor.create(session, CONTEXT)

            assert first == second
            assert len(house.link.keeper.spawned) == 1

    async def test_what_cannot_be_saved_is_not_started(self) -> None:
        house = House()
        async with house.open() as supervisor:
            session = new_session()
            await supervisor.open_project(PROJECT)
            house.store.failures[PROJECT] = StoreFailed(path=PROJECT, error="ENOSPC")

            with pytest.raises(Rejected) as refused:
                await supervisor.create(session, CONTEXT)

            assert refused.value.fault == StoreFailed(path=PROJECT, error="ENOSPC")
            assert house.link.keeper.spawned == []
            assert supervisor.registry.get(session.id) is None

    async def test_a_program_that_is_not_there_leaves_not_even_a_project(self) -> None:
        house = House()
        house.launcher.refusal = ClaudeCodeNotFound(searched=("/bin",))
        async with house.open() as supervisor:
            with pytest.raises(Rejected):
                await supervisor.create(new_session(), CONTEXT)

        assert house.store.files == {}

    async def test_a_failed_spawn_is_a_fault_and_nothing_stays(self) -> None:
        house = House()
        async with house.open() as supervisor:
            session = new_session()
            house.link.keeper.refusals[run_of(session)] = SpawnFailed("exec", "ENOEXEC", "/bin/claude")

            with pytest.raises(Rejected) as refused:
                await supervisor.create(session, CONTEXT)

            assert refused.value.fault == SpawnError(stage="exec", error="ENOEXEC", path="/bin/claude")
            assert house.store.files[PROJECT].sessions == ()
            assert session.id not in house.private.contexts
            assert house.conversations.holders == {}

    async def test_a_keeper_that_dies_while_it_is_asked_is_replaced_and_asked_for_the_same_run(self) -> None:
        house = House()
        async with house.open() as supervisor:
            session = new_session()
            house.link.keeper.lose()

            await supervisor.create(session, CONTEXT)

            assert [spec.run for spec in house.link.keeper.spawned] == [run_of(session)]

    async def test_a_keeper_that_never_comes_back_is_a_fault(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(starting, "KEEPER_PATIENCE_S", 0.0)
        house = House()
        async with house.open() as supervisor:
            house.link.is_reachable = False
            house.link.keeper.lose()

            with pytest.raises(Rejected) as refused:
                await supervisor.create(new_session(), CONTEXT)

            assert isinstance(refused.value.fault, KeeperUnavailable)


class TestEnding:
    async def test_an_exit_is_acknowledged_once_it_is_saved(self) -> None:
        house = House()
        async with house.open() as supervisor:
            session = await supervisor.create(new_session(), CONTEXT)

            house.link.keeper.exit(run_of(session), code=0)
            await supervisor.until(session.id, is_(Lifecycle.STOPPED))
            await _until(lambda: house.runs[run_of(session)].acknowledged)

            assert house.store.files[PROJECT].sessions[0].wanted is Wanted.STOPPED
            assert house.conversations.holders == {}

    async def test_an_exit_that_cannot_be_saved_is_kept_by_the_keeper_until_it_can(self) -> None:
        house = House()
        async with house.open() as supervisor:
            session = await supervisor.create(new_session(), CONTEXT)
            house.store.failures[PROJECT] = StoreFailed(path=PROJECT, error="ENOSPC")

            house.link.keeper.exit(run_of(session), code=0)
            await supervisor.until(session.id, is_(Lifecycle.STOPPED))
            await _until(lambda: supervisor.registry.unsaved() == (PROJECT,))
            before = house.runs[run_of(session)].acknowledged
            house.store.failures.clear()
            await supervisor.reconcile()

            assert not before
            assert house.runs[run_of(session)].acknowledged
            assert supervisor.registry.unsaved() == ()
            assert house.store.files[PROJECT].sessions[0].lifecycle is Lifecycle.STOPPED

    async def test_a_stop_ends_what_the_child_left_behind_before_it_is_stopped(self) -> None:
        house = House()
        async with house.open() as supervisor:
            session = await supervisor.create(new_session(), CONTEXT)
            held = house.runs[run_of(session)]
            held.strays = {4711}

            stopped = await supervisor.stop(session.id, grace_s=5.0, force=False)

            assert held.strays == set()
            assert stopped is not None
            assert (stopped.lifecycle, stopped.wanted) == (Lifecycle.STOPPED, Wanted.STOPPED)
            assert stopped.exit is not None
            assert stopped.exit.by == "claudectl"

    async def test_a_stop_goes_on_when_the_keeper_is_replaced_on_the_way(self) -> None:
        house = House()
        async with house.open() as supervisor:
            session = await supervisor.create(new_session(), CONTEXT)
            house.link.keeper.lose()

            stopped = await supervisor.stop(session.id, grace_s=5.0, force=False)

            assert stopped is not None
            assert stopped.lifecycle is Lifecycle.STOPPED


class TestAdopting:
    async def test_the_next_daemon_goes_on_with_the_same_child(self) -> None:
        house = House()
        async with house.open() as supervisor:
            session = await supervisor.create(new_session(), CONTEXT)

        async with house.open() as successor:
            adopted = successor.registry.get(session.id)
            assert adopted is not None
            assert adopted.lifecycle is Lifecycle.ACTIVE
            assert successor.feed(run_of(session)) is not None
            assert house.link.keeper.spawned == []

    async def test_an_exit_that_no_daemon_saw_is_known(self) -> None:
        house = House()
        async with house.open() as supervisor:
            session = await supervisor.create(new_session(program="/bin/sh"), CONTEXT)
        house.exit_unseen(session, code=7)

        async with house.open() as successor:
            ended = successor.registry.get(session.id)

            assert ended is not None
            assert ended.exit is not None
            assert ended.exit.code == 7
            assert house.runs[run_of(session)].acknowledged

    async def test_a_run_whose_spawn_was_cut_short_is_asked_for_again(self) -> None:
        house = House()
        async with house.open() as supervisor:
            session = await supervisor.create(new_session(), CONTEXT)
        # The daemon died between the save and the spawn: nothing of the run exists.
        house.runs.clear()
        starting = house.store.files[PROJECT].sessions[0]
        house.store.save_project(PROJECT, [_starting(starting)])

        async with house.open() as successor:
            await successor.until(session.id, is_(Lifecycle.ACTIVE))

            assert [spec.run for spec in house.link.keeper.spawned] == [run_of(session)]

    async def test_what_is_wanted_is_restored_after_a_reboot_with_a_new_run(self) -> None:
        house = House()
        async with house.open() as supervisor:
            session = await supervisor.create(new_session(), CONTEXT)
            left = await supervisor.create(new_session("left"), CONTEXT)
            house.link.keeper.exit(run_of(left), code=0)
            await _until(lambda: house.runs[run_of(left)].acknowledged)
        house.runs.clear()
        house.machine.boot = "boot-2"

        async with house.open() as successor:
            successor.restore()
            restored = await successor.until(session.id, is_(Lifecycle.ACTIVE))

            assert restored is not None
            assert restored.run is not None
            assert restored.runs == (run_of(session), restored.run.id)
            assert [spec.session for spec in house.link.keeper.spawned] == [session.id]

    async def test_an_old_run_that_cannot_be_ended_forbids_a_second_writer(self) -> None:
        house = House()
        async with house.open() as supervisor:
            session = await supervisor.create(new_session(), CONTEXT)
            house.link.keeper.exit(run_of(session), signo=9)
            await supervisor.until(session.id, is_(Lifecycle.INTERRUPTED))
            held = house.runs[run_of(session)]
            held.strays, held.ignored = {4711}, frozenset({9, 15})
            house.machine.marks[run_of(session)] = (4711,)

            with pytest.raises(Rejected) as refused:
                await supervisor.start(session.id)

            assert refused.value.fault == OldRunAlive(session=session.id, pids=(4711,))
            failed = supervisor.registry.get(session.id)
            assert failed is not None
            assert failed.lifecycle is Lifecycle.FAILED
            # The run that was refused has become the last one, and that changes nothing.
            with pytest.raises(Rejected) as refused:
                await supervisor.start(session.id)
            assert refused.value.fault == OldRunAlive(session=session.id, pids=(4711,))
            assert len(house.link.keeper.spawned) == 1

    async def test_a_conversation_that_another_session_has_is_refused(self) -> None:
        house = House()
        async with house.open() as supervisor:
            first = await supervisor.create(new_session("first"), CONTEXT)
            second = new_session("second")
            stolen = replace(second, conversations=first.conversations)

            with pytest.raises(Rejected) as refused:
                await supervisor.create(stolen, CONTEXT)

            assert isinstance(refused.value.fault, ProcessAlreadyRunning)

    async def test_the_next_daemon_begins_at_the_checkpoint_and_not_at_the_beginning(self) -> None:
        house = House()
        async with house.open() as supervisor:
            session = await supervisor.create(new_session(), CONTEXT)
            house.print(session, b"\x1b]7501;state=working:app=claude-code\x07")
            house.print(session, bytes(CHECKPOINT_BYTES))
            await _until(lambda: run_of(session) in house.private.checkpoints)
        offset, _ = house.private.checkpoints[run_of(session)]
        house.records.record(session.id, run_of(session)).drop_before(offset)
        house.print_unseen(session, b"tail")

        async with house.open() as successor:
            feed = successor.feed(run_of(session))

            assert offset >= CHECKPOINT_BYTES
            assert feed is not None
            await feed.opened()
            assert feed.offset == len(house.runs[run_of(session)].printed)
            assert feed.screen.activity is not None
            assert feed.screen.repaint().endswith(b"tail")

    async def test_sizes_that_came_and_went_while_no_daemon_ran_are_not_forgotten(self) -> None:
        house = House()
        async with house.open() as supervisor:
            session = await supervisor.create(new_session(), CONTEXT)
            record = house.records.record(session.id, run_of(session))
            record.resize(session.size)
            house.print(session, b"before")
            first = supervisor.feed(run_of(session))
            assert first is not None
            await _until(lambda: first.offset == len(b"before"))
            was_exact = not first.screen.wants_jiggle
        for size in (Size(cols=60, rows=20), session.size):
            record.resize(size)
            house.print_unseen(session, b"while away")

        async with house.open() as successor:
            feed = successor.feed(run_of(session))

            assert feed is not None
            await feed.opened()
            assert was_exact
            assert feed.screen.wants_jiggle
            assert feed.size == session.size

    async def test_a_lost_keeper_is_replaced_and_its_children_are_followed_on(self) -> None:
        house = House()
        async with house.open() as supervisor:
            session = await supervisor.create(new_session(), CONTEXT)
            feed = supervisor.feed(run_of(session))
            assert feed is not None

            house.link.keeper.lose()
            await _until(lambda: len(house.link.used) == 2)
            house.print(session, b"after the keeper's death")

            assert await feed.beyond(0)
            now = supervisor.registry.get(session.id)
            assert now is not None
            assert now.lifecycle is Lifecycle.ACTIVE

    async def test_runs_that_no_session_knows_are_listed_and_left_alone(self) -> None:
        house = House()
        async with house.open() as supervisor:
            session = await supervisor.create(new_session(), CONTEXT)
        house.store.save_project(PROJECT, [], removed="the project was taken away")

        async with house.open() as successor:
            assert successor.orphans == (run_of(session),)
            assert house.runs[run_of(session)].ended is None


class TestListening:
    async def test_a_query_is_answered_once_and_a_replayed_one_never(self) -> None:
        house = House()
        async with house.open() as supervisor:
            session = await supervisor.create(new_session(), CONTEXT)
            held = house.runs[run_of(session)]

            house.print(session, b"\x1b]7501;?\x07\x1b[c")
            await _until(lambda: bool(held.typed))
            answered = b"".join(held.typed.values())

        async with house.open() as successor:
            house.print(session, b"next")
            feed = successor.feed(run_of(session))
            assert feed is not None
            await feed.beyond(len(b"\x1b]7501;?\x07\x1b[c"))

            assert answered.startswith(status.REPLY)
            assert b"".join(held.typed.values()) == answered

    async def test_a_child_that_does_not_read_its_answers_is_followed_all_the_same(self) -> None:
        house = House()
        async with house.open() as supervisor:
            session = await supervisor.create(new_session(), CONTEXT)
            house.link.keeper.deaf.add(run_of(session))

            house.print(session, b"\x1b[c" * 10)
            house.print(session, b"\x1b]7501;state=working:app=claude-code\x07")

            feed = supervisor.feed(run_of(session))
            assert feed is not None
            await _until(lambda: feed.screen.activity is not None)

    async def test_a_report_becomes_the_sessions_activity(self) -> None:
        house = House()
        async with house.open() as supervisor:
            session = await supervisor.create(new_session(), CONTEXT)

            house.print(session, b"\x1b]7501;state=working:app=claude-code\x07")

            def activity() -> Activity | None:
                now = supervisor.registry.get(session.id)
                return None if now is None else supervisor.registry.info(now).activity

            await _until(lambda: (known := activity()) is not None and known.state is ActivityState.WORKING)


async def _until(condition: Callable[[], bool]) -> None:
    """Let every other task run until the condition holds; the house's time limit ends a hopeless wait."""
    while not condition():
        await anyio.lowlevel.checkpoint()


def _starting(session: Session) -> Session:
    assert session.run is not None
    return replace(
        session, lifecycle=Lifecycle.STARTING, run=replace(session.run, process=None), started_at=None
    )
