"""The composition root: the only place that names the real thing behind each port, and the order of start and end."""

import logging
import os
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path

import anyio
import anyio.abc

from claudectl_protocol.calls import Shutdown
from claudectl_protocol.faults import Rejected
from claudectl_protocol.settings import Config, OnStop
from claudectld.config import MIB, Places
from claudectld.core.registry import Registry
from claudectld.diagnosis import diagnosis
from claudectld.keepers import LocalKeeper
from claudectld.launching import LocalLauncher
from claudectld.listener import Listening
from claudectld.machine import LocalMachine
from claudectld.notify import Notifier
from claudectld.ports import KeeperGone
from claudectld.project import project_of
from claudectld.record.reader import RecordFiles
from claudectld.screens import local_screens
from claudectld.server import Server
from claudectld.service import Service
from claudectld.stores.locks import ConversationLocks
from claudectld.stores.migration import Heritage
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
    notifier: Notifier,
) -> None:
    """Be the daemon until told to leave. The state lock is held by the caller.

    `ready` is called when calls are answered: what ran before has been taken over by then, what is wanted is being
    restored. Leaving touches no session.

    Raises:
        KeeperGone: no keeper could be reached or started.
        EndpointError, OSError: the socket cannot be bound.
    """
    machine = LocalMachine()
    private = FilePrivateStore(places.state)
    registry = Registry()
    leaving = anyio.Event()
    async with anyio.create_task_group() as tasks:
        supervisor = Supervisor(
            registry=registry,
            tasks=tasks,
            link=LocalKeeper(places, machine, tasks),
            store=FileSessionStore(
                places.config,
                owner(places.state),
                machine.now,
                Heritage(
                    home=places.home,
                    env=dict(os.environ),
                    private=private,
                    project_of=partial(project_of, home=places.home),
                ),
            ),
            private=private,
            records=RecordFiles(Path(places.records)),
            machine=machine,
            launcher=LocalLauncher(
                places.state,
                program=config.claude.program,
                limit_bytes=config.records.limit_mib * MIB,
            ),
            conversations=ConversationLocks(places.state, machine.is_alive, registry.is_live),
            screens=local_screens(config.daemon.screen),
        )
        service = Service(
            supervisor,
            machine,
            places,
            notices=notices,
            leave=leaving.set,
            diagnose=lambda env, cwd: diagnosis(env, cwd, places, config, " ".join(notices)),
        )
        server = Server(service, tasks)
        await supervisor.open()
        listening = Listening(server.serve, tasks, places.socket_paths)
        listening.open()
        ends_sessions = config.daemon.on_stop is OnStop.STOP
        tasks.start_soon(_hear_signals, leaving, listening, service if ends_sessions else None)
        tasks.start_soon(_reconcile, supervisor, listening, config.daemon.sync_s)
        log.info("event=serving socket=%s pid=%d", places.socket, os.getpid())
        notifier.ready()
        tasks.start_soon(notifier.keep_telling, lambda: _summary(supervisor))
        ready()
        tasks.start_soon(supervisor.seat.keep_current)
        supervisor.restore()
        await leaving.wait()
        notifier.leaving()
        with anyio.move_on_after(DRAIN_S):
            await server.drained()
            await supervisor.settled()
        listening.close()
        log.info("event=leaving")
        tasks.cancel_scope.cancel()


async def _hear_signals(leaving: anyio.Event, listening: Listening, ended_first: Service | None) -> None:
    """`ended_first`, if given, has its sessions ended before a service manager's SIGTERM is obeyed."""
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGUSR1) as signals:
        async with anyio.create_task_group() as ends:
            async for received in signals:
                if received == signal.SIGUSR1:
                    listening.heal()
                elif received == signal.SIGTERM and ended_first is not None:
                    ends.start_soon(_end_sessions, ended_first, leaving)
                else:
                    leaving.set()


async def _end_sessions(service: Service, leaving: anyio.Event) -> None:
    try:
        await service.answer(Shutdown(sessions=True))
    except* (Rejected, KeeperGone) as group:
        log.error("event=sessions_not_ended errors=%r", group.exceptions)
        leaving.set()


def _summary(supervisor: Supervisor) -> str:
    """What a service manager shows about a daemon that serves."""
    sessions = supervisor.registry.visible()
    live = sum(session.lifecycle.is_live for session in sessions)
    return f"{live} of {len(sessions)} sessions active; keeper {supervisor.seat.state}"


async def _reconcile(supervisor: Supervisor, listening: Listening, sync_s: float) -> None:
    """The only periodic comparison there is."""
    while True:
        await anyio.sleep(sync_s)
        listening.heal()
        await supervisor.reconcile()
