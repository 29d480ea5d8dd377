"""Every run this keeper knows: starting, living, ended. Decides nothing; does what is asked, says what happened."""

import os
import resource
import socket
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, Protocol

from . import processes, record, spawn
from .crash import crash_point
from .log import Log
from .loop import Loop
from .processes import Identity
from .record import Exit, Record
from .requests import Adopt, Refused, Spawn
from .run import READ_BYTES, Run, RunState
from .spawn import Child, SpawnError
from .wire import close_all

SPARE_FDS = 128
"""Descriptors kept free of runs (two each), so that a daemon can always connect."""
VOLLEYS = 5
"""How often the process table is read again because something was born while it was signalled."""


class Ended(NamedTuple):
    """What became of a run that this keeper holds no more, or never held."""

    run: str
    session: str
    exit: Exit


Outcome = Run | Ended | SpawnError
Answer = Callable[[Outcome], None]


class Audience(Protocol):
    """Who is told what happens."""

    def grown(self, run: Run) -> None:
        """A watched record is longer than was asked for."""
        ...

    def ended(self, run: Run) -> None:
        """A run's exit is known."""
        ...


class _Birth:
    """A spawn between fork and exec, with everybody who waits for its outcome."""

    def __init__(self, spec: Spawn, child: Child, process: Identity, kept: Record, answer: Answer) -> None:
        self.spec = spec
        self.child = child
        self.process = process
        self.record = kept
        self.answers = [answer]
        self.report = b""
        self.failure: SpawnError | None = None
        self.status: int | None = None
        self.reaped = False
        self.channel: socket.socket | None = child.channel


class Runs:
    """The table of runs."""

    def __init__(self, state: str, nofile: tuple[int, int], loop: Loop, log: Log, audience: Audience) -> None:
        """`nofile` is the descriptor limit for children that name none."""
        self._state = state
        self._nofile = nofile
        self._loop = loop
        self._log = log
        self._audience = audience
        self._runs: dict[str, Run] = {}
        self._births: dict[str, _Birth] = {}
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        self._most_fds = most if most != resource.RLIM_INFINITY else sys.maxsize
        self._leaving = False

    # --- what there is

    def live(self) -> Iterator[Run]:
        """Runs whose exit is not known."""
        return (run for run in self._runs.values() if run.exit is None)

    def unacknowledged(self) -> Iterator[Run]:
        """Ended runs that nobody has on disk yet."""
        return (run for run in self._runs.values() if run.exit is not None and not run.acknowledged)

    def find(self, name: str) -> Run | None:
        """A run this keeper holds."""
        return self._runs.get(name)

    def unwatch(self) -> None:
        """Who watched has gone."""
        for run in self._runs.values():
            run.unwatch()

    @property
    def is_childless(self) -> bool:
        """True when no child is left, so that the keeper may leave."""
        return not self._births and not any(True for _ in self.live())

    # --- going on in other code

    def busy(self) -> str:
        """Why the state cannot be handed over now; empty when it can."""
        if self._leaving:
            return "the keeper was told to leave"
        for birth in self._births:
            return f"run {birth} is being started"
        for run in self._runs.values():
            if run.is_typing:
                return f"run {run.name} has not taken all that was typed"
        return ""

    def state(self) -> tuple[RunState, ...]:
        """Everything needed to carry on; `busy` must be empty."""
        return tuple(run.state() for run in self._runs.values())

    def carry_on(self, states: Iterable[RunState]) -> None:
        """Hold what this process held before its exec."""
        for state in states:
            path = record.directory(self._state, state.session, state.name)
            run = Run.carry_on(state, Record.carry_on(path, state.record), self._loop, self)
            self._runs[run.name] = run
            run.start()

    # --- beginnings

    def spawn(self, spec: Spawn, answer: Answer) -> None:
        """Start a run, or join a start in progress, or say what became of it."""
        if (birth := self._births.get(spec.run)) is not None:
            birth.answers.append(answer)
            return
        if (known := self._known(spec.session, spec.run)) is not None:
            answer(known)
            return
        if self._leaving:
            answer(SpawnError("keeper", "ESHUTDOWN", "", "the keeper was told to leave"))
            return
        if 2 * (len(self._runs) + len(self._births)) + SPARE_FDS > self._most_fds:
            answer(SpawnError("pty", "EMFILE", "", f"the keeper may open {self._most_fds} files"))
            return
        path = self._path(spec)
        try:
            # What a keeper left that died before it let a program run is not in the way.
            record.delete(path)
            kept = Record.create(path, spec.segment_bytes, spec.limit_bytes)
        except OSError as error:
            answer(SpawnError.of("keeper", error, path))
            return
        crash_point("spawn:before-fork")
        try:
            self._bear(spec, kept, answer)
        except SpawnError as error:
            self._discard(kept)
            answer(error)

    def adopt(self, request: Adopt) -> Run | Ended:
        """Go on with a run whose keeper died. Takes the request's descriptors. Raises Refused."""
        if request.run not in self._runs and not record.has_exit(self._path(request)):
            try:
                return self._take_over(request)
            except Refused:
                close_all(request.fds)
                raise
        close_all(request.fds)
        known = self._known(request.session, request.run)
        assert known is not None
        return known

    # --- ends

    def reap(self) -> None:
        """Collect every child that ended, those inherited from runs included."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            self._died(pid, status)

    def end(self, name: str, signo: int, spared: frozenset[int]) -> list[int]:
        """Signal all that the run started, `spared` excepted; signal 0 only looks. Returns the pids found."""
        found: set[tuple[int, int]] = set()
        for _ in range(VOLLEYS):
            new = [
                each for each in self._belonging(name, spared) if (each.pid, each.start_ticks) not in found
            ]
            found.update((each.pid, each.start_ticks) for each in new)
            if not new or signo == 0:
                break
            for each in new:
                self._signal(name, each, signo)
        return sorted({pid for pid, _ in found})

    def acknowledge(self, name: str) -> None:
        """The exit of this run is known elsewhere."""
        run = self._runs.get(name)
        if run is None or run.exit is None:
            return
        run.acknowledged = True
        if not record.has_exit(run.record.path):
            self._write_exit(run, run.exit)
        self._drop_if_done(run)

    def forget(self, session: str, name: str) -> None:
        """Delete a run's files. Raises Refused("live") and OSError."""
        run = self._runs.get(name)
        if name in self._births or (run is not None and run.exit is None):
            raise Refused("live", "a live run cannot be forgotten")
        if run is not None and run.session != session:
            raise Refused("bad_request", "the run belongs to another session")
        if run is not None:
            del self._runs[name]
            run.close()
        record.delete(record.directory(self._state, session, name))

    def leave(self) -> None:
        """No new children; an end from now on may be the machine's doing, not the user's."""
        self._leaving = True
        for run in self.live():
            run.interrupted = True

    # --- as a run's listener

    def grown(self, run: Run) -> None:
        """Pass on."""
        self._audience.grown(run)

    def ended(self, run: Run) -> None:
        """Put the exit on disk before anybody is told."""
        assert run.exit is not None
        self._write_exit(run, run.exit)
        self._log.line("ended", session=run.session, run=run.name, **_known(run.exit))
        self._audience.ended(run)

    def silent(self, run: Run) -> None:
        """The terminal is closed for good."""
        self._drop_if_done(run)

    # --- inside

    def _path(self, request: Spawn | Adopt) -> str:
        return record.directory(self._state, request.session, request.run)

    def _known(self, session: str, name: str) -> Run | Ended | None:
        run = self._runs.get(name)
        if run is not None and run.exit is None:
            return run
        if run is not None and run.exit is not None:
            return Ended(name, run.session, run.exit)
        path = record.directory(self._state, session, name)
        if not record.has_process(path) and not record.has_exit(path):
            return None
        # Somebody may have let its program run. A second child could be a second writer of its conversation: never.
        return Ended(name, session, record.read_exit(path))

    def _bear(self, spec: Spawn, kept: Record, answer: Answer) -> None:
        kept.say_size(spec.window)
        child = spawn.fork(spec, self._nofile)
        crash_point("spawn:after-fork")
        birth = _Birth(spec, child, processes.identity(child.pid), kept, answer)
        self._births[spec.run] = birth
        self._loop.on_read(child.channel.fileno(), lambda: self._hear(birth))
        try:
            kept.write_process(birth.process, time.time())
        except OSError as error:
            # The child is not let go, so it ends by itself; its reaping finishes this.
            birth.failure = SpawnError.of("keeper", error, kept.path)
            self._hang_up_channel(birth)
            return
        spawn.let_go(child)

    def _hear(self, birth: _Birth) -> None:
        assert birth.channel is not None
        try:
            data = birth.channel.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            birth.report += data
            return
        self._hang_up_channel(birth)
        birth.failure = spawn.failure(birth.report)
        if birth.failure is None:
            self._born(birth)
        elif birth.reaped:
            self._stillborn(birth)

    def _hang_up_channel(self, birth: _Birth) -> None:
        if birth.channel is not None:
            self._loop.give_up(birth.channel.fileno())
            birth.channel.close()
            birth.channel = None

    def _born(self, birth: _Birth) -> None:
        spec = birth.spec
        del self._births[spec.run]
        run = Run(spec.run, spec.session, birth.process, birth.child.master, birth.record, self._loop, self)
        run.interrupted = self._leaving
        self._runs[spec.run] = run
        run.start()
        self._log.line("spawned", session=run.session, run=run.name, pid=run.process.pid)
        crash_point("spawn:before-reply")
        for answer in birth.answers:
            answer(run)
        if birth.reaped:
            run.died(birth.status)

    def _stillborn(self, birth: _Birth) -> None:
        assert birth.failure is not None
        spec, failure = birth.spec, birth.failure
        del self._births[spec.run]
        os.close(birth.child.master)
        self._discard(birth.record)
        self._log.line(
            "spawn_failed", session=spec.session, run=spec.run, stage=failure.stage, error=failure.error
        )
        for answer in birth.answers:
            answer(failure)

    def _died(self, pid: int, status: int) -> None:
        for birth in self._births.values():
            if birth.child.pid == pid:
                birth.status, birth.reaped = status, True
                if birth.failure is not None:
                    self._stillborn(birth)
                return
        for run in self.live():
            if run.process.pid == pid and not run.adopted and not run.is_dead:
                run.died(status)
                return

    def _take_over(self, request: Adopt) -> Run:
        path = self._path(request)
        if not os.isatty(request.fds[0]):
            raise Refused("bad_request", "the first descriptor is no terminal")
        if request.process.boot_id != processes.boot_id():
            raise Refused("bad_request", "the process is of another boot")
        pidfd = request.fds[1] if len(request.fds) > 1 else None
        if pidfd is not None and processes.pidfd_pid(pidfd) not in (request.process.pid, -1):
            raise Refused("bad_request", "the second descriptor is no pidfd of the process")
        try:
            kept = Record.resume(path, request.segment_bytes, request.limit_bytes)
        except OSError as error:
            raise Refused("record", f"{path}: {error.strerror}") from error
        kept.say_possible_gap(READ_BYTES)
        run = Run(
            request.run,
            request.session,
            request.process,
            request.fds[0],
            kept,
            self._loop,
            self,
            adopted=True,
            pidfd=pidfd,
        )
        run.interrupted = self._leaving
        self._runs[request.run] = run
        run.start()
        self._log.line("adopted", session=run.session, run=run.name, pid=run.process.pid)
        crash_point("adopt:after-take")
        return run

    def _belonging(self, name: str, spared: frozenset[int]) -> list[processes.Process]:
        table = processes.table()
        spared |= {os.getpid()}
        roots = {pid for pid in table if pid not in spared and processes.is_marked(pid, name)}
        if (birth := self._births.get(name)) is not None and birth.child.pid in table:
            roots.add(birth.child.pid)
        run = self._runs.get(name)
        if run is not None and run.exit is None:
            main = table.get(run.process.pid)
            if main is not None and main.start_ticks == run.process.start_ticks:
                roots.add(main.pid)
        pids = roots | processes.descendants(roots, table, spared)
        return [table[pid] for pid in sorted(pids) if not table[pid].zombie]

    def _signal(self, name: str, process: processes.Process, signo: int) -> None:
        run = self._runs.get(name)
        if run is not None and run.process.pid == process.pid and not run.adopted:
            run.signal(signo)
        else:
            processes.send_signal(process, signo)

    def _write_exit(self, run: Run, ended: Exit) -> None:
        try:
            run.record.write_exit(ended)
        except OSError as error:
            self._log.line("exit_unwritten", session=run.session, run=run.name, error=str(error))

    def _discard(self, kept: Record) -> None:
        kept.close()
        try:
            record.delete(kept.path)
        except OSError as error:
            self._log.line("record_undeleted", path=kept.path, error=str(error))

    def _drop_if_done(self, run: Run) -> None:
        if run.exit is None or not run.is_hung_up:
            return
        run.close()
        if run.acknowledged:
            self._runs.pop(run.name, None)


def _known(ended: Exit) -> dict[str, int]:
    facts = {"code": ended.code, "signal": ended.signal, "size_bytes": ended.size_bytes}
    return {name: value for name, value in facts.items() if value is not None}
