"""Who may ask, and the answers: connections, the one controller, requests matched to the table of runs."""

import os
import socket
import struct
import sys
import traceback
from collections.abc import Callable, Mapping
from typing import assert_never

from . import processes, requests
from .connection import Connection, ConnectionState
from .handover import KeeperState
from .log import Log
from .loop import Loop
from .processes import Identity
from .record import Exit
from .requests import Refused
from .run import Run
from .runs import Ended, Outcome, Runs
from .spawn import SpawnError
from .wire import MAX_FDS, PROTOCOL, Frame, close_all

MAX_CONNECTIONS = 64
"""The oldest that is not the controller goes when another comes."""

_LOCAL_PEERCRED = 1
_LOCAL_PEERPID = 2

Header = Mapping[str, object]


class Server:
    """Accepts, answers and tells. Only the controller may act or is told; a newer one fences the older."""

    def __init__(
        self,
        state: str,
        nofile: tuple[int, int],
        loop: Loop,
        log: Log,
        *,
        code: str,
        upgrade: Callable[[requests.Upgrade, "Caller"], None],
    ) -> None:
        """`code` names the code that runs; `upgrade` goes on with other code, or answers later, or raises."""
        self.code = code
        self._upgrade = upgrade
        self.runs = Runs(state, nofile, loop, log, self)
        self._keeper = processes.identity(os.getpid())
        self._loop = loop
        self._log = log
        self._connections: list[Connection] = []
        self._controller: Connection | None = None
        self._epoch = 0

    def accept(self, listener: socket.socket) -> None:
        """Take one caller, if it is of our user; not a byte of another's is read."""
        try:
            sock, _ = listener.accept()
        except OSError:
            return
        uid, pid = _peer(sock)
        if uid != os.geteuid():
            self._log.line("foreign_peer", uid=uid, pid=pid)
            sock.close()
            return
        if len(self._connections) >= MAX_CONNECTIONS:
            next(each for each in self._connections if each is not self._controller).close()
        self._connections.append(Connection(sock, pid, self._loop, self._answer, self._gone))

    # --- going on in other code

    def busy(self) -> str:
        """Why the state cannot be handed over now; empty when it can."""
        if self._controller is not None and self._controller.has_descriptors:
            return "descriptors are on their way"
        return self.runs.busy()

    @property
    def epoch(self) -> int:
        """How many controllers there have been."""
        return self._epoch

    @property
    def controller(self) -> int | None:
        """The descriptor of the controller's connection."""
        return self._controller.fd if self._controller is not None else None

    def connections(self) -> tuple[ConnectionState, ...]:
        """Every connection that can be carried on."""
        return tuple(each.state() for each in self._connections if not each.has_descriptors)

    def carry_on(self, state: KeeperState) -> None:
        """Hold the runs and the connections that this process had before its exec."""
        self._epoch = state.epoch
        self.runs.carry_on(state.runs)
        if state.protocol != PROTOCOL:
            self.runs.unwatch()
        for each in state.connections:
            sock = socket.socket(fileno=each.fd)
            if state.protocol != PROTOCOL:
                # Whoever is on it learns what is spoken now by saying hello again.
                sock.close()
                continue
            connection = Connection(sock, each.pid, self._loop, self._answer, self._gone)
            self._connections.append(connection)
            if each.fd == state.controller:
                self._controller = connection
            connection.carry_on(each)
            if state.asker is not None and state.asker[0] == each.fd:
                Caller(connection, state.asker[1]).reply({"code": self.code})

    # --- as the runs' audience

    def grown(self, run: Run) -> None:
        """Tell the controller that a watched record grew."""
        self._tell({"event": "grown", "run": run.name, "size_bytes": run.record.size_bytes})

    def ended(self, run: Run) -> None:
        """Tell the controller that a run ended."""
        assert run.exit is not None
        self._tell({"event": "ended", **_ended(run.name, run.session, run.exit)})

    def _tell(self, header: Header) -> None:
        if self._controller is not None:
            self._controller.send(header)

    def _gone(self, connection: Connection) -> None:
        self._connections.remove(connection)
        if connection is self._controller:
            self._controller = None
            self.runs.unwatch()

    def _answer(self, connection: Connection, frame: Frame) -> None:
        number = frame.header.get("id")
        if type(number) is not int:
            close_all(frame.fds)
            connection.send({"error": "bad_frame", "detail": "a request needs a number as its id"})
            connection.close()
            return
        caller = Caller(connection, number)
        caller.attempt(lambda: self._carry_out(caller, frame))

    def _carry_out(self, caller: "Caller", frame: Frame) -> None:
        try:
            request = requests.parse(frame)
            if caller.connection is not self._controller and not isinstance(
                request, requests.Hello | requests.Ping
            ):
                raise Refused("not_controller", "say hello with control first")
        except Refused:
            close_all(frame.fds)
            raise
        runs = self.runs
        match request:
            case requests.Hello(control):
                self._greet(caller, control=control)
            case requests.Ping():
                caller.reply()
            case requests.Legs(names):
                self._hand_out(caller, names)
            case requests.Spawn():
                runs.spawn(request, caller.outcome)
            case requests.Adopt():
                caller.outcome(runs.adopt(request))
            case requests.Acknowledge(name):
                runs.acknowledge(name)
                caller.reply()
            case requests.Forget(session, name):
                runs.forget(session, name)
                caller.reply()
            case requests.Type(name, batch, data):
                if (run := runs.find(name)) is None:
                    caller.typed(typed=False)
                else:
                    run.type(batch, data, caller.typed)
            case requests.Resize(name, window):
                if (run := runs.find(name)) is not None:
                    run.resize(window)
                caller.reply()
            case requests.Signal(name, signo):
                if (run := runs.find(name)) is not None:
                    run.signal(signo)
                caller.reply()
            case requests.End(name, signo):
                caller.reply({"pids": runs.end(name, signo, frozenset({caller.connection.pid}))})
            case requests.Watch(name, size_bytes):
                caller.reply()
                if (run := runs.find(name)) is not None:
                    run.watch(size_bytes)
            case requests.Upgrade():
                self._upgrade(request, caller)
            case _:
                assert_never(request)

    def _greet(self, caller: "Caller", *, control: bool) -> None:
        if control:
            self._epoch += 1
            older, self._controller = self._controller, caller.connection
            if older is not None and older is not caller.connection:
                older.send({"event": "fenced", "epoch": self._epoch})
                older.close()
                self.runs.unwatch()
        caller.reply(
            {
                "protocol": PROTOCOL,
                "keeper": self._keeper._asdict(),
                "code": self.code,
                "epoch": self._epoch,
                "live": [_live(run) for run in self.runs.live()],
                "ended": [
                    _ended(run.name, run.session, run.exit)
                    for run in self.runs.unacknowledged()
                    if run.exit is not None
                ],
            }
        )

    def _hand_out(self, caller: "Caller", names: tuple[str, ...]) -> None:
        if len(names) > MAX_FDS // 2:
            raise Refused("too_large", f"at most {MAX_FDS // 2} runs at once")
        found = [run for name in names if (run := self.runs.find(name)) is not None and run.exit is None]
        caller.reply_with_legs({}, found)


class Caller:
    """One request to be answered, now or later, whether its connection still exists or not."""

    def __init__(self, connection: Connection, number: int) -> None:
        self.connection = connection
        self._number = number

    @property
    def number(self) -> int:
        """The request's id."""
        return self._number

    def attempt(self, act: Callable[[], None]) -> None:
        """Act for this request; what goes wrong is its answer."""
        try:
            act()
        except Refused as refused:
            self._refuse(refused.error, refused.detail)
        except OSError as error:
            self._refuse("system", str(error))
        except Exception:  # noqa: BLE001 - the request edge
            # A defect met by one request must not cost every child its parent.
            traceback.print_exc(file=sys.stderr)
            sys.stderr.flush()
            self._refuse("internal", "the keeper's log has the details")

    def _refuse(self, error: str, detail: str) -> None:
        self.connection.send({"id": self._number, "error": error, "detail": detail})

    def reply(self, header: Header | None = None) -> None:
        """Say that it is done."""
        self.connection.send({"id": self._number, **(header or {})})

    def typed(self, *, typed: bool) -> None:
        """Say whether a batch was typed."""
        self.reply({"typed": typed})

    def outcome(self, outcome: Outcome) -> None:
        """Say what became of a start or a taking over."""
        match outcome:
            case Run():
                self.reply_with_legs({"live": _live(outcome)}, [outcome])
            case Ended(name, session, ended):
                self.reply({"ended": _ended(name, session, ended)})
            case SpawnError():
                self.connection.send(
                    {
                        "id": self._number,
                        "error": "spawn",
                        "detail": outcome.detail,
                        "stage": outcome.stage,
                        "errno": outcome.error,
                        "path": outcome.path,
                    }
                )
            case _:
                assert_never(outcome)

    def reply_with_legs(self, header: Header, runs: list[Run]) -> None:
        """Reply with duplicates of the runs' masters and pidfds."""
        legs: list[Header] = []
        fds: list[int] = []
        opened: list[int] = []
        for run in runs:
            pidfd = run.pidfd
            if (
                pidfd is None
                and not run.adopted
                and (pidfd := processes.open_pidfd(run.process.pid)) is not None
            ):
                opened.append(pidfd)
            fds += [run.master] if pidfd is None else [run.master, pidfd]
            legs.append(
                {
                    **_live(run),
                    "segment_bytes": run.record.segment_bytes,
                    "limit_bytes": run.record.limit_bytes,
                    "pidfd": pidfd is not None,
                }
            )
        try:
            self.connection.send({"id": self._number, **header, "legs": legs}, fds)
        finally:
            close_all(opened)


def _live(run: Run) -> Header:
    return {
        "run": run.name,
        "session": run.session,
        "process": _process(run.process),
        "size_bytes": run.record.size_bytes,
    }


def _process(process: Identity) -> Header:
    return process._asdict()


def _ended(name: str, session: str, ended: Exit) -> Header:
    return {"run": name, "session": session, **ended._asdict()}


def _peer(sock: socket.socket) -> tuple[int, int]:
    """(uid, pid) of who connected."""
    if hasattr(socket, "SO_PEERCRED"):
        pid, uid, _ = struct.unpack("iII", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        return uid, pid
    # struct xucred: version, uid, …; SOL_LOCAL is 0.
    _, uid = struct.unpack_from("II", sock.getsockopt(0, _LOCAL_PEERCRED, 76))
    (pid,) = struct.unpack("i", sock.getsockopt(0, _LOCAL_PEERPID, 4))
    return uid, pid
