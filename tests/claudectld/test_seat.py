"""Bringing the keeper to the code that is installed: when it is asked, what is said, and what a refusal leaves."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest

from claudectl_protocol.calls import KeeperUpgrade, UpgradeState
from claudectld import seat as seats
from claudectld.ports import KeeperCode, KeeperEvent, KeeperGone, UpgradeRefused, WholeKeeper
from claudectld.seat import KeeperSeat
from tests.fakes.keeper import FakeKeeper

pytestmark = pytest.mark.anyio

BUSY = UpgradeRefused("run x is being started", is_busy=True)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Keeper(FakeKeeper):
    """A keeper that counts what it is asked, and may die of it."""

    def __init__(self, code: str = "old") -> None:
        super().__init__()
        self.code = code
        self.asked = 0
        self.busy_for = 0
        self.is_mortal = False

    async def upgrade(self, code: KeeperCode) -> str:
        self.asked += 1
        if self.asked <= self.busy_for:
            raise BUSY
        if self.is_mortal:
            self.lose()
        return await super().upgrade(code)


class Link:
    """Leads to `keeper`, and after that was lost to the next one."""

    def __init__(self, keeper: Keeper, successor: Keeper | None = None) -> None:
        self.keeper = keeper
        self.successor = successor
        self.copied = True

    async def connect(self) -> WholeKeeper:
        return self.keeper

    async def replace(self) -> WholeKeeper:
        if self.successor is None:
            raise KeeperGone("no keeper can be started")
        return self.successor

    async def installed(self) -> KeeperCode:
        if not self.copied:
            raise KeeperGone("the keeper cannot be copied: disk full")
        return KeeperCode(name="new", directory="/new", interpreter="/python")

    def release(self) -> None:
        self.keeper.lose("the keeper closed the connection")


def noticed(seat: KeeperSeat) -> tuple[str, ...]:
    return seat.notices


@asynccontextmanager
async def seated(link: Link) -> AsyncIterator[KeeperSeat]:
    seat = KeeperSeat(link)
    with anyio.fail_after(20):
        await seat.connect()
        await seat.hello()

        async def compare() -> None:
            await seat.hello()

        def heard(event: KeeperEvent) -> None:
            raise AssertionError(event)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(seat.listen, heard, compare)
            yield seat
            tasks.cancel_scope.cancel()
    for keeper in (link.keeper, link.successor):
        if keeper is not None:
            keeper.close()


async def test_a_keeper_of_older_code_is_brought_to_what_is_installed_and_asked_no_more() -> None:
    keeper = Keeper()
    async with seated(Link(keeper)) as seat:
        assert await seat.upgrade() == KeeperUpgrade(state=UpgradeState.UPGRADED)
        assert (keeper.code, noticed(seat)) == ("new", ())
        # Whoever asks learns what was done, though it was done when the daemon started.
        assert await seat.upgrade() == KeeperUpgrade(state=UpgradeState.UPGRADED)
        assert keeper.asked == 1


async def test_a_keeper_that_is_current_is_not_asked() -> None:
    keeper = Keeper("new")
    async with seated(Link(keeper)) as seat:
        await seat.keep_current()
        assert await seat.upgrade() == KeeperUpgrade(state=UpgradeState.CURRENT)
        assert (keeper.asked, noticed(seat)) == (0, ())


async def test_a_refusal_is_noticed_for_as_long_as_that_code_runs() -> None:
    keeper = Keeper()
    keeper.refused_codes["new"] = UpgradeRefused("it is broken")
    async with seated(Link(keeper)) as seat:
        await seat.keep_current()
        assert noticed(seat) == ("the keeper runs older code: it is broken",)
        assert keeper.asked == 1
        refused = KeeperUpgrade(state=UpgradeState.REFUSED, why="it is broken")
        assert await seat.upgrade() == refused
        keeper.code = "new"
        await seat.hello()
        assert noticed(seat) == ()


async def test_code_that_cannot_be_copied_is_a_refusal() -> None:
    link = Link(Keeper())
    link.copied = False
    async with seated(link) as seat:
        await seat.upgrade()
        assert noticed(seat) == ("the keeper runs older code: the keeper cannot be copied: disk full",)


async def test_a_busy_keeper_is_asked_again_until_it_has_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seats, "BUSY_AGAIN_S", 0.0)
    monkeypatch.setattr(seats, "BUSY_PAUSES_S", (0.0, 0.0))
    keeper = Keeper()
    keeper.busy_for = 8
    async with seated(Link(keeper)) as seat:
        assert (await seat.upgrade()).why == str(BUSY)
        assert keeper.asked == 3
        assert noticed(seat) == (f"the keeper runs older code: {BUSY}",)
        await seat.keep_current()
        assert (keeper.asked, keeper.code, noticed(seat)) == (9, "new", ())


async def test_a_keeper_that_dies_of_it_is_replaced_and_that_is_said() -> None:
    keeper = Keeper()
    keeper.is_mortal = True
    async with seated(Link(keeper, Keeper("new"))) as seat:
        done = await seat.upgrade()
        assert done.state is UpgradeState.UPGRADED
        assert "a new one has taken its children over" in done.why
        assert noticed(seat) == ()


async def test_a_keeper_that_comes_back_in_older_code_was_not_upgraded() -> None:
    keeper = Keeper()
    keeper.is_mortal = True
    async with seated(Link(keeper, Keeper())) as seat:
        assert await seat.upgrade() == KeeperUpgrade(state=UpgradeState.REFUSED, why="the keeper was killed")
        assert noticed(seat) == ("the keeper runs older code: the keeper was killed",)


async def test_a_keeper_that_does_not_answer_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seats, "UPGRADE_S", 0.01)

    class Silent(Keeper):
        async def upgrade(self, code: KeeperCode) -> str:
            await anyio.sleep_forever()
            raise AssertionError

    async with seated(Link(Silent())) as seat:
        assert await seat.upgrade() == KeeperUpgrade(state=UpgradeState.REFUSED, why="it does not answer")


async def test_a_keeper_that_was_released_has_no_successor() -> None:
    keeper = Keeper()
    seat = KeeperSeat(Link(keeper))
    await seat.connect()

    async def compare() -> None:
        raise AssertionError("there is nothing to compare with")

    with anyio.fail_after(20):
        seat.release()
        await seat.listen(lambda _: None, compare)
    keeper.close()

    assert seat.state == "gone"
