"""The table of runs: idempotent starts, acknowledgements, forgetting, and ending everything a run started."""

import os
import signal
import sys
import uuid

import anyio
import pytest

from claudectl_protocol.sessions import RunId, SessionId
from claudectld.keeper import processes
from claudectld.keeper.client import KeeperClient
from claudectld.ports import EndedRun, KeeperGone, LiveRun
from tests.claudectld.keeper.harness import INTERPRETER, Home, is_alive, parent, spec, told, wait_gone

pytestmark = pytest.mark.anyio

DAEMON = (
    "import os, signal, sys\n"
    "signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
    "if os.fork(): os._exit(0)\n"
    "os.setsid()\n"
    "if os.fork(): os._exit(0)\n"
    "signal.signal(signal.SIGTERM, signal.SIG_IGN) if sys.argv[2:] else None\n"
    "with open(sys.argv[1], 'w') as fifo: fifo.write(str(os.getpid()))\n"
    "signal.pause()\n"
)
"""A program that leaves its parent, its session and its terminal, and then says who it is."""


async def test_a_run_is_started_once_however_often_it_is_asked_for(home: Home) -> None:
    home.start()
    async with home.desk() as desk:
        made = spec("/bin/sh", "-c", "read wait")
        outcomes: list[LiveRun | EndedRun] = []

        async def ask() -> None:
            outcomes.append(await desk.client.spawn(made))

        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(ask)
        outcomes.append(await desk.client.spawn(made))

        assert len({(outcome.run, getattr(outcome, "process", None)) for outcome in outcomes}) == 1
        assert isinstance(outcomes[0], LiveRun)
        assert len(desk.client.legs()) == 1


async def test_an_ended_run_is_answered_with_its_exit_by_any_later_keeper(home: Home) -> None:
    keeper = home.start()
    made = spec("/bin/sh", "-c", "exit 3")
    async with home.desk() as desk:
        run = await desk.client.spawn(made)
        assert isinstance(run, LiveRun)
        ended = await desk.until_ended(run)
        assert await desk.client.spawn(made) == ended
        await desk.client.acknowledge(run.run)
        assert await desk.client.spawn(made) == ended
    keeper.kill()
    keeper.wait()
    home.start()
    async with home.desk() as desk:
        assert await desk.client.spawn(made) == ended


async def test_an_exit_is_in_every_hello_until_it_is_acknowledged(home: Home) -> None:
    home.start()
    async with home.desk() as desk:
        run = await desk.shell("exit 3")
        ended = await desk.until_ended(run)
    async with KeeperClient(home.socket) as client:
        assert (await client.hello()).ended == (ended,)
    async with KeeperClient(home.socket) as client:
        assert (await client.hello()).ended == (ended,)
        await client.acknowledge(run.run)
        assert (await client.hello()).ended == ()


async def test_hello_says_everything_at_once(home: Home) -> None:
    keeper = home.start()
    async with home.desk() as desk:
        lives = await desk.shell("echo hello; read wait")
        await desk.until_printed(lives, b"hello\r\n")
        ended = await desk.until_ended(await desk.shell("exit 1"))
    async with KeeperClient(home.socket) as client:
        hello = await client.hello()
        assert [(run.run, run.process, run.size_bytes) for run in hello.live] == [
            (lives.run, lives.process, len(b"hello\r\n"))
        ]
        assert hello.ended == (ended,)
        assert hello.keeper.pid == keeper.pid
        assert [leg.run for leg in client.legs()] == [lives.run]
        assert os.isatty(client.legs()[0].master)


async def test_forgetting_deletes_an_ended_run_and_refuses_a_live_one(home: Home) -> None:
    home.start()
    async with home.desk() as desk:
        run = await desk.shell("read wait")
        with pytest.raises(ValueError, match="live"):
            await desk.client.forget(run.session, run.run)
        assert home.record(run).exists()

        await desk.client.signal(run.run, signal.SIGKILL)
        await desk.until_ended(run)
        await desk.client.forget(run.session, run.run)
        assert not home.record(run).parent.exists()
        await desk.client.forget(run.session, run.run)
        assert (await desk.client.hello()).ended == ()


async def test_ids_that_are_no_uuids_reach_no_path(home: Home) -> None:
    home.start()
    outside = home.path / "outside"
    outside.mkdir()
    async with home.desk() as desk:
        for name in ("../../outside", "", "x" * 36, str(uuid.uuid4()).upper()):
            with pytest.raises(ValueError, match="uuid"):
                await desk.client.forget(SessionId(name), RunId(str(uuid.uuid4())))
            with pytest.raises(ValueError, match="uuid"):
                await desk.client.forget(SessionId(str(uuid.uuid4())), RunId(name))
    assert outside.exists()


async def test_ending_a_run_reaches_descendants_and_daemons_that_left_it(home: Home) -> None:
    home.start()
    fifo = home.path / "fifo"
    os.mkfifo(fifo)
    async with home.desk() as desk:
        other = await desk.shell("read wait")
        run = await desk.spawn(
            *("/bin/sh", "-c", '"$0" -I -S -c "$1" "$2"; sleep 1000 & echo $!; read wait'),
            *(INTERPRETER, DAEMON, str(fifo)),
        )
        daemon = int(await told(fifo))
        sleep = int((await desk.until_printed(run, b"\r\n")).split()[-1])

        assert set(await desk.client.end(run.run, 0)) == {run.process.pid, sleep, daemon}
        assert all(is_alive(pid) for pid in (run.process.pid, sleep, daemon))

        assert set(await desk.client.end(run.run, signal.SIGTERM)) == {run.process.pid, sleep, daemon}
        await desk.until_ended(run)
        wait_gone(daemon)
        wait_gone(sleep)
        assert await desk.client.end(run.run, 0) == ()
        assert is_alive(other.process.pid)


async def test_ending_works_after_the_main_process_ended(home: Home) -> None:
    home.start()
    fifo = home.path / "fifo"
    os.mkfifo(fifo)
    async with home.desk() as desk:
        run = await desk.spawn(INTERPRETER, "-I", "-S", "-c", DAEMON, str(fifo), "stubborn")
        daemon = int(await told(fifo))
        await desk.until_ended(run)
        await desk.client.acknowledge(run.run)

        assert await desk.client.end(run.run, signal.SIGTERM) == (daemon,)
        assert is_alive(daemon)
        assert await desk.client.end(run.run, signal.SIGKILL) == (daemon,)
        wait_gone(daemon)


async def test_what_is_forked_while_a_run_is_ended_is_ended_too(home: Home) -> None:
    home.start()
    async with home.desk() as desk:
        run = await desk.shell("trap '' TERM; while :; do (sleep 1000 & echo x); done")
        await desk.until_printed(run, b"x\r\n" * 20)
        while await desk.client.end(run.run, signal.SIGKILL):
            pass
        await desk.until_ended(run)
        assert home.marked() == []


async def test_the_daemon_itself_is_spared_even_inside_a_run(home: Home) -> None:
    home.start()
    async with home.desk() as desk:
        made = spec("/bin/sh", "-c", "read wait")
        run = await desk.client.spawn(made)
        assert isinstance(run, LiveRun)
        script = (
            "import anyio, sys\n"
            "from pathlib import Path\n"
            "from claudectld.keeper.client import KeeperClient\n"
            "async def main():\n"
            "    async with KeeperClient(Path(sys.argv[1])) as client:\n"
            "        await client.hello()\n"
            "        print(await client.end(sys.argv[2], 9))\n"
            "anyio.run(main)\n"
        )
        environment = {**os.environ, "CLAUDECTL_RUN": run.run}
        done = await anyio.run_process(
            [sys.executable, "-c", script, str(home.socket), run.run], env=environment
        )
        assert done.stdout.decode().strip() == f"({run.process.pid},)"
        with pytest.raises(KeeperGone, match="another daemon"):
            await desk.client.ping()


async def test_orphans_of_runs_are_reaped(home: Home) -> None:
    keeper = home.start()
    fifo = home.path / "fifo"
    os.mkfifo(fifo)
    async with home.desk() as desk:
        run = await desk.spawn(INTERPRETER, "-I", "-S", "-c", DAEMON, str(fifo))
        daemon = int(await told(fifo))
        await desk.until_ended(run)
        assert parent(daemon) == keeper.pid
        os.kill(daemon, signal.SIGKILL)
        wait_gone(daemon)
        while processes.look_up(daemon) is not None:
            await desk.client.ping()
