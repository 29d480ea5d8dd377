"""Both keeper ports in memory. A test says what children do: print, exit, stay behind; and when the keeper is lost."""

import math
import signal
from collections.abc import AsyncIterator

import anyio

from claudectl_protocol.sessions import Exit, RunId, SessionId, Size
from claudectld.core.session import ProcessIdentity
from claudectld.ports import (
    EndedRun,
    Grown,
    InputFull,
    KeeperCode,
    KeeperEvent,
    KeeperGone,
    KeeperHello,
    KeeperLost,
    LiveRun,
    SpawnFailed,
    SpawnSpec,
    UpgradeRefused,
)

BOOT_ID = "00000000-0000-4000-8000-00000000b007"
FIRST_PID = 1000
FATAL = frozenset({signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGKILL})


class FakeRun:
    """What the fake knows of one run; tests may read everything."""

    def __init__(self, spec: SpawnSpec, pid: int) -> None:
        self.spec = spec
        self.process = ProcessIdentity(boot_id=BOOT_ID, pid=pid, start_ticks=pid * 10)
        self.printed = bytearray()
        self.typed: dict[str, bytes] = {}
        """Batches in order, by id."""
        self.sizes = [spec.size]
        self.signals: list[int] = []
        self.strays: set[int] = set()
        """Pids that stay when the main process ends."""
        self.ignored: frozenset[int] = frozenset()
        """Signals that end nothing."""
        self.ended: EndedRun | None = None
        self.acknowledged = False
        self.watched: int | None = None

    @property
    def live(self) -> LiveRun:
        """The run as the keeper reports it while it lives."""
        return LiveRun(
            run=self.spec.run,
            session=self.spec.session,
            process=self.process,
            size_bytes=len(self.printed),
        )


class FakeKeeper:
    """Keeper and KeeperTerminal. Children take every batch at once and die of ordinary signals."""

    def __init__(self, runs: dict[RunId, FakeRun] | None = None) -> None:
        """`runs` are those of an earlier connection or of a keeper that was taken over from."""
        self.runs = {} if runs is None else runs
        self.spawned: list[SpawnSpec] = []
        """Every run that was really started, in order."""
        self.refusals: dict[RunId, SpawnFailed] = {}
        """Runs that cannot be started."""
        self.deaf: set[RunId] = set()
        """Runs that read nothing: typing raises InputFull."""
        self.code = "first"
        self.refused_codes: dict[str, UpgradeRefused] = {}
        """Code that it does not go on in, by name."""
        self._epoch = 0
        self._lost: str | None = None
        self._tell, self._told = anyio.create_memory_object_stream[KeeperEvent](math.inf)

    # --- what a test has happen

    def print(self, run: RunId, data: bytes) -> None:
        """The child prints."""
        self.runs[run].printed += data
        self._grow(run)

    def exit(self, run: RunId, *, code: int | None = None, signo: int | None = None, at: float = 1.0) -> None:
        """The child ends; with neither code nor signal nobody learnt how."""
        held = self.runs[run]
        if held.ended is not None:
            return
        reason = "exited" if code is not None else "signalled" if signo is not None else "unknown"
        told = Exit(code=code, signal=signo, at=at, reason=reason)
        held.ended = EndedRun(run=run, session=held.spec.session, exit=told, size_bytes=len(held.printed))
        self._say(held.ended)

    def lose(self, why: str = "the keeper was killed") -> None:
        """The connection ends; children live on in `runs`."""
        if self._lost is None:
            self._say(KeeperLost(why=why))
            self._lost = why
            self._tell.close()

    def close(self) -> None:
        """Let go of the event stream."""
        self._tell.close()
        self._told.close()

    # --- Keeper

    async def hello(self) -> KeeperHello:
        """Everything at once."""
        self._check()
        self._epoch += 1
        return KeeperHello(
            keeper=ProcessIdentity(boot_id=BOOT_ID, pid=FIRST_PID - 1, start_ticks=1),
            epoch=self._epoch,
            live=tuple(held.live for held in self.runs.values() if held.ended is None),
            ended=tuple(
                held.ended for held in self.runs.values() if held.ended is not None and not held.acknowledged
            ),
            code=self.code,
        )

    async def spawn(self, spec: SpawnSpec) -> LiveRun | EndedRun:
        """Start a run once."""
        self._check()
        if (held := self.runs.get(spec.run)) is not None:
            return held.ended or held.live
        if (refusal := self.refusals.get(spec.run)) is not None:
            raise refusal
        self.spawned.append(spec)
        held = self.runs[spec.run] = FakeRun(spec, FIRST_PID + len(self.runs))
        return held.live

    async def acknowledge(self, run: RunId) -> None:
        """Report the exit no more."""
        self._check()
        if (held := self.runs.get(run)) is not None and held.ended is not None:
            held.acknowledged = True

    async def forget(self, session: SessionId, run: RunId) -> None:
        """Forget an ended run."""
        self._check()
        held = self.runs.get(run)
        if held is None:
            return
        if held.ended is None or held.spec.session != session:
            raise ValueError("live: a live run cannot be forgotten")
        del self.runs[run]

    async def upgrade(self, code: KeeperCode) -> str:
        """Go on in other code."""
        self._check()
        if (refusal := self.refused_codes.get(code.name)) is not None:
            raise refusal
        self.code = code.name
        return code.name

    async def events(self) -> AsyncIterator[KeeperEvent]:
        """What happens, in order; ends after KeeperLost."""
        async for event in self._told:
            yield event
            if isinstance(event, KeeperLost):
                return

    # --- KeeperTerminal

    async def type(self, run: RunId, batch: str, data: bytes) -> bool:
        """Type a batch once."""
        self._check()
        held = self.runs.get(run)
        if held is None or held.ended is not None:
            return False
        if run in self.deaf:
            raise InputFull("the child does not read what was typed before")
        held.typed.setdefault(batch, data)
        return True

    async def resize(self, run: RunId, size: Size) -> None:
        """Remember the size."""
        self._check()
        held = self.runs.get(run)
        if held is not None and held.ended is None:
            held.sizes.append(size)

    async def signal(self, run: RunId, signal: int) -> None:
        """Signal the main process."""
        self._check()
        held = self.runs.get(run)
        if held is not None and held.ended is None:
            self._signal(held, signal)

    async def end(self, run: RunId, signal: int) -> tuple[int, ...]:
        """Signal the main process and what stayed behind."""
        self._check()
        held = self.runs.get(run)
        if held is None:
            return ()
        found = set(held.strays)
        if held.ended is None:
            found.add(held.process.pid)
            if signal:
                self._signal(held, signal)
        if signal in FATAL - held.ignored:
            held.strays.clear()
        return tuple(sorted(found))

    async def watch(self, run: RunId, size_bytes: int) -> None:
        """Ask for one Grown."""
        self._check()
        if (held := self.runs.get(run)) is not None:
            held.watched = size_bytes
            self._grow(run)

    # --- inside

    def _signal(self, held: FakeRun, signo: int) -> None:
        held.signals.append(signo)
        if signo in FATAL - held.ignored:
            self.exit(held.spec.run, signo=signo)

    def _grow(self, run: RunId) -> None:
        held = self.runs[run]
        if held.watched is not None and len(held.printed) > held.watched:
            held.watched = None
            self._say(Grown(run=run, size_bytes=len(held.printed)))

    def _say(self, event: KeeperEvent) -> None:
        if self._lost is None:
            self._tell.send_nowait(event)

    def _check(self) -> None:
        if self._lost is not None:
            raise KeeperGone(self._lost)
