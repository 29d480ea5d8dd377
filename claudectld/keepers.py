"""Reaching the keeper: the one that runs, the one whose socket was swept away, or a new one that takes over."""

import logging
import os
import signal
from pathlib import Path

import anyio
import anyio.abc
import anyio.to_thread
import msgspec

from claudectl_protocol.sessions import Value
from claudectld.config import Places
from claudectld.core.session import ProcessIdentity
from claudectld.keeper import copy, wire
from claudectld.keeper.client import KeeperClient
from claudectld.keeper.start import start_keeper
from claudectld.ports import KeeperCode, KeeperGone, Machine, UpgradeRefused, WholeKeeper

log = logging.getLogger(__name__)


REBIND_S = 5.0
MODERNISE_S = 30.0
RETRY_S = 0.05


class _KeeperFile(Value):
    """keeper.json: who the keeper is and where it listens."""

    boot_id: str
    pid: int
    start_ticks: int
    socket: str
    protocol: int = wire.PROTOCOL


class LocalKeeper:
    """The keeper of one state directory. Each connection to it lives in a task of its own."""

    def __init__(self, places: Places, machine: Machine, tasks: anyio.abc.TaskGroup) -> None:
        self._state = Path(places.state)
        self._socket = Path(places.keeper_socket)
        self._machine = machine
        self._tasks = tasks
        self._client: KeeperClient | None = None
        self._over = anyio.Event()

    async def connect(self) -> WholeKeeper:
        """Reach the keeper that runs, or start one. Raises KeeperGone."""
        self._client, self._over = await self._reach()
        return self._client

    async def replace(self) -> WholeKeeper:
        """Reach the keeper again; what the last connection held duplicates of is offered to it, so that a successor
        becomes the reader of every terminal. Raises KeeperGone.
        """
        client, over = await self._reach()
        if self._client is not None:
            try:
                await client.adopt(self._client.legs())
            except KeeperGone:
                over.set()
                raise
            self._over.set()
        self._client, self._over = client, over
        return client

    async def installed(self) -> KeeperCode:
        """The code that a keeper started now would run, copied. Raises KeeperGone when it cannot be."""
        try:
            directory = await anyio.to_thread.run_sync(copy.install, str(self._state))
        except OSError as error:
            raise KeeperGone(f"the keeper cannot be copied: {error}") from error
        return KeeperCode(
            name=os.path.basename(directory), directory=directory, interpreter=copy.interpreter()
        )

    def release(self) -> None:
        """Tell the keeper that it is not needed: it leaves as soon as it has no child."""
        self._signal(signal.SIGTERM)

    async def _reach(self) -> tuple[KeeperClient, anyio.Event]:
        reached = await self._find()
        keeper = self._running()
        if keeper is None or keeper.protocol >= wire.PROTOCOL:
            return reached
        client, over = reached
        try:
            await self._modernise(client, keeper.protocol)
        finally:
            over.set()
        return await self._find()

    async def _modernise(self, client: KeeperClient, protocol: int) -> None:
        """Have a keeper that speaks an older protocol go on in our code; its connections end with that."""
        spoken = f"the keeper speaks protocol {protocol}, this daemon {wire.PROTOCOL}"
        try:
            with anyio.fail_after(MODERNISE_S):
                await client.upgrade(await self.installed())
        except UpgradeRefused as refused:
            raise KeeperGone(f"{spoken}, and the keeper goes on in older code: {refused}") from refused
        except TimeoutError as error:
            raise KeeperGone(f"{spoken}, and the keeper does not answer") from error
        except KeeperGone:
            log.info("event=keeper_modernised before=%d now=%d", protocol, wire.PROTOCOL)

    async def _find(self) -> tuple[KeeperClient, anyio.Event]:
        keeper = self._running()
        socket = self._socket if keeper is None else Path(keeper.socket)
        try:
            return await self._connect(socket)
        except KeeperGone as error:
            log.info("event=keeper_not_reached error=%s", error)
        # One that lives without a socket (its runtime directory was removed) binds it again.
        self._signal(signal.SIGUSR1)
        await start_keeper(self._state, self._socket)
        keeper = self._running()
        return await self._connect(self._socket if keeper is None else Path(keeper.socket), REBIND_S)

    async def _connect(self, socket: Path, patience_s: float = 0.0) -> tuple[KeeperClient, anyio.Event]:
        """Connect, trying again for a while: nobody tells when a keeper has bound its socket again."""
        deadline = anyio.current_time() + patience_s
        while True:
            try:
                connected: tuple[KeeperClient, anyio.Event] = await self._tasks.start(self._hold, socket)
            except KeeperGone:
                if anyio.current_time() >= deadline:
                    raise
                await anyio.sleep(RETRY_S)
            else:
                return connected

    async def _hold(
        self, socket: Path, *, task_status: anyio.abc.TaskStatus[tuple[KeeperClient, anyio.Event]]
    ) -> None:
        async with KeeperClient(socket) as client:
            over = anyio.Event()
            task_status.started((client, over))
            await over.wait()

    def _signal(self, number: signal.Signals) -> None:
        keeper = self._running()
        if keeper is not None:
            log.info("event=keeper_signalled pid=%d signal=%s", keeper.pid, number.name)
            os.kill(keeper.pid, number)

    def _running(self) -> "_KeeperFile | None":
        """What the keeper says of itself, if that process is alive."""
        try:
            found = msgspec.json.decode((self._state / "keeper.json").read_bytes(), type=_KeeperFile)
        except (OSError, msgspec.MsgspecError):
            return None
        process = ProcessIdentity(boot_id=found.boot_id, pid=found.pid, start_ticks=found.start_ticks)
        return found if self._machine.is_alive(process) else None
