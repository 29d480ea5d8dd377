"""The clients in one run's terminal: whose size it has, and who is in the middle of a paste."""

from collections.abc import Hashable

import anyio


class Audience:
    """The clients of one run, and which of them last typed: its size is the session's."""

    def __init__(self) -> None:
        self._writers: list[Hashable] = []
        self._watchers: set[Hashable] = set()
        self._pasting: Hashable | None = None
        self._pasted = anyio.Event()
        self.jiggling = anyio.Lock()
        """Held by the client for whom the size is changed and changed back."""

    @property
    def is_empty(self) -> bool:
        """True when nobody looks."""
        return not self._writers and not self._watchers

    def watch(self, client: Hashable) -> None:
        """A client that only looks has come."""
        self._watchers.add(client)

    def join(self, client: Hashable) -> None:
        """A client that may type has come; it leads at once only if it is alone."""
        self._writers.insert(0, client)

    def leave(self, client: Hashable) -> None:
        """It has gone."""
        self._watchers.discard(client)
        if client in self._writers:
            self._writers.remove(client)
        self.release(client)

    def leads(self, client: Hashable) -> bool:
        """True when this client's size is the session's."""
        return bool(self._writers) and self._writers[-1] is client

    async def hold(self, client: Hashable) -> None:
        """Wait until no other client is in the middle of a paste, and keep others waiting until `release`."""
        while self._pasting not in (None, client):
            await self._pasted.wait()
        self._pasting = client

    def release(self, client: Hashable) -> None:
        """Others may type again."""
        if self._pasting is client:
            self._pasting = None
            self._pasted.set()
            self._pasted = anyio.Event()

    def lead(self, client: Hashable) -> None:
        """This client has typed."""
        self._writers.remove(client)
        self._writers.append(client)
