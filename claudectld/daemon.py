"""The composition root: the only place that names the real thing behind each port, and the order of start and end."""

import logging
import os
import signal
from collections.abc import Callable
from pathlib import Path

import anyio
import anyio.abc

from claudectl_protocol.sessions import Size
from claudectld.claude import status
from claudectld.config import MIB, Config, Places
from claudectld.core.registry import Registry
from claudectld.keepers import LocalKeeper
from claudectld.launching import LocalLauncher
from claudectld.listener import Listening
from claudectld.machine import LocalMachine
from claudectld.ports import Screen
from claudectld.record.reader import RecordFiles
from claudectld.screen.raw import BadCheckpoint, RawScreen
from claudectld.server import Server
from claudectld.service import Service
from claudectld.stores.locks import ConversationLocks
from claudectld.stores.private import FilePrivateStore
from claudectld.stores.sessions import FileSessionStore
from claudectld.stores.stamp import owner
from claudectld.supervisor import Supervisor

log = logging.getLogger(__name__)

DRAIN_S = 2.0
"""How long calls that have come may still be answered when the daemon leaves."""


async def run(
    places: Places,
    config: Config,
    *,
    notices: tuple[str, ...],
    ready: Callable[[], None],
) -> None:
    """Be the daemon until told to leave. The state lock is held by the caller.

    `ready` is called when calls are answered: what ran before has been taken over by then, what is wanted is being
    restored. Leaving touches no session.

    Raises:
        KeeperGone: no keeper could be reached or started.
        EndpointError, OSError: the socket cannot be bound.
    """
    machine = LocalMachine()
    registry = Registry()
    leaving = anyio.Event()
    async with anyio.create_task_group() as tasks:
        supervisor = Supervisor(
            registry=registry,
            tasks=tasks,
            link=LocalKeeper(places, machine, tasks),
            store=FileSessionStore(places.config, owner(places.state), machine.now),
            private=FilePrivateStore(places.state),
            records=RecordFiles(Path(places.records)),
            machine=machine,
            launcher=LocalLauncher(
                places.state,
                program=config.claude.program,
                limit_bytes=config.records.limit_mib * MIB,
            ),
            conversations=ConversationLocks(places.state, machine.is_alive, registry.is_live),
            screens=_RawScreens(),
        )
        service = Service(supervisor, machine, places, notices=notices, leave=leaving.set)
        server = Server(service, tasks)
        await supervisor.open()
        listening = Listening(server.serve, tasks, places.socket_paths)
        listening.open()
        tasks.start_soon(_hear_signals, leaving, listening)
        tasks.start_soon(_reconcile, supervisor, listening, config.daemon.sync_s)
        log.info("event=serving socket=%s pid=%d", places.socket, os.getpid())
        ready()
        supervisor.restore()
        await leaving.wait()
        with anyio.move_on_after(DRAIN_S):
            await server.drained()
        listening.close()
        log.info("event=leaving")
        tasks.cancel_scope.cancel()


async def _hear_signals(leaving: anyio.Event, listening: Listening) -> None:
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGUSR1) as signals:
        async for received in signals:
            if received == signal.SIGUSR1:
                listening.heal()
            else:
                leaving.set()


async def _reconcile(supervisor: Supervisor, listening: Listening, sync_s: float) -> None:
    """The only periodic comparison there is."""
    while True:
        await anyio.sleep(sync_s)
        listening.heal()
        await supervisor.reconcile()


class _RawScreens:
    """Screens without an emulator."""

    def fresh(self, size: Size) -> Screen:
        return RawScreen(size, parse_report=status.parse, status_reply=status.REPLY)

    def restored(self, checkpoint: bytes) -> Screen | None:
        try:
            return RawScreen.restore(checkpoint, parse_report=status.parse, status_reply=status.REPLY)
        except BadCheckpoint as error:
            log.warning("event=checkpoint_unusable error=%s", error)
            return None
