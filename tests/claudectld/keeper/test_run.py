"""One run's life: the last byte before the exit, whoever holds the terminal; watching; resizing; typing."""

import itertools
import os
import signal

import anyio
import pytest

from claudectl_protocol.sessions import Size
from claudectld.ports import EndedRun, Grown, InputFull
from tests.claudectld.keeper.harness import INTERPRETER, Home, sizes, spec
from tests.counts import times

pytestmark = pytest.mark.anyio

RAW = "import os, sys, tty; tty.setraw(0); print('ready', end='', flush=True);"
"""A Python child that takes and gives bytes as they are."""


def python(script: str) -> tuple[str, ...]:
    return (INTERPRETER, "-I", "-S", "-c", RAW + script)


async def test_the_exit_comes_after_the_last_byte(home: Home) -> None:
    home.start()
    size = 300_000
    async with home.desk() as desk:
        for _ in range(times(10, 200)):
            run = await desk.spawn(*python(f"os.write(1, b'x' * {size} + b'end'); os._exit(7)"))
            ended = await desk.until_ended(run)

            printed = home.printed(run)
            assert printed == b"ready" + b"x" * size + b"end"
            assert (ended.exit.code, ended.size_bytes) == (7, len(printed))
            await desk.client.acknowledge(run.run)


@pytest.mark.parametrize(
    ("script", "code", "signo", "reason"),
    [
        ("exit 0", 0, None, "exited"),
        ("exit 255", 255, None, "exited"),
        ("kill -TERM $$", None, signal.SIGTERM, "signalled"),
        ("kill -KILL $$", None, signal.SIGKILL, "signalled"),
    ],
)
async def test_the_exit_file_and_the_event_say_the_same(
    home: Home, script: str, code: int | None, signo: int | None, reason: str
) -> None:
    home.start()
    async with home.desk() as desk:
        run = await desk.shell(script)
        ended = await desk.until_ended(run)
        assert (ended.exit.code, ended.exit.signal, ended.exit.reason) == (code, signo, reason)

        await desk.client.acknowledge(run.run)
        again = await desk.client.spawn(spec("/bin/sh", run=run.run, session=run.session))
        assert again == ended


async def test_a_grandchild_that_keeps_the_terminal_delays_no_exit_and_is_still_recorded(home: Home) -> None:
    home.start()
    fifo = home.path / "fifo"
    os.mkfifo(fifo)
    async with home.desk() as desk:
        run = await desk.shell(f"trap '' HUP; (read go <{fifo}; echo late) & echo early; exit 5")
        ended = await desk.until_ended(run)
        assert ended.exit.code == 5
        assert home.printed(run) == b"early\r\n"
        assert ended.size_bytes == len(b"early\r\n")

        await desk.client.acknowledge(run.run)
        fifo.write_text("go\n")
        assert await desk.until_printed(run, b"late\r\n") == b"early\r\nlate\r\n"


async def test_a_grandchild_that_never_stops_printing_delays_no_exit(home: Home) -> None:
    home.start()
    async with home.desk() as desk:
        run = await desk.shell("trap '' HUP; (while :; do echo flood; done) & exit 6")
        assert (await desk.until_ended(run)).exit.code == 6
        assert await desk.client.end(run.run, signal.SIGKILL)


async def test_a_child_that_closed_its_terminal_is_no_ended_run(home: Home) -> None:
    home.start()
    fifo = home.path / "fifo"
    os.mkfifo(fifo)
    async with home.desk() as desk:
        run = await desk.shell(f"echo before; exec <{fifo} >/dev/null 2>&1; read go; exit 9")
        await desk.until_printed(run, b"before")
        fifo.write_text("go\n")
        assert (await desk.until_ended(run)).exit.code == 9


async def test_what_a_child_prints_to_a_terminal_it_opened_again_is_recorded(home: Home) -> None:
    keeper = home.start()
    fifo = home.path / "fifo"
    os.mkfifo(fifo)
    async with home.desk() as desk:
        run = await desk.shell(f"exec <{fifo} >/dev/null 2>&1; read go; echo again >/dev/tty; read go")
        go = os.open(fifo, os.O_RDWR)
        os.write(go, b"go\n")
        await desk.until_printed(run, b"again")
        os.write(go, b"go\n")
        os.close(go)
        await desk.until_ended(run)
    assert keeper.poll() is None


async def test_growth_is_told_once_per_watch(home: Home) -> None:
    home.start()
    async with home.desk() as desk:
        fifo = home.path / "fifo"
        os.mkfifo(fifo)
        child = python("[(open(sys.argv[1]).read(), os.write(1, b'x')) for _ in range(3)]; os.read(0, 1)")
        run = await desk.spawn(*child, str(fifo))
        await desk.until_printed(run, b"ready")

        await desk.client.watch(run.run, 5)
        fifo.write_text("go")
        assert await desk.next() == Grown(run=run.run, size_bytes=6)
        for size in (7, 8):
            fifo.write_text("go")
            while len(home.printed(run)) < size:
                await desk.client.ping()
        await desk.client.watch(run.run, 7)
        assert await desk.next() == Grown(run=run.run, size_bytes=8)

        await desk.client.type(run.run, "end", b"x")
        assert isinstance(await desk.next(), EndedRun)


async def test_watching_twice_asks_for_one_event(home: Home) -> None:
    home.start()
    async with home.desk() as desk:
        run = await desk.spawn(*python("os.read(0, 1); os.write(1, b'x'); os.read(0, 1)"))
        await desk.until_printed(run, b"ready")
        await desk.client.watch(run.run, 5)
        await desk.client.watch(run.run, 5)
        await desk.client.type(run.run, "1", b"x")
        assert await desk.next() == Grown(run=run.run, size_bytes=6)
        await desk.client.type(run.run, "2", b"x")
        assert isinstance(await desk.next(), EndedRun)


async def test_a_size_is_logged_at_its_offset_and_reaches_the_child(home: Home) -> None:
    home.start()
    script = (
        "import signal; signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGWINCH}); os.write(1, b'set');"
        "signal.sigwait({signal.SIGWINCH}); os.write(1, b'%d' % os.get_terminal_size().columns); os.read(0, 1)"
    )
    async with home.desk() as desk:
        run = await desk.spawn(*python(script))
        await desk.until_printed(run, b"set")
        await desk.client.resize(run.run, Size(cols=99, rows=33, xpixel=1, ypixel=2))
        assert await desk.until_printed(run, b"99") == b"readyset99"
        await desk.client.type(run.run, "end", b"x")
        await desk.until_ended(run)
        await desk.client.resize(run.run, Size(cols=10, rows=10))
    assert sizes(home.record(run)) == ["size 0 80 24 0 0", "size 8 99 33 1 2"]


async def test_a_paste_is_typed_whole_and_nothing_gets_between(home: Home) -> None:
    home.start()
    paste = b"".join(b"%07d " % number for number in range(1 << 17))
    assert len(paste) == 1 << 20
    script = (
        "\ndata = b''\n"
        f"while len(data) < {len(paste) + 2}: data += os.read(0, 65536)\n"
        "open(sys.argv[1], 'wb').write(data)"
    )
    async with home.desk() as desk:
        typed = home.path / "typed"
        run = await desk.spawn(*python(script), str(typed))
        await desk.until_printed(run, b"ready")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(desk.client.type, run.run, "before", b"<")
            tasks.start_soon(desk.client.type, run.run, "paste", paste)
            tasks.start_soon(desk.client.type, run.run, "after", b">")
        await desk.until_ended(run)
        assert typed.read_bytes() == b"<" + paste + b">"


async def test_a_batch_asked_for_again_is_typed_once(home: Home) -> None:
    home.start()
    async with home.desk() as desk:
        run = await desk.spawn(
            *python("os.write(1, os.read(0, 9)); os.write(1, os.read(0, 9)); os.read(0, 9)")
        )
        await desk.until_printed(run, b"ready")
        for _ in range(3):
            assert await desk.client.type(run.run, "one", b"1")
        await desk.until_printed(run, b"1")
        await desk.client.type(run.run, "two", b"2")
        assert await desk.until_printed(run, b"2") == b"ready12"


async def test_a_batch_in_progress_survives_the_client_that_asked_and_is_joined_by_the_next(
    home: Home,
) -> None:
    home.start()
    fifo, typed = home.path / "fifo", home.path / "typed"
    os.mkfifo(fifo)
    paste = b"p" * 200_000
    script = (
        "\nopen(sys.argv[1]).read()\ndata = b''\n"
        f"while len(data) < {len(paste)}: data += os.read(0, 65536)\n"
        "open(sys.argv[2], 'wb').write(data)"
    )
    async with home.desk() as desk:
        run = await desk.spawn(*python(script), str(fifo), str(typed))
        await desk.until_printed(run, b"ready")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(desk.client.type, run.run, "paste", paste)
            await anyio.wait_all_tasks_blocked()
            await desk.client.ping()
            tasks.cancel_scope.cancel()
    async with home.desk() as desk, anyio.create_task_group() as tasks:
        tasks.start_soon(desk.client.type, run.run, "paste", paste)
        await anyio.wait_all_tasks_blocked()
        await desk.client.ping()
        fifo.write_text("go")
        await desk.until_ended(run)
    assert typed.read_bytes() == paste


async def test_a_child_that_never_reads_holds_nobody_up_and_its_queue_is_bounded(home: Home) -> None:
    home.start()
    async with home.desk() as desk, anyio.create_task_group() as tasks:
        deaf = await desk.spawn(*python("import signal; signal.pause()"))
        hears = await desk.spawn(*python("os.write(1, os.read(0, 9)); os.read(0, 9)"))
        await desk.until_printed(deaf, b"ready")
        await desk.until_printed(hears, b"ready")
        results: list[bool] = []

        async def paste(name: str) -> None:
            results.append(await desk.client.type(deaf.run, name, b"x" * (1 << 20)))

        for number in range(4):
            tasks.start_soon(paste, str(number))
        await anyio.wait_all_tasks_blocked()
        await desk.client.ping()
        with pytest.raises(InputFull):
            await desk.client.type(deaf.run, "over", b"x" * (1 << 20))

        assert await desk.client.type(hears.run, "key", b"k")
        await desk.until_printed(hears, b"k")
        assert results == []
        await desk.client.signal(deaf.run, signal.SIGKILL)
        await desk.until_ended(deaf)
        await desk.client.signal(hears.run, signal.SIGKILL)
    assert results == [False] * 4


async def test_typing_into_a_run_that_ended_says_so(home: Home) -> None:
    home.start()
    async with home.desk() as desk:
        run = await desk.shell("exit 0")
        await desk.until_ended(run)
        assert await desk.client.type(run.run, "late", b"x") is False


async def test_a_flood_does_not_starve_another_runs_echo(home: Home) -> None:
    home.start()
    async with home.desk() as desk:
        flood = await desk.spawn(*python("[os.write(1, b'f' * 65536) for _ in iter(int, 1)]"))
        echo = await desk.spawn(*python("[os.write(1, os.read(0, 9)) for _ in iter(int, 1)]"))
        await desk.until_printed(echo, b"ready")
        flooded = 0
        for number in range(20):
            await desk.client.watch(flood.run, flooded)
            flooded = 0
            await desk.client.watch(echo.run, 5 + number)
            await desk.client.type(echo.run, f"key {number}", b"k")
            echoed = False
            while not (echoed and flooded):
                event = await desk.next()
                assert isinstance(event, Grown)
                if event.run == flood.run:
                    flooded = event.size_bytes
                else:
                    assert event == Grown(run=echo.run, size_bytes=6 + number)
                    echoed = True
        await desk.client.signal(flood.run, signal.SIGKILL)
        await desk.until_ended(flood)


async def test_old_segments_go_by_size_and_offsets_never_restart(home: Home) -> None:
    home.start()
    lines = b"".join(b"%07d\n" % number for number in range(20_000))
    script = "[os.write(1, b'%07d\\n' % number) for number in range(20_000)]"
    async with home.desk() as desk:
        run = await desk.spawn(*python(script), segment_bytes=10_000, limit_bytes=50_000)
        ended = await desk.until_ended(run)
    assert ended.size_bytes == len(b"ready" + lines)
    found = sorted(path for path in home.record(run).iterdir() if path.name.isdigit())
    extents = [(int(path.name), path.stat().st_size) for path in found]
    assert all(size <= 10_000 for _, size in extents)
    assert sum(size for _, size in extents) <= 50_000
    assert all(start + size == after for (start, size), (after, _) in itertools.pairwise(extents))
    assert extents[-1][0] + extents[-1][1] == ended.size_bytes
    assert (b"ready" + lines).endswith(home.printed(run))
