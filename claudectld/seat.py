"""The keeper that serves now: heard until the daemon ends, brought to the code that is installed, and when it dies
replaced by one that holds the same children.
"""

import logging
from collections.abc import Awaitable, Callable
from typing import NamedTuple

import anyio

from claudectl_protocol.calls import KeeperUpgrade, UpgradeState
from claudectld.ports import (
    KeeperCode,
    KeeperEvent,
    KeeperGone,
    KeeperHello,
    KeeperLink,
    KeeperLost,
    UpgradeRefused,
    WholeKeeper,
)

log = logging.getLogger(__name__)

HELLO_S = 5.0
"""After so long without an answer the keeper counts as stalled; nobody is killed for it."""
UPGRADE_S = 30.0
"""More than a keeper gives the new code to show that it can go on, and more than a start takes."""
BUSY_PAUSES_S = (0.05, 0.1, 0.2, 0.4)
"""A keeper is busy for as long as a program takes to start or to read what is typed; nobody tells when that is over."""
BUSY_AGAIN_S = 10.0
FIRST_BACK_OFF_S = 0.1
LONGEST_BACK_OFF_S = 10.0


_REPLACED = "the old one did not live through it, and a new one has taken its children over"


class _Refusal(NamedTuple):
    """Why the keeper went on in the code that it ran."""

    code: str
    why: str
    is_busy: bool = False


class KeeperSeat:
    """Where the keeper sits. Whoever lost one in the middle of an act can wait for the next."""

    def __init__(self, link: KeeperLink) -> None:
        self._link = link
        self._keeper: WholeKeeper | None = None
        self._came = anyio.Event()
        self.state = "gone"
        """ok, stalled or gone."""
        self.pid: int | None = None
        self._code = ""
        self._refusal: _Refusal | None = None
        self._is_released = False
        self._done = KeeperUpgrade(state=UpgradeState.CURRENT)
        """What this daemon has done about the keeper's code."""
        self._upgrading = anyio.Lock()

    @property
    def keeper(self) -> WholeKeeper:
        """The keeper. Raises KeeperGone while there has been none."""
        if self._keeper is None:
            raise KeeperGone("no keeper is connected")
        return self._keeper

    @property
    def next(self) -> anyio.Event:
        """Set when the next keeper is there; to be taken before the act that may lose this one."""
        return self._came

    async def connect(self) -> None:
        """Reach the first keeper. Raises KeeperGone."""
        self._keeper = await self._link.connect()

    def release(self) -> None:
        """Let the keeper leave as soon as it has no child; then there is no next one."""
        self._is_released = True
        self._link.release()

    async def hello(self) -> KeeperHello:
        """Everything the keeper knows. Raises KeeperGone, also when it is stalled."""
        with anyio.move_on_after(HELLO_S):
            hello = await self.keeper.hello()
            self.state = "ok"
            self.pid = hello.keeper.pid
            self._code = hello.code
            return hello
        self.state = "stalled"
        raise KeeperGone("the keeper does not answer; its children are left alone")

    async def keep_current(self) -> None:
        """Bring the keeper to the code that is installed, as soon as it is not too busy for it."""
        while True:
            await self.upgrade()
            if self._refusal is None or not self._refusal.is_busy:
                return
            await anyio.sleep(BUSY_AGAIN_S)

    async def upgrade(self) -> KeeperUpgrade:
        """Bring the keeper to the code that is installed; no child and nothing in flight is touched.

        What is refused stands in `notices` until it has succeeded. Cancelled, it may be done nevertheless.
        """
        async with self._upgrading:
            self._refusal = None
            try:
                done = await self._upgrade_to(await self._link.installed())
            except UpgradeRefused as refused:
                self._refusal = _Refusal(self._code, str(refused), refused.is_busy)
            except KeeperGone as error:
                self._refusal = _Refusal(self._code, str(error))
            if self._refusal is not None:
                log.warning("event=keeper_not_upgraded code=%s why=%s", self._code, self._refusal.why)
                return KeeperUpgrade(state=UpgradeState.REFUSED, why=self._refusal.why)
            log.info("event=keeper_%s code=%s %s", done.state, self._code, done.why)
            return done

    @property
    def notices(self) -> tuple[str, ...]:
        """What is not as it should be with the keeper, in sentences."""
        if self._refusal is None or self._refusal.code != self._code:
            return ()
        return (f"the keeper runs older code: {self._refusal.why}",)

    async def _upgrade_to(self, installed: KeeperCode) -> KeeperUpgrade:
        """Raises UpgradeRefused, KeeperGone."""
        if self._code == installed.name:
            return self._done
        came = self.next
        try:
            with anyio.fail_after(UPGRADE_S):
                self._code = await self._go_on_in(installed)
        except TimeoutError as error:
            raise KeeperGone("it does not answer") from error
        except KeeperGone as error:
            log.error("event=keeper_lost_in_upgrade error=%s", error)
            with anyio.move_on_after(UPGRADE_S):
                await came.wait()
            if self._code != installed.name:
                raise
            self._done = KeeperUpgrade(state=UpgradeState.UPGRADED, why=_REPLACED)
        else:
            self._done = KeeperUpgrade(state=UpgradeState.UPGRADED)
        return self._done

    async def _go_on_in(self, installed: KeeperCode) -> str:
        for pause_s in BUSY_PAUSES_S:
            try:
                return await self.keeper.upgrade(installed)
            except UpgradeRefused as refused:
                if not refused.is_busy:
                    raise
            await anyio.sleep(pause_s)
        return await self.keeper.upgrade(installed)

    async def listen(
        self, heard: Callable[[KeeperEvent], None], compare: Callable[[], Awaitable[None]]
    ) -> None:
        """Hear the keeper, and after it its successors, until one is lost that was released.

        Args:
            heard: takes each event, in order.
            compare: learns what a new keeper holds; raises KeeperGone if that one is lost too.
        """
        while True:
            async for event in self.keeper.events():
                if isinstance(event, KeeperLost):
                    log.warning("event=keeper_lost why=%s", event.why)
                    self.state = "gone"
                else:
                    heard(event)
            if self._is_released:
                return
            await self._replace(compare)

    async def _replace(self, compare: Callable[[], Awaitable[None]]) -> None:
        delay_s = FIRST_BACK_OFF_S
        while True:
            try:
                self._keeper = await self._link.replace()
                await compare()
            except KeeperGone as error:
                log.error("event=keeper_not_replaced error=%s", error)
                # Between attempts to start a process; there is nothing to wait for.
                await anyio.sleep(delay_s)
                delay_s = min(delay_s * 2, LONGEST_BACK_OFF_S)
            else:
                break
        self._came.set()
        self._came = anyio.Event()
