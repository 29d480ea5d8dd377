"""The daemon's side of the keeper: both keeper ports over one connection, and the second leg.

Holds a duplicate of every live run's PTY master and, where there is one, of its pidfd: while they are open a killed
keeper hangs nobody up, and a successor can be given them.
"""

import math
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import anyio
import msgspec

from claudectl_protocol.sessions import Exit, RunId, SessionId, Size, Value
from claudectld.core.session import ProcessIdentity
from claudectld.keeper import wire
from claudectld.keeper.link import KeeperRefused, Link
from claudectld.keeper.requests import MAX_TYPED_BYTES
from claudectld.keeper.wire import Frame
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

_NO_UPGRADE = "it is too old to be upgraded in place"
_RUNS_PER_PAGE = wire.MAX_FDS // 2


class Leg(Value):
    """What keeps a run alive without its keeper, and lets another one take it over.

    `master` and `pidfd` (None where there is none) are descriptors that belong to the client that holds the leg.
    """

    run: RunId
    session: SessionId
    process: ProcessIdentity
    segment_bytes: int
    limit_bytes: int
    master: int
    pidfd: int | None = None

    def close(self) -> None:
        """Let go; the run is hung up if nobody else holds its master."""
        wire.close_all(self._fds)

    @property
    def _fds(self) -> tuple[int, ...]:
        return (self.master,) if self.pidfd is None else (self.master, self.pidfd)


class _LegFacts(Value):
    run: RunId
    session: SessionId
    process: ProcessIdentity
    segment_bytes: int
    limit_bytes: int
    pidfd: bool


class _Ended(Value):
    run: RunId
    session: SessionId
    code: int | None
    signal: int | None
    at: float
    reason: str
    size_bytes: int

    def ended_run(self) -> EndedRun:
        told = Exit(code=self.code, signal=self.signal, at=self.at or None, reason=self.reason)
        return EndedRun(run=self.run, session=self.session, exit=told, size_bytes=self.size_bytes)


class _Greeting(Value):
    protocol: int
    keeper: ProcessIdentity
    epoch: int
    live: tuple[LiveRun, ...]
    ended: tuple[_Ended, ...]
    code: str = ""


class _Outcome(Value):
    live: LiveRun | None = None
    ended: _Ended | None = None

    def run(self) -> LiveRun | EndedRun:
        if self.live is not None:
            return self.live
        if self.ended is not None:
            return self.ended.ended_run()
        raise KeeperGone("the keeper's answer names no run")


class _Typed(Value):
    typed: bool


class _Found(Value):
    pids: tuple[int, ...]


class _Upgraded(Value):
    code: str


class _Done(Value):
    pass


class KeeperClient:
    """Keeper and KeeperTerminal over the keeper's socket.

    Use as `async with KeeperClient(path) as keeper`. Leaving closes the connection and every leg, never a run while
    the keeper lives. After the connection was lost every method raises KeeperGone, and the legs are still held:
    `release` them before leaving, start a successor, `adopt` them in its client, close them after its `hello`.
    Cancelling a method does not undo what was asked.
    """

    def __init__(self, path: Path) -> None:
        self._link = Link(path, self._take, self._lose)
        self._legs: dict[RunId, Leg] = {}
        self._controls = False
        self._tell, self._told = anyio.create_memory_object_stream[KeeperEvent](math.inf)

    async def __aenter__(self) -> Self:
        """Connect. Raises KeeperGone when nobody listens."""
        try:
            await self._link.__aenter__()
        except KeeperGone:
            self._close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connection and the legs."""
        try:
            await self._link.__aexit__(kind, error, trace)
        finally:
            self._close()

    # --- the second leg

    def legs(self) -> tuple[Leg, ...]:
        """What is held for live runs; it stays this client's, to be closed with it."""
        return tuple(self._legs.values())

    def release(self) -> tuple[Leg, ...]:
        """The legs, which are the caller's from now on: to be given to a successor's client and then closed."""
        released = self.legs()
        self._legs.clear()
        return released

    async def adopt(self, legs: Sequence[Leg]) -> tuple[LiveRun | EndedRun, ...]:
        """Have this client's keeper take over what another keeper lost; say hello afterwards.

        A run that it holds already is not taken twice, so this can be asked again after any failure. A leg that
        cannot be taken over is left out of the answer.

        Raises:
            KeeperGone: some may have been taken over, some not.
        """
        if not self._controls:
            await self._greet()
        outcomes: list[LiveRun | EndedRun] = []
        for leg in legs:
            header = {
                "run": leg.run,
                "session": leg.session,
                "process": msgspec.to_builtins(leg.process),
                "segment_bytes": leg.segment_bytes,
                "limit_bytes": leg.limit_bytes,
            }
            fds = (leg.master,) if leg.pidfd is None else (leg.master, leg.pidfd)
            try:
                outcome = await self._link.ask("adopt", header, _Outcome, fds=fds)
            except KeeperRefused:
                continue
            outcomes.append(outcome.run())
        return tuple(outcomes)

    # --- Keeper

    async def hello(self) -> KeeperHello:
        """Become the controller, collect duplicates of all masters, and learn everything at once."""
        greeting = await self._greet()
        missing = [run.run for run in greeting.live if run.run not in self._legs]
        for start in range(0, len(missing), _RUNS_PER_PAGE):
            await self._link.ask("legs", {"runs": missing[start : start + _RUNS_PER_PAGE]}, _Done)
        return KeeperHello(
            keeper=greeting.keeper,
            epoch=greeting.epoch,
            live=greeting.live,
            ended=tuple(each.ended_run() for each in greeting.ended),
            code=greeting.code,
        )

    async def spawn(self, spec: SpawnSpec) -> LiveRun | EndedRun:
        """Start a run, or answer with what became of it. Raises SpawnFailed, KeeperGone."""
        context = spec.context
        header = {
            "run": spec.run,
            "session": spec.session,
            "argv": spec.argv,
            "cwd": spec.cwd,
            "env": context.env,
            "umask": context.umask,
            "rlimits": context.rlimits,
            "groups": context.groups,
            "size": _window(spec.size),
            "segment_bytes": spec.segment_bytes,
            "limit_bytes": spec.limit_bytes,
        }
        try:
            outcome = await self._link.ask("spawn", header, _Outcome)
        except KeeperRefused as refused:
            raise SpawnFailed("keeper", "EINVAL", "", str(refused)) from refused
        except ValueError as error:
            raise SpawnFailed("exec", "E2BIG", spec.argv[0], str(error)) from error
        return outcome.run()

    async def acknowledge(self, run: RunId) -> None:
        """Say that a run's exit is on disk."""
        await self._link.ask("acknowledge", {"run": run}, _Done)

    async def forget(self, session: SessionId, run: RunId) -> None:
        """Delete a run's files. A live run is refused (ValueError)."""
        try:
            await self._link.ask("forget", {"session": session, "run": run}, _Done)
        except KeeperRefused as refused:
            raise ValueError(str(refused)) from refused

    async def upgrade(self, code: KeeperCode) -> str:
        """Have the keeper go on in other code; returns the name of what it runs then.

        Becomes the controller first where it is not; a keeper of every protocol understands that much.

        Raises:
            UpgradeRefused: it goes on as before.
            KeeperGone: the new code died or speaks another protocol, or the keeper was lost otherwise.
        """
        if not self._controls:
            await self._link.ask("hello", {"control": True}, _Done)
        try:
            reply = await self._link.ask(
                "upgrade", {"copy": code.directory, "interpreter": code.interpreter}, _Upgraded
            )
        except KeeperRefused as refused:
            why = _NO_UPGRADE if refused.error == "unsupported" else refused.detail
            raise UpgradeRefused(why, is_busy=refused.error == "busy") from refused
        return reply.code

    async def events(self) -> AsyncIterator[KeeperEvent]:
        """What happens, in order; ends after KeeperLost. For one reader."""
        async for event in self._told:
            yield event
            if isinstance(event, KeeperLost):
                return

    # --- KeeperTerminal

    async def type(self, run: RunId, batch: str, data: bytes) -> bool:
        """Write one atomic batch of at most 1 MiB; False when the run has ended.

        Raises:
            KeeperGone: it may or may not have been typed; asking again with the same batch id types it once.
            InputFull: the child does not read what was typed before.
            ValueError: the batch is too large.
        """
        if len(data) > MAX_TYPED_BYTES:
            raise ValueError(f"a batch of {len(data)} bytes is larger than {MAX_TYPED_BYTES}")
        try:
            reply = await self._link.ask("type", {"run": run, "batch": batch}, _Typed, payload=data)
        except KeeperRefused as refused:
            raise InputFull(refused.detail) from refused
        return reply.typed

    async def resize(self, run: RunId, size: Size) -> None:
        """Set the terminal's size and record it; nothing for a run that has ended."""
        await self._link.ask("resize", {"run": run, "size": _window(size)}, _Done)

    async def signal(self, run: RunId, signal: int) -> None:
        """Signal the run's main process, only while it has not been reaped."""
        await self._link.ask("signal", {"run": run, "signal": signal}, _Done)

    async def end(self, run: RunId, signal: int) -> tuple[int, ...]:
        """Signal everything the run started; signal 0 only looks. Returns the pids that were still there."""
        reply = await self._link.ask("end", {"run": run, "signal": signal}, _Found)
        return reply.pids

    async def watch(self, run: RunId, size_bytes: int) -> None:
        """Ask for one Grown as soon as the record is longer than `size_bytes`."""
        await self._link.ask("watch", {"run": run, "size_bytes": size_bytes}, _Done)

    async def ping(self) -> None:
        """Return when the keeper answers; put a time limit around it to learn that it is stalled."""
        await self._link.ask("ping", {}, _Done)

    # --- requests

    async def _greet(self) -> _Greeting:
        greeting = await self._link.ask("hello", {"control": True}, _Greeting)
        if greeting.protocol != wire.PROTOCOL:
            advice = "; run the newer claudectl" if greeting.protocol > wire.PROTOCOL else ""
            raise KeeperGone(
                f"the keeper speaks protocol {greeting.protocol}, this daemon {wire.PROTOCOL}{advice}"
            )
        self._controls = True
        return greeting

    def _take(self, frame: Frame) -> None:
        self._take_legs(frame)
        match frame.header:
            case {"event": "grown"}:
                self._tell.send_nowait(msgspec.convert(frame.header, Grown))
            case {"event": "ended"}:
                ended = msgspec.convert(frame.header, _Ended).ended_run()
                if (leg := self._legs.pop(ended.run, None)) is not None:
                    leg.close()
                self._tell.send_nowait(ended)

    def _take_legs(self, frame: Frame) -> None:
        fds = deque(frame.fds)
        try:
            for facts in msgspec.convert(frame.header.get("legs", ()), tuple[_LegFacts, ...]):
                if facts.run in self._legs or len(fds) < 1 + facts.pidfd:
                    break
                self._legs[facts.run] = Leg(
                    run=facts.run,
                    session=facts.session,
                    process=facts.process,
                    segment_bytes=facts.segment_bytes,
                    limit_bytes=facts.limit_bytes,
                    master=fds.popleft(),
                    pidfd=fds.popleft() if facts.pidfd else None,
                )
        finally:
            wire.close_all(fds)

    def _lose(self, why: str) -> None:
        self._tell.send_nowait(KeeperLost(why=why))
        self._tell.close()

    def _close(self) -> None:
        self._tell.close()
        self._told.close()
        for leg in self._legs.values():
            leg.close()
        self._legs.clear()


def _window(size: Size) -> Mapping[str, int]:
    return {"cols": size.cols, "rows": size.rows, "xpixel": size.xpixel, "ypixel": size.ypixel}
