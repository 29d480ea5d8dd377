"""Real keepers in a directory of their own, and a client that waits for what they say."""

import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import anyio
import msgspec

from claudectl_protocol.sessions import RunId, SessionId, Size
from claudectld.core.session import LaunchContext
from claudectld.keeper import copy, processes
from claudectld.keeper.client import KeeperClient
from claudectld.ports import EndedRun, Grown, KeeperCode, KeeperEvent, KeeperLost, LiveRun, SpawnSpec

DEADLINE_S = 20.0
"""No test waits longer for anything; none should come near."""
INTERPRETER = os.path.realpath(getattr(sys, "_base_executable", sys.executable))


class Home:
    """A state directory, a socket path, and every keeper started for them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.state = path / "state"
        self.socket = path / "run" / "keeper.sock"
        self.copy = Path(copy.install(str(self.state)))
        self._started: list[subprocess.Popen[bytes]] = []

    def command(self, *more: str, copy: str = "") -> list[str]:
        """The command line of a keeper for this home."""
        interpreter = [INTERPRETER, "-I", "-S", "-B", copy or str(self.copy)]
        return [*interpreter, "--state", str(self.state), "--socket", str(self.socket), *more]

    def start(self, crash: str = "", launcher: Sequence[str] = (), copy: str = "") -> subprocess.Popen[bytes]:
        """A keeper in the foreground, serving when this returns."""
        ready, its = os.pipe()
        environment = {"CLAUDECTL_KEEPER_CRASH": crash} if crash else {}
        try:
            process = subprocess.Popen(
                [*launcher, *self.command("--foreground", "--ready-fd", str(its), copy=copy)],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                pass_fds=(its,),
            )
            self._started.append(process)
            os.close(its)
            assert select.select([ready], [], [], DEADLINE_S)[0], "the keeper says nothing"
            word = os.read(ready, 4096)
            assert word == b"ready\n", word
        finally:
            os.close(ready)
        return process

    def code(self, name: str = "newer", **edits: tuple[str, str]) -> KeeperCode:
        """Another copy of the code; `edits` are (text, replacement) by module. Without one only a comment differs."""
        directory = self.state / "keeper" / name
        shutil.copytree(self.copy, directory)
        for module, (text, replacement) in (edits or {"log": ("import os", "import os  # newer")}).items():
            path = directory / "keeper" / f"{module}.py"
            source = path.read_text()
            assert text in source, (module, text)
            path.write_text(source.replace(text, replacement, 1))
        return KeeperCode(name=name, directory=str(directory), interpreter=INTERPRETER)

    @property
    def log(self) -> str:
        """What the keepers of this home have logged."""
        return (self.state / "logs" / "keeper.log").read_text()

    @asynccontextmanager
    async def desk(self, deadline_s: float = DEADLINE_S * 3) -> AsyncIterator["Desk"]:
        """A controlling client that has said hello."""
        with anyio.fail_after(deadline_s):
            async with KeeperClient(self.socket) as client:
                await client.hello()
                yield Desk(self, client)

    def runs(self) -> Iterator[tuple[SessionId, RunId]]:
        """Every run that has a record."""
        for path in (self.state / "records").glob("*/*"):
            yield SessionId(path.parent.name), RunId(path.name)

    def record(self, run: LiveRun | EndedRun) -> Path:
        """The directory of a run's record."""
        return self.state / "records" / run.session / run.run

    def printed(self, run: LiveRun | EndedRun) -> bytes:
        """Everything on disk that a run printed."""
        return b"".join(path.read_bytes() for path in segments(self.record(run)))

    def marked(self) -> list[int]:
        """Processes that carry the marker of any run of this home."""
        runs = {run for _, run in self.runs()}
        return [pid for pid in processes.table() if any(processes.is_marked(pid, run) for run in runs)]

    def close(self) -> None:
        """End every process and delete everything."""
        for process in self._started:
            process.kill()
            with process:
                pass
        for pid in self.marked():
            os.kill(pid, signal.SIGKILL)
        shutil.rmtree(self.path)


@contextmanager
def new_home() -> Iterator[Home]:
    """A home under a path short enough for sockets."""
    home = Home(Path(tempfile.mkdtemp(prefix="cc-", dir="/tmp")))
    try:
        yield home
    finally:
        home.close()


class Desk:
    """A client, and waiting for what happens."""

    def __init__(self, home: Home, client: KeeperClient) -> None:
        self.home = home
        self.client = client
        self.events = client.events()
        self._ended: dict[RunId, EndedRun] = {}

    async def spawn(self, *argv: str, **changes: object) -> LiveRun:
        """A run that lives."""
        run = await self.client.spawn(spec(*argv, **changes))
        assert isinstance(run, LiveRun), run
        return run

    async def shell(self, script: str, **changes: object) -> LiveRun:
        """A run of a shell script."""
        return await self.spawn("/bin/sh", "-c", script, **changes)

    async def next(self) -> KeeperEvent:
        """The next event."""
        with anyio.fail_after(DEADLINE_S):
            event = await anext(self.events)
        if isinstance(event, EndedRun):
            self._ended[event.run] = event
        return event

    async def until_printed(self, run: LiveRun | EndedRun, text: bytes) -> bytes:
        """Wait until the record has `text`; returns the whole record."""
        while text not in (printed := self.home.printed(run)):
            await self.client.watch(run.run, len(printed))
            while not isinstance(event := await self.next(), Grown):
                assert event.run != run.run if isinstance(event, EndedRun) else False, (event, printed)
        return printed

    async def until_ended(self, run: LiveRun) -> EndedRun:
        """Wait for the run's exit."""
        while run.run not in self._ended:
            event = await self.next()
            assert not isinstance(event, KeeperLost), event
        return self._ended[run.run]

    async def until_lost(self) -> KeeperLost:
        """Wait for the end of the connection."""
        while not isinstance(event := await self.next(), KeeperLost):
            pass
        return event


def spec(*argv: str, **changes: object) -> SpawnSpec:
    """A run of `argv` with a marker, as the daemon asks for it; `changes` replace fields of it."""
    run = RunId(str(uuid.uuid4()))
    made = SpawnSpec(
        run=run,
        session=SessionId(str(uuid.uuid4())),
        argv=argv,
        cwd="/",
        context=LaunchContext(env={"PATH": "/usr/bin:/bin", "CLAUDECTL_RUN": run}),
        size=Size(cols=80, rows=24),
        segment_bytes=1 << 20,
        limit_bytes=1 << 26,
    )
    return msgspec.structs.replace(made, **changes)


def segments(record: Path) -> list[Path]:
    """The segment files of a record, oldest first."""
    return sorted(path for path in record.iterdir() if path.name.isdigit())


def wait_gone(pid: int) -> None:
    """Wait until a process that is not ours has ended."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        assert select.select([fd], [], [], DEADLINE_S)[0], f"{pid} lives"
    finally:
        os.close(fd)


async def told(fifo: Path) -> str:
    """What the one writer of a fifo says until it closes it."""
    fd = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    said = b""
    try:
        with anyio.fail_after(DEADLINE_S):
            await anyio.wait_readable(fd)
            while data := os.read(fd, 4096):
                said += data
                await anyio.wait_readable(fd)
    finally:
        os.close(fd)
    return said.decode()


def parent(pid: int) -> int:
    """Whose child a process is."""
    found = processes.look_up(pid)
    assert found is not None
    return found.ppid


def is_alive(pid: int) -> bool:
    """True while the process runs (a zombie does not)."""
    process = processes.look_up(pid)
    return process is not None and not process.zombie


def sizes(record: Path) -> list[str]:
    """The lines of the size log."""
    return (record / "sizes").read_text().splitlines()
