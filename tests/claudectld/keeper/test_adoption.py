"""Deaths of the daemon, of the keeper and of both in turn: no child is lost, and no byte without being said."""

import os
import random
import select
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence

import msgspec
import pytest

from claudectl_protocol.sessions import RunId, Size
from claudectld.keeper.client import KeeperClient
from claudectld.ports import EndedRun, KeeperGone, KeeperLost, LiveRun
from tests.claudectld.keeper.harness import INTERPRETER, Home, is_alive, sizes, spec
from tests.claudectld.keeper.test_processes import kernel
from tests.counts import times

pytestmark = pytest.mark.anyio

LINE_BYTES = 16
LINES_PER_TURN = 5120
NUMBERED_LINES = (
    "import os, sys, tty; tty.setraw(0)\n"
    "def put(data):\n"
    "    while data: data = data[os.write(1, data):]\n"
    "n = 0\n"
    "for verb in iter(lambda fifo=os.open(sys.argv[1], os.O_RDWR): os.read(fifo, 1), b'x'):\n"
    f"    for n in range(n, n + {LINES_PER_TURN}, 64):\n"
    "        put(b''.join(b'%015d\\n' % i for i in range(n, n + 64)))\n"
    "    n += 64\n"
    "os._exit(42)\n"
)
"""Prints, each time it is told to, lines flat out that say where they stand; leaves when told."""


class Printer:
    """A child that prints numbered lines, and what it should have printed."""

    def __init__(self, home: Home) -> None:
        path = home.path / "fifo"
        os.mkfifo(path)
        self.argv = (INTERPRETER, "-I", "-S", "-c", NUMBERED_LINES, str(path))
        self._fifo = os.open(path, os.O_RDWR)
        self._turns = 0

    def go(self) -> None:
        """Have it print the next lines."""
        self._turns += 1
        os.write(self._fifo, b"g")

    def leave(self) -> None:
        """Have it exit when it has printed everything."""
        os.write(self._fifo, b"x")

    def close(self) -> None:
        """Nothing more will be said."""
        os.close(self._fifo)

    def expected(self) -> bytes:
        """Every byte it was told to print."""
        return b"".join(b"%015d\n" % number for number in range(self._turns * LINES_PER_TURN))


@pytest.fixture
def printer(home: Home) -> Iterator[Printer]:
    made = Printer(home)
    yield made
    made.close()


DAEMON = (
    "import anyio, sys\n"
    "from pathlib import Path\n"
    "from claudectld.keeper.client import KeeperClient\n"
    "from claudectld.ports import Grown\n"
    "async def main():\n"
    "    async with KeeperClient(Path(sys.argv[1])) as client:\n"
    "        hello = await client.hello()\n"
    "        print(hello.live[0].size_bytes, flush=True)\n"
    "        await client.watch(sys.argv[2], 0)\n"
    "        async for event in client.events():\n"
    "            if isinstance(event, Grown):\n"
    "                print(event.size_bytes, flush=True)\n"
    "                await client.watch(sys.argv[2], event.size_bytes)\n"
    "anyio.run(main)\n"
)
"""As much of a daemon as the keeper sees of one."""


def kill_a_daemon(home: Home, run: LiveRun, after_bytes: int) -> None:
    """Run a daemon until it was told that the record is so long."""
    command = [sys.executable, "-c", DAEMON, str(home.socket), run.run]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as daemon:
        assert daemon.stdout is not None
        while int(daemon.stdout.readline()) < after_bytes:
            pass
        daemon.kill()


async def test_killing_the_daemon_loses_no_byte_repeats_none_and_keeps_the_exit(
    home: Home, printer: Printer
) -> None:
    home.start()
    async with home.desk() as desk:
        run = await desk.spawn(*printer.argv, limit_bytes=1 << 30)
    chance = random.Random(1)
    for number in range(times(5, 1000)):
        printer.go()
        kill_a_daemon(home, run, int((number + chance.random()) * LINES_PER_TURN * LINE_BYTES))
    printer.leave()
    async with KeeperClient(home.socket) as client:
        hello = await client.hello()
        if hello.live:
            await anext(event async for event in client.events() if isinstance(event, EndedRun))
            hello = await client.hello()
    (ended,) = hello.ended
    assert home.printed(run) == printer.expected()
    assert (ended.exit.code, ended.size_bytes) == (42, len(printer.expected()))


def lost_bytes(home: Home, run: LiveRun, whole: bytes) -> int:
    """How many bytes of `whole` are missing from a record, each at a place that the size log names."""
    printed = home.printed(run)
    lines = [line.split() for line in sizes(home.record(run))]
    gaps = [(int(offset), int(size)) for kind, offset, size, *_ in lines if kind == "possible_gap"]
    lost = 0
    start = 0
    for (offset, most), end in zip(
        [(0, 0), *gaps], [*(offset for offset, _ in gaps), len(printed)], strict=True
    ):
        piece = printed[offset:end]
        found = whole.find(piece[: 4 * LINE_BYTES], start)
        assert 0 <= found - start <= most, (found, start, most)
        assert piece == whole[found : found + len(piece)]
        lost += found - start
        start = found + len(piece)
    assert start == len(whole)
    return lost


async def succeed(old: KeeperClient, new: KeeperClient) -> Sequence[LiveRun | EndedRun]:
    """What a daemon does after KeeperLost."""
    outcomes = await new.adopt(old.legs())
    await new.hello()
    return outcomes


async def test_killing_the_keeper_loses_no_child_and_at_most_one_read_which_is_said(
    home: Home, printer: Printer
) -> None:
    chance = random.Random(2)
    keeper = home.start()
    async with home.desk() as desk:
        run = await desk.spawn(*printer.argv)
        legs = desk.client.release()
    for _ in range(times(5, 200)):
        async with home.desk() as desk:
            (present,) = (await desk.client.hello()).live
            printer.go()
            await desk.client.watch(run.run, present.size_bytes + chance.randrange(LINES_PER_TURN * 8))
            await desk.next()
            keeper.kill()
            keeper.wait()
            assert isinstance(await desk.until_lost(), KeeperLost)
            with pytest.raises(KeeperGone):
                await desk.client.ping()
            assert is_alive(run.process.pid)
        keeper = home.start()
        async with home.desk() as desk:
            (outcome,) = await desk.client.adopt(legs)
            assert isinstance(outcome, LiveRun)
            assert (outcome.run, outcome.process) == (run.run, run.process)
    async with home.desk() as desk:
        printer.leave()
        ended = await desk.until_ended(run)
    for leg in legs:
        leg.close()
    assert ended.size_bytes == len(home.printed(run))
    assert len(printer.expected()) - ended.size_bytes == lost_bytes(home, run, printer.expected())
    assert ended.exit.code == (42 if kernel() >= (6, 15) else None)


async def test_an_adopted_run_can_be_typed_into_resized_signalled_and_ended(home: Home) -> None:
    keeper = home.start()
    async with home.desk() as old:
        run = await old.shell("stty -echo; echo ready; read line; echo got $line; read line")
        await old.until_printed(run, b"ready")
        keeper.kill()
        keeper.wait()
        home.start()
        async with home.desk() as new:
            await succeed(old.client, new.client)
            assert await new.client.type(run.run, "1", b"hello\n")
            await new.until_printed(run, b"got hello")
            await new.client.resize(run.run, Size(cols=50, rows=20))
            assert await new.client.end(run.run, 0) == (run.process.pid,)
            await new.client.signal(run.run, signal.SIGTERM)
            ended = await new.until_ended(run)
    assert ended.exit.signal == (signal.SIGTERM if kernel() >= (6, 15) else None)
    size = len(home.printed(run))
    assert sizes(home.record(run)) == [
        "size 0 80 24 0 0",
        f"possible_gap {len(b'ready') + 2} 4095",
        f"size {size} 50 20 0 0",
    ]


async def test_a_child_that_ended_between_two_keepers_is_drained_and_its_exit_known(home: Home) -> None:
    keeper = home.start()
    fifo = home.path / "fifo"
    os.mkfifo(fifo)
    async with home.desk() as old:
        run = await old.shell(f"echo first; read go <{fifo}; echo last words; exit 5")
        await old.until_printed(run, b"first")
        keeper.kill()
        keeper.wait()
        pidfd = old.client.legs()[0].pidfd
        assert pidfd is not None
        fifo.write_text("go\n")
        assert select.select([pidfd], [], [], 20)[0]
        home.start()
        async with home.desk() as new:
            await succeed(old.client, new.client)
            ended = await new.until_ended(run)
    assert home.printed(run) == b"first\r\nlast words\r\n"
    assert ended.size_bytes == len(b"first\r\nlast words\r\n")
    assert (ended.exit.code, ended.exit.reason) == (5, "exited")


async def test_a_run_is_adopted_once_however_often_it_is_handed_over(home: Home) -> None:
    keeper = home.start()
    async with home.desk() as old:
        run = await old.shell("echo ready; read line")
        await old.until_printed(run, b"ready")
        keeper.kill()
        keeper.wait()
        successor = home.start()
        async with home.desk() as new:
            for _ in range(3):
                (outcome,) = await new.client.adopt(old.client.legs())
                assert isinstance(outcome, LiveRun)
            assert [live.run for live in (await new.client.hello()).live] == [run.run]
            held = [
                os.readlink(f"/proc/{successor.pid}/fd/{fd}")
                for fd in os.listdir(f"/proc/{successor.pid}/fd")
            ]
            assert sum(name == "/dev/ptmx" or name.endswith("ptmx") for name in held) == 1
            await new.client.signal(run.run, signal.SIGKILL)
            ended = await new.until_ended(run)
            assert await new.client.adopt(old.client.legs()) == (ended,)
    assert [line for line in sizes(home.record(run)) if line.startswith("possible")] == [
        "possible_gap 7 4095"
    ]


async def test_a_keeper_that_dies_while_adopting_is_followed_by_one_that_adopts(home: Home) -> None:
    keeper = home.start()
    async with home.desk() as old:
        runs = [await old.shell("echo ready; read line") for _ in range(3)]
        for run in runs:
            await old.until_printed(run, b"ready")
        keeper.kill()
        keeper.wait()
        for _ in range(3):
            dying = home.start(crash="adopt:after-take")
            async with KeeperClient(home.socket) as client:
                with pytest.raises(KeeperGone):
                    await client.adopt(old.client.legs())
            dying.wait()
        home.start()
        async with home.desk() as new:
            await succeed(old.client, new.client)
            assert {live.run for live in (await new.client.hello()).live} == {run.run for run in runs}
            assert all(is_alive(run.process.pid) for run in runs)


async def test_what_is_no_leg_of_a_run_is_not_adopted_and_not_kept(home: Home) -> None:
    keeper = home.start()
    async with home.desk() as desk:
        run = await desk.shell("read line")
        (leg,) = desk.client.legs()
        await desk.client.ping()
        before = sorted(os.listdir(f"/proc/{keeper.pid}/fd"))
        reader, writer = os.pipe()
        other = RunId(spec("/bin/true").run)
        for wrong in (
            {"run": other},
            {"run": other, "master": reader},
            {"run": other, "pidfd": reader},
            {"run": other, "process": msgspec.structs.replace(leg.process, boot_id="another")},
        ):
            assert await desk.client.adopt([msgspec.structs.replace(leg, **wrong)]) == ()
        os.close(reader)
        os.close(writer)
        await desk.client.ping()
        assert sorted(os.listdir(f"/proc/{keeper.pid}/fd")) == before
        assert [live.run for live in (await desk.client.hello()).live] == [run.run]


async def test_more_runs_than_one_message_takes_are_all_held(home: Home) -> None:
    keeper = home.start()
    async with home.desk() as desk:
        runs = [await desk.spawn("/bin/sleep", "1000") for _ in range(105)]
        async with KeeperClient(home.socket) as other:
            await other.hello()
            assert {leg.run for leg in other.legs()} == {run.run for run in runs}
            keeper.kill()
            keeper.wait()
            home.start()
            async with KeeperClient(home.socket) as new:
                assert len(await new.adopt(other.legs())) == 105
                assert len((await new.hello()).live) == 105
                assert len(new.legs()) == 105
