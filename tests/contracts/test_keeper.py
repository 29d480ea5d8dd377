"""What every keeper must do, said once and run over the fake and the real one."""

import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Protocol

import anyio
import msgspec
import pytest

from claudectl_protocol.sessions import RunId, Size
from claudectld.keeper.client import KeeperClient
from claudectld.ports import (
    EndedRun,
    Grown,
    Keeper,
    KeeperCode,
    KeeperEvent,
    KeeperGone,
    KeeperLost,
    KeeperTerminal,
    LiveRun,
    SpawnFailed,
    SpawnSpec,
    UpgradeRefused,
)
from tests.claudectld.keeper.harness import DEADLINE_S, Home, new_home, spec
from tests.fakes.keeper import FakeKeeper

pytestmark = pytest.mark.anyio


class BothPorts(Keeper, KeeperTerminal, Protocol):
    """What the daemon holds."""


class World(Protocol):
    """A keeper, and a hand on what is outside it."""

    keeper: BothPorts

    def spec(self) -> SpawnSpec:
        """A run whose child does as it is told."""
        ...

    def broken_spec(self) -> SpawnSpec:
        """A run whose program does not exist."""
        ...

    def print(self, run: RunId, text: str) -> None:
        """Have the child print."""
        ...

    def exit(self, run: RunId, code: int) -> None:
        """Have the child exit."""
        ...

    def lose(self) -> None:
        """Kill the keeper."""
        ...

    def code(self) -> KeeperCode:
        """Code that the keeper can go on in."""
        ...

    def broken_code(self) -> KeeperCode:
        """Code that it cannot go on in."""
        ...


class FakeWorld:
    """The fake does as it is told."""

    def __init__(self, keeper: FakeKeeper) -> None:
        self.fake = keeper
        self.keeper: BothPorts = keeper

    def spec(self) -> SpawnSpec:
        return spec("/child")

    def broken_spec(self) -> SpawnSpec:
        made = spec("/nonexistent")
        self.fake.refusals[made.run] = SpawnFailed("exec", "ENOENT", "/nonexistent")
        return made

    def print(self, run: RunId, text: str) -> None:
        self.fake.print(run, text.encode())

    def exit(self, run: RunId, code: int) -> None:
        self.fake.exit(run, code=code)

    def lose(self) -> None:
        self.fake.lose()

    def code(self) -> KeeperCode:
        return KeeperCode(name="newer", directory="/newer", interpreter="/python")

    def broken_code(self) -> KeeperCode:
        self.fake.refused_codes["broken"] = UpgradeRefused("it is broken")
        return KeeperCode(name="broken", directory="/broken", interpreter="/python")


OBEDIENT = (
    "import os, sys, tty\n"
    "tty.setraw(0)\n"
    "for line in os.fdopen(os.open(sys.argv[1], os.O_RDWR)):\n"
    "    verb, _, rest = line.rstrip('\\n').partition(' ')\n"
    "    if verb == 'exit': os._exit(int(rest))\n"
    "    os.write(1, rest.encode())\n"
)


class RealWorld:
    """The real keeper's children are told through fifos."""

    def __init__(self, home: Home, client: KeeperClient) -> None:
        self._home = home
        self._process = home.start()
        self.keeper: BothPorts = client

    def spec(self) -> SpawnSpec:
        made = spec("/")
        os.mkfifo(self._home.path / made.run)
        argv = (sys.executable, "-I", "-S", "-c", OBEDIENT, str(self._home.path / made.run))
        return msgspec.structs.replace(made, argv=argv)

    def broken_spec(self) -> SpawnSpec:
        return spec("/nonexistent")

    def print(self, run: RunId, text: str) -> None:
        self._tell(run, f"print {text}\n")

    def exit(self, run: RunId, code: int) -> None:
        self._tell(run, f"exit {code}\n")

    def lose(self) -> None:
        self._process.kill()
        self._process.wait()

    def code(self) -> KeeperCode:
        return self._home.code()

    def broken_code(self) -> KeeperCode:
        return self._home.code("broken", log=("import os", "raise ValueError('it is broken')"))

    def _tell(self, run: RunId, line: str) -> None:
        with open(self._home.path / run, "w") as fifo:
            fifo.write(line)


@asynccontextmanager
async def fake_world() -> AsyncIterator[World]:
    keeper = FakeKeeper()
    try:
        yield FakeWorld(keeper)
    finally:
        keeper.close()


@asynccontextmanager
async def real_world() -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        home = stack.enter_context(new_home())
        client = KeeperClient(home.socket)
        world = RealWorld(home, client)
        await stack.enter_async_context(client)
        yield world


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


Make = Callable[[], AbstractAsyncContextManager[World]]


@pytest.fixture(params=[fake_world, real_world], ids=["fake", "real"])
def make(request: pytest.FixtureRequest) -> Make:
    """Makes the world of this run."""
    made: Make = request.param
    return made


async def started(world: World) -> tuple[SpawnSpec, LiveRun]:
    made = world.spec()
    run = await world.keeper.spawn(made)
    assert isinstance(run, LiveRun)
    return made, run


async def following(events: AsyncIterator[KeeperEvent]) -> KeeperEvent:
    with anyio.fail_after(DEADLINE_S):
        return await anext(events)


async def until_ended(events: AsyncIterator[KeeperEvent]) -> EndedRun:
    while not isinstance(event := await following(events), EndedRun):
        pass
    return event


async def test_a_run_is_started_once_and_said_by_hello(make: Make) -> None:
    async with make() as world:
        before = await world.keeper.hello()
        assert (before.live, before.ended) == ((), ())
        made, run = await started(world)
        assert (run.run, run.session) == (made.run, made.session)
        again = await world.keeper.spawn(made)
        assert isinstance(again, LiveRun)
        assert again.process == run.process

        after = await world.keeper.hello()
        assert [(live.run, live.process) for live in after.live] == [(run.run, run.process)]
        assert after.epoch > before.epoch
        assert after.keeper == before.keeper


async def test_a_child_that_cannot_be_started_is_no_run(make: Make) -> None:
    async with make() as world:
        await world.keeper.hello()
        with pytest.raises(SpawnFailed) as caught:
            await world.keeper.spawn(world.broken_spec())
        assert (caught.value.stage, caught.value.error) == ("exec", "ENOENT")
        after = await world.keeper.hello()
        assert (after.live, after.ended) == ((), ())


async def test_growth_is_told_once_per_watch_and_at_once_when_it_was_before(make: Make) -> None:
    async with make() as world:
        await world.keeper.hello()
        events = world.keeper.events()
        _, run = await started(world)
        await world.keeper.watch(run.run, 0)
        world.print(run.run, "hello")
        assert await following(events) == Grown(run=run.run, size_bytes=5)
        await world.keeper.watch(run.run, 4)
        assert await following(events) == Grown(run=run.run, size_bytes=5)
        world.print(run.run, "!")
        world.exit(run.run, 0)
        assert (await until_ended(events)).size_bytes == 6


async def test_an_exit_is_told_and_said_until_it_is_acknowledged(make: Make) -> None:
    async with make() as world:
        await world.keeper.hello()
        events = world.keeper.events()
        made, run = await started(world)
        world.exit(run.run, 7)
        ended = await until_ended(events)
        assert (ended.run, ended.session, ended.exit.code, ended.exit.signal) == (
            run.run,
            run.session,
            7,
            None,
        )
        assert ended.exit.reason == "exited"
        assert await world.keeper.spawn(made) == ended

        hello = await world.keeper.hello()
        assert (hello.live, hello.ended) == ((), (ended,))
        await world.keeper.acknowledge(run.run)
        assert (await world.keeper.hello()).ended == ()
        assert await world.keeper.spawn(made) == ended


async def test_a_batch_is_typed_once_and_refused_after_the_end(make: Make) -> None:
    async with make() as world:
        await world.keeper.hello()
        events = world.keeper.events()
        _, run = await started(world)
        assert await world.keeper.type(run.run, "1", b"x")
        assert await world.keeper.type(run.run, "1", b"x")
        world.exit(run.run, 0)
        await until_ended(events)
        assert not await world.keeper.type(run.run, "2", b"x")


async def test_signals_reach_the_main_process(make: Make) -> None:
    async with make() as world:
        await world.keeper.hello()
        events = world.keeper.events()
        _, run = await started(world)
        await world.keeper.signal(run.run, signal.SIGTERM)
        ended = await until_ended(events)
        assert (ended.exit.code, ended.exit.signal, ended.exit.reason) == (None, signal.SIGTERM, "signalled")
        await world.keeper.signal(run.run, signal.SIGTERM)


async def test_ending_looks_with_signal_0_and_says_who_was_there(make: Make) -> None:
    async with make() as world:
        await world.keeper.hello()
        events = world.keeper.events()
        _, run = await started(world)
        assert await world.keeper.end(run.run, 0) == (run.process.pid,)
        assert await world.keeper.end(run.run, signal.SIGKILL) == (run.process.pid,)
        assert (await until_ended(events)).exit.signal == signal.SIGKILL
        assert await world.keeper.end(run.run, signal.SIGKILL) == ()


async def test_forgetting_refuses_a_live_run(make: Make) -> None:
    async with make() as world:
        await world.keeper.hello()
        events = world.keeper.events()
        _, run = await started(world)
        with pytest.raises(ValueError, match="live"):
            await world.keeper.forget(run.session, run.run)
        world.exit(run.run, 0)
        await until_ended(events)
        await world.keeper.forget(run.session, run.run)
        await world.keeper.forget(run.session, run.run)
        assert (await world.keeper.hello()).ended == ()


async def test_what_is_asked_of_no_run_or_an_ended_one_is_nothing(make: Make) -> None:
    async with make() as world:
        await world.keeper.hello()
        events = world.keeper.events()
        _, ended = await started(world)
        world.exit(ended.run, 0)
        await until_ended(events)
        for run in (ended.run, world.spec().run):
            await world.keeper.resize(run, Size(cols=1, rows=1))
            await world.keeper.signal(run, signal.SIGKILL)
            await world.keeper.watch(run, 1000)
            await world.keeper.acknowledge(run)
            assert await world.keeper.end(run, signal.SIGKILL) == ()
            assert not await world.keeper.type(run, "batch", b"x")


async def test_a_keeper_goes_on_in_other_code_with_everything_it_holds(make: Make) -> None:
    async with make() as world:
        events = world.keeper.events()
        before = await world.keeper.hello()
        _, run = await started(world)
        _, ending = await started(world)
        world.exit(ending.run, 3)
        ended = await until_ended(events)
        assert await world.keeper.type(run.run, "1", b"x")

        code = world.code()
        assert await world.keeper.upgrade(code) == code.name
        after = await world.keeper.hello()
        assert (after.code, before.code == code.name) == (code.name, False)
        assert after.keeper == before.keeper
        assert ([live.run for live in after.live], after.ended) == ([run.run], (ended,))
        assert await world.keeper.type(run.run, "1", b"x")
        world.print(run.run, "hello")
        await world.keeper.watch(run.run, 0)
        assert await following(events) == Grown(run=run.run, size_bytes=5)
        world.exit(run.run, 0)
        assert (await until_ended(events)).exit.code == 0


async def test_a_keeper_that_cannot_go_on_in_other_code_goes_on_in_its_own(make: Make) -> None:
    async with make() as world:
        before = await world.keeper.hello()
        _, run = await started(world)
        with pytest.raises(UpgradeRefused, match="it is broken") as caught:
            await world.keeper.upgrade(world.broken_code())
        assert not caught.value.is_busy
        after = await world.keeper.hello()
        assert (after.keeper, after.code) == (before.keeper, before.code)
        assert [live.run for live in after.live] == [run.run]


async def test_a_lost_keeper_is_the_last_event_and_every_later_answer(make: Make) -> None:
    async with make() as world:
        await world.keeper.hello()
        _, run = await started(world)
        events = world.keeper.events()
        world.lose()
        assert isinstance(await following(events), KeeperLost)
        with pytest.raises(StopAsyncIteration):
            await following(events)
        for call in (
            world.keeper.hello(),
            world.keeper.spawn(world.spec()),
            world.keeper.acknowledge(run.run),
            world.keeper.forget(run.session, run.run),
            world.keeper.type(run.run, "batch", b"x"),
            world.keeper.resize(run.run, Size(cols=1, rows=1)),
            world.keeper.signal(run.run, signal.SIGKILL),
            world.keeper.end(run.run, signal.SIGKILL),
            world.keeper.watch(run.run, 0),
            world.keeper.upgrade(world.code()),
        ):
            with pytest.raises(KeeperGone):
                await call
