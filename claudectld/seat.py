"""The keeper that serves now: heard until the daemon ends, and when it dies replaced by one that holds the same
children.
"""

import logging
from collections.abc import Awaitable, Callable

import anyio

from claudectld.ports import KeeperEvent, KeeperGone, KeeperHello, KeeperLink, KeeperLost, WholeKeeper

log = logging.getLogger(__name__)

HELLO_S = 5.0
"""After so long without an answer the keeper counts as stalled; nobody is killed for it."""
FIRST_BACK_OFF_S = 0.1
LONGEST_BACK_OFF_S = 10.0


class KeeperSeat:
    """Where the keeper sits. Whoever lost one in the middle of an act can wait for the next."""

    def __init__(self, link: KeeperLink) -> None:
        self._link = link
        self._keeper: WholeKeeper | None = None
        self._came = anyio.Event()
        self.state = "gone"
        """ok, stalled or gone."""
        self.pid: int | None = None

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
        """Let the keeper leave as soon as it has no child."""
        self._link.release()

    async def hello(self) -> KeeperHello:
        """Everything the keeper knows. Raises KeeperGone, also when it is stalled."""
        with anyio.move_on_after(HELLO_S):
            hello = await self.keeper.hello()
            self.state = "ok"
            self.pid = hello.keeper.pid
            return hello
        self.state = "stalled"
        raise KeeperGone("the keeper does not answer; its children are left alone")

    async def listen(
        self, heard: Callable[[KeeperEvent], None], compare: Callable[[], Awaitable[None]]
    ) -> None:
        """Hear the keeper for ever.

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
