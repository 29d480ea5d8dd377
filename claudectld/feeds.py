"""The feeds of all live runs."""

from collections.abc import Callable, Iterable

import anyio

from claudectl_protocol.sessions import Activity, Exit, RunId
from claudectld.background import Background
from claudectld.core.session import Session
from claudectld.feed import Feed
from claudectld.ports import EndedRun, LiveRun, PrivateStore, Records, Screens
from claudectld.seat import KeeperSeat

REBUILDS_AT_ONCE = 2


class Feeds:
    """One feed per live run, from the moment it is followed until it has ended and is read to its end."""

    def __init__(
        self,
        *,
        background: Background,
        seat: KeeperSeat,
        records: Records,
        private: PrivateStore,
        screens: Screens,
        reported: Callable[[RunId, Activity], None],
    ) -> None:
        self._background = background
        self._seat = seat
        self._records = records
        self._private = private
        self._screens = screens
        self._reported = reported
        self._feeds: dict[RunId, Feed] = {}
        # More threads than this would only make every single screen later.
        self._rebuilds = anyio.CapacityLimiter(REBUILDS_AT_ONCE)
        self._new: set[RunId] = set()
        self._seen: dict[RunId, int] = {}

    def get(self, run: RunId) -> Feed | None:
        """The feed of a live run."""
        return self._feeds.get(run)

    def spawned(self, run: RunId) -> None:
        """This daemon has spawned the run: every query in its record is for us to answer."""
        self._new.add(run)

    def seen(self, live: Iterable[LiveRun], ended: Iterable[EndedRun]) -> None:
        """The keeper has said what it holds: what lies before these lengths is replayed, not answered."""
        self._seen = {run.run: run.size_bytes for run in live}
        for run, size_bytes in self._seen.items():
            self.grown(run, size_bytes)
        for gone in ended:
            self.ended(gone)

    def grown(self, run: RunId, size_bytes: int) -> None:
        """A record has become longer."""
        if run in self._feeds:
            self._feeds[run].grown(size_bytes)

    def ended(self, ended: EndedRun) -> None:
        """The keeper says that a run has ended, and how long its record was then."""
        if ended.run in self._feeds:
            self._feeds[ended.run].finish(ended.exit, ended.size_bytes)

    def finish(self, run: RunId, exit_: Exit) -> None:
        """A run has ended, whoever says so."""
        feed = self._feeds.get(run)
        if feed is not None:
            feed.finish(exit_, self._records.extent(feed.session, run)[1])

    def follow(self, session: Session, run: RunId) -> None:
        """Rebuild the run's screen and go on from there, in the background; nothing if it is followed already."""
        if run in self._feeds:
            return
        live_from = 0 if run in self._new else self._seen.get(run, 0)
        self._new.discard(run)
        feed = self._make(session, run, live_from, self._reported)
        self._feeds[run] = feed
        self._background.go(self._run, feed)

    async def opened(self) -> None:
        """Wait until every run that is followed has a screen."""
        for feed in tuple(self._feeds.values()):
            await feed.opened()

    async def past(self, session: Session, run: RunId) -> Feed:
        """A feed of a run that has ended, with its last screen."""
        feed = self._make(session, run, self._records.extent(session.id, run)[1], _ignore)
        feed.finish(self._records.exit(session.id, run) or Exit(), 0)
        await feed.open(self._rebuilds)
        return feed

    async def watch(self) -> None:
        """Ask a new keeper about every run."""
        for feed in tuple(self._feeds.values()):
            await feed.watch()

    def _make(
        self, session: Session, run: RunId, live_from: int, reported: Callable[[RunId, Activity], None]
    ) -> Feed:
        return Feed(
            session.id,
            run,
            session.size,
            live_from=live_from,
            records=self._records,
            private=self._private,
            keeper=lambda: self._seat.keeper,
            screens=self._screens,
            reported=reported,
        )

    async def _run(self, feed: Feed) -> None:
        try:
            await feed.open(self._rebuilds)
            await feed.follow()
        finally:
            # After a failure the next comparison follows the run anew.
            if self._feeds.get(feed.run) is feed:
                del self._feeds[feed.run]


def _ignore(run: RunId, activity: Activity) -> None:
    """What a run that has ended once reported is no news."""
