"""Writing session files: one writer per file at a time, and no file written twice for the same state."""

from collections import defaultdict
from collections.abc import Callable

import anyio
import anyio.to_thread

from claudectl_protocol.faults import Rejected, StoreFailed
from claudectld.core.session import Session
from claudectld.ports import SessionStore


class Saving:
    """Saves the sessions of a project (None: those of no project) as they are when the file is written."""

    def __init__(self, store: SessionStore, sessions_of: Callable[[str | None], tuple[Session, ...]]) -> None:
        self._store = store
        self._sessions_of = sessions_of
        self._locks: defaultdict[str | None, anyio.Lock] = defaultdict(anyio.Lock)
        self._asked: defaultdict[str | None, int] = defaultdict(int)
        self._written: defaultdict[str | None, int] = defaultdict(int)
        self._removals: defaultdict[str | None, list[str]] = defaultdict(list)

    async def save(self, project: str | None, removed: str = "") -> None:
        """Return when the present state, or a later one, is on disk.

        Args:
            project: whose sessions.
            removed: why there are fewer than before; kept until a save succeeds.

        Raises:
            Rejected: StoreFailed or StoreReadOnly; the file is as it was.
        """
        if removed:
            self._removals[project].append(removed)
        self._asked[project] += 1
        asked = self._asked[project]
        async with self._locks[project]:
            if self._written[project] >= asked:
                # Somebody who waited for the lock has written our state too.
                return
            covers = self._asked[project]
            reasons = tuple(self._removals[project])
            sessions = self._sessions_of(project)
            await anyio.to_thread.run_sync(self._write, project, sessions, "; ".join(reasons))
            del self._removals[project][: len(reasons)]
            self._written[project] = covers

    async def settled(self) -> None:
        """Wait until everything that was to be saved before is saved, or has failed."""
        for lock in tuple(self._locks.values()):
            async with lock:
                pass

    def _write(self, project: str | None, sessions: tuple[Session, ...], removed: str) -> None:
        try:
            if project is None:
                self._store.save_global(sessions, removed=removed)
            else:
                self._store.save_project(project, sessions, removed=removed)
        except ValueError as error:
            # Somebody has edited the file into a state that we would have to destroy.
            raise Rejected(StoreFailed(path=project or "", error=str(error))) from error
