"""The feeds of all live runs."""

from collections.abc import Callable, Iterable

from claudectl_protocol.sessions import Activity, Exit, RunId
from claudectld.background import Background
from claudectld.core.session import Session
from claudectld.feed import Feed, Screens
from claudectld.ports import EndedRun, LiveRun, PrivateStore, Records
from claudectld.seat import KeeperSeat


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

    async def follow(self, session: Session, run: RunId) -> None:
        """Rebuild the run's screen and go on from there in the background; nothing if it is followed already."""
        if run in self._feeds:
            return
        feed = Feed(
            session.id,
            run,
            session.size,
            live_from=0 if run in self._new else self._seen.get(run, 0),
            records=self._records,
            private=self._private,
            keeper=lambda: self._seat.keeper,
            screens=self._screens,
            reported=self._reported,
        )
        self._new.discard(run)
        self._feeds[run] = feed
        is_open = False
        try:
            await feed.open()
            is_open = True
        finally:
            if not is_open:
                del self._feeds[run]
        self._background.go(self._run, feed)

    async def watch(self) -> None:
        """Ask a new keeper about every run."""
        for feed in tuple(self._feeds.values()):
            await feed.watch()

    async def _run(self, feed: Feed) -> None:
        try:
            await feed.follow()
        finally:
            # After a failure the next comparison follows the run anew.
            if self._feeds.get(feed.run) is feed:
                del self._feeds[feed.run]
