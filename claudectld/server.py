"""Who is let in at the daemon's socket: this user only, so many at a time, and who says nothing makes room."""

import logging
import os
import resource
import socket

import anyio
import anyio.abc

from claudectl_protocol import __version__
from claudectl_protocol.connection import DaemonConnection
from claudectl_protocol.faults import Denied
from claudectld.connection import Answers, Calls, Connection, Limits
from claudectld.peer import peer_of

log = logging.getLogger(__name__)

ACCEPT_AGAIN_S = 1.0
"""Between two attempts to accept while there are no descriptors, if no client leaves."""


class Server:
    """Serves clients until it is cancelled."""

    def __init__(self, service: Answers, tasks: anyio.abc.TaskGroup, limits: Limits | None = None) -> None:
        """Everything runs in `tasks`."""
        self._service = service
        self._tasks = tasks
        self._limits = limits or Limits(connections=_half_of_descriptors())
        self._calls = Calls()
        self._greeted = 0
        self._silent: dict[anyio.CancelScope, None] = {}
        """Connections that have not said hello, oldest first."""
        self._left = anyio.Event()

    async def drained(self) -> None:
        """Wait until every call that has come is answered."""
        await self._calls.none_left()

    async def serve(self, listening: socket.socket) -> None:
        """Accept connections on a bound, listening socket, which this call then owns."""
        with listening:
            listening.settimeout(0.0)
            while True:
                await anyio.wait_readable(listening)
                try:
                    connection, _ = listening.accept()
                except (BlockingIOError, ConnectionAbortedError):
                    continue
                except OSError as error:
                    # Out of descriptors: the newcomer waits in the backlog until somebody has left.
                    log.error("event=not_accepted error=%s", error)
                    self._make_room()
                    with anyio.move_on_after(ACCEPT_AGAIN_S):
                        await self._left.wait()
                    continue
                self._take_in(connection)

    def _take_in(self, connection: socket.socket) -> None:
        connection.settimeout(0.0)
        refusal = self._objection(connection)
        if refusal is None:
            silence = anyio.CancelScope()
            self._silent[silence] = None
            self._tasks.start_soon(self._host, connection, silence)
            return
        talk = DaemonConnection(__version__, os.getpid())
        with connection:
            try:
                # A few bytes into an empty buffer cannot wait; nothing that the client says is ever read.
                connection.send(talk.start() + talk.dismiss(refusal))
            except OSError as error:
                log.info("event=refusal_undelivered error=%s", error)

    def _objection(self, connection: socket.socket) -> Denied | None:
        """Why a connection is not served, found out before a byte of it is parsed."""
        try:
            peer = peer_of(connection)
        except OSError as error:
            log.warning("event=peer_unknown error=%s", error)
            return Denied(why="the system does not say who connects")
        if peer.uid != os.geteuid():
            log.warning("event=peer_refused uid=%d", peer.uid)
            return Denied(why=f"this daemon serves user {os.geteuid()} only")
        if self._greeted + len(self._silent) >= self._limits.connections and not self._make_room():
            log.warning("event=connection_refused open=%d", self._greeted)
            return Denied(why=f"{self._greeted} connections are open already")
        return None

    def _make_room(self) -> bool:
        """Give up the connection that has been silent for the longest time; False when there is none."""
        for silence in self._silent:
            del self._silent[silence]
            silence.cancel()
            return True
        return False

    async def _host(self, connection: socket.socket, silence: anyio.CancelScope) -> None:
        try:
            async with await anyio.abc.SocketStream.from_socket(connection) as stream:
                client = Connection(stream, self._service, self._tasks, self._calls, self._limits)
                greeted = False
                with silence:
                    greeted = await client.greet()
                self._silent.pop(silence, None)
                if greeted:
                    await self._serve_greeted(client)
        except Exception:
            log.exception("event=defect")
        finally:
            self._silent.pop(silence, None)
            self._left.set()
            self._left = anyio.Event()

    async def _serve_greeted(self, client: Connection) -> None:
        self._greeted += 1
        try:
            await client.serve()
        finally:
            self._greeted -= 1


def _half_of_descriptors() -> int:
    """How many connections leave enough descriptors for everything else."""
    most = Limits().connections
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return most if soft == resource.RLIM_INFINITY else min(most, soft // 2)
