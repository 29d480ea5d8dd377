"""The keeper goes on in other code: as the same process, with everything it holds, or else as if nobody had asked."""

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import anyio
import msgspec
import pytest

from claudectld.keeper import processes, wire
from claudectld.keeper.client import KeeperClient
from claudectld.keeper.wire import Decoder
from claudectld.ports import EndedRun, Grown, KeeperCode, KeeperGone, LiveRun, UpgradeRefused
from tests.claudectld.keeper.harness import (
    DEADLINE_S,
    INTERPRETER,
    Desk,
    Home,
    is_alive,
    parent,
    segments,
    spec,
)
from tests.counts import times

pytestmark = pytest.mark.anyio

RAW = "import os, sys, tty; tty.setraw(0);"
"""A Python child that takes and gives bytes as they are."""
PRINTS = RAW + (
    "n = 0\n"
    "while not os.path.exists(sys.argv[1]):\n"
    "    os.write(1, b''.join(b'%09d\\n' % i for i in range(n, n + 100))); n += 100\n"
    "os.write(1, b'end'); os._exit(42)"
)
ECHOES = RAW + "\nos.write(1, b'ready\\n')\nwhile data := os.read(0, 4096): os.write(1, data)"


def python(script: str, *arguments: object) -> tuple[str, ...]:
    return (INTERPRETER, "-I", "-S", "-c", script, *(str(each) for each in arguments))


def descriptors(pid: int) -> dict[int, str]:
    """What a process has open."""
    return {
        int(name): os.readlink(f"/proc/{pid}/fd/{name}").partition(":")[0]
        for name in os.listdir(f"/proc/{pid}/fd")
    }


def inheritable(pid: int) -> list[int]:
    """Descriptors that stay open over exec."""
    found = []
    for name in os.listdir(f"/proc/{pid}/fdinfo"):
        flags = Path(f"/proc/{pid}/fdinfo/{name}").read_text().split()[3]
        if not int(flags, 8) & os.O_CLOEXEC:
            found.append(int(name))
    return sorted(found)


def command_line(pid: int) -> list[bytes]:
    return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")


def words_of_another(home: Home) -> bytes:
    """What a second keeper for this home says."""
    command = home.command()
    return subprocess.run(command, capture_output=True, timeout=DEADLINE_S, env={}, check=False).stderr


def tell(fifo: Path, text: str) -> None:
    """Write to somebody who waits for it, or will."""
    fifo.write_text(text)


async def until_fifo_is_read(path: Path) -> int:
    """Wait until somebody has opened a fifo for reading; the descriptor to write to."""
    return await anyio.to_thread.run_sync(os.open, path, os.O_WRONLY)


@pytest.fixture
def fifo(home: Home) -> Path:
    path = home.path / "fifo"
    os.mkfifo(path)
    return path


def held_after_exec(home: Home, fifo: Path) -> KeeperCode:
    """Code that, just after exec, says that it runs and waits until it may go on."""
    stop = f"open({str(fifo)!r}).read()"
    return home.code("held", main=('crash_point("upgrade:after-exec")', stop))


async def test_it_stays_the_same_process_and_parent_and_never_lets_the_lock_go(home: Home) -> None:
    keeper = home.start()
    async with home.desk() as desk:
        before = await desk.client.hello()
        run = await desk.shell("read line; exit 7")
        await desk.client.ping()
        socket_before = home.socket.stat().st_ino
        open_before = descriptors(keeper.pid)
        file_before = (home.state / "keeper.json").read_bytes()

        code = home.code()
        assert await desk.client.upgrade(code) == "newer"

        after = await desk.client.hello()
        assert (before.code, after.code) == (home.copy.name, "newer")
        assert (after.keeper, after.epoch) == (before.keeper, before.epoch + 1)
        assert code.directory.encode() in command_line(keeper.pid)
        assert parent(run.process.pid) == keeper.pid
        assert home.socket.stat().st_ino == socket_before
        assert (home.state / "keeper.json").read_bytes() == file_before
        assert sorted(descriptors(keeper.pid).values()) == sorted(open_before.values())
        assert inheritable(keeper.pid) == [0, 1, 2]
        assert words_of_another(home).startswith(b"keeper: already running pid")

        await desk.client.type(run.run, "1", b"\n")
        assert (await desk.until_ended(run)).exit.code == 7
    keeper.terminate()
    assert keeper.wait(DEADLINE_S) == 0
    assert not home.socket.exists()


async def test_no_byte_is_lost_or_doubled_and_nothing_typed_twice_under_load(home: Home) -> None:
    keeper = home.start()
    stop = home.path / "stop"
    codes = [home.code("a"), home.code("b")]
    upgrades = times(20, 200)
    async with home.desk(DEADLINE_S * upgrades) as desk:
        printing = await desk.spawn(*python(PRINTS, stop), limit_bytes=1 << 32)
        echoing = await desk.spawn(*python(ECHOES))
        await desk.until_printed(echoing, b"ready\n")
        typed = 0
        done = anyio.Event()

        async def type_on() -> None:
            nonlocal typed
            while not done.is_set():
                assert await desk.client.type(echoing.run, str(typed), b"%09d\n" % typed)
                typed += 1

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(type_on)
            for number in range(upgrades):
                assert await upgraded(desk, codes[number % 2])
            done.set()
        stop.touch()
        ended = await desk.until_ended(printing)
        printed = home.printed(printing)
        assert (ended.exit.code, ended.size_bytes) == (42, len(printed))
        lines = len(printed) // 10
        assert printed == b"".join(b"%09d\n" % number for number in range(lines)) + b"end"
        last = b"%09d\n" % (typed - 1)
        echoed = await desk.until_printed(echoing, last)
        assert typed >= upgrades
        assert echoed == b"ready\n" + b"".join(b"%09d\n" % number for number in range(typed))
        assert [line.split()[0] for line in (home.record(echoing) / "sizes").read_text().splitlines()] == [
            "size"
        ]
    assert home.log.count(" upgraded ") == upgrades
    assert keeper.poll() is None


async def upgraded(desk: Desk, code: KeeperCode) -> bool:
    """Upgrade, asking again while something is just being typed."""
    while True:
        try:
            return await desk.client.upgrade(code) == code.name
        except UpgradeRefused as error:
            if not error.is_busy:
                raise


async def test_what_happens_during_exec_is_seen_afterwards(home: Home, fifo: Path) -> None:
    keeper = home.start()
    async with home.desk() as desk, anyio.create_task_group() as tasks:
        code = held_after_exec(home, fifo)
        printing = await desk.spawn(*python(ECHOES))
        await desk.until_printed(printing, b"ready\n")
        await desk.client.watch(printing.run, len(b"ready\n"))
        ending = [await desk.shell("read line; echo last words; exit 9") for _ in range(3)]
        tasks.start_soon(desk.client.upgrade, code)
        held = await until_fifo_is_read(fifo)

        # All of this while nobody is there to see it: it cannot be the new code, which still waits.
        for run in ending:
            os.kill(run.process.pid, signal.SIGTERM)
        tasks.start_soon(desk.client.type, printing.run, "1", b"typed")
        with socket.socket(socket.AF_UNIX) as late:
            late.connect(str(home.socket))
            late.sendall(wire.encode({"id": 1, "request": "ping"}))
            for signo in (signal.SIGHUP, signal.SIGUSR1, signal.SIGCHLD):
                keeper.send_signal(signo)
            os.close(held)

            for run in ending:
                ended = await desk.until_ended(run)
                assert (ended.exit.signal, ended.exit.reason) == (signal.SIGTERM, "signalled")
            late.settimeout(DEADLINE_S)
            assert await anyio.to_thread.run_sync(late.recv, 1)
        assert await desk.until_printed(printing, b"typed") == b"ready\ntyped"
        assert (await desk.client.hello()).code == "held"
    assert keeper.poll() is None


async def test_being_told_to_leave_during_exec_is_no_death(home: Home, fifo: Path) -> None:
    keeper = home.start()
    async with home.desk() as desk, anyio.create_task_group() as tasks:
        run = await desk.shell("read line; exit 0")
        tasks.start_soon(desk.client.upgrade, held_after_exec(home, fifo))
        held = await until_fifo_is_read(fifo)
        keeper.terminate()
        os.close(held)
        while "leaving" not in home.log:
            await desk.client.ping()
        assert is_alive(run.process.pid)
        await desk.client.type(run.run, "1", b"\n")
        assert (await desk.until_ended(run)).exit.reason == "interrupted"
    assert keeper.wait(DEADLINE_S) == 0


def just_before_exec(home: Home, act: str) -> str:
    """Running code that does something when the trial went well and signals are not yet blocked."""
    hook = "if self._stamps(request) != stamps:"
    return home.code("hooked", upgrade=(hook, f"{act}\n        {hook}")).directory


async def test_an_exit_that_was_seen_just_before_exec_is_told_afterwards(home: Home) -> None:
    path = home.path / "pid"
    ends = f"pid = int(open({str(path)!r}).read()); os.kill(pid, 15); os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)"
    home.start(copy=just_before_exec(home, ends))
    async with home.desk() as desk:
        run = await desk.shell("echo last words; exec sleep 1000")
        await desk.until_printed(run, b"last words")
        path.write_text(str(run.process.pid))
        assert await desk.client.upgrade(home.code()) == "newer"
        ended = await desk.until_ended(run)
        assert (ended.exit.signal, ended.size_bytes) == (signal.SIGTERM, len(b"last words\r\n"))


async def test_being_told_to_leave_just_before_exec_is_obeyed_by_the_old_code(home: Home) -> None:
    keeper = home.start(copy=just_before_exec(home, "os.kill(os.getpid(), 15)"))
    async with home.desk() as desk:
        run = await desk.shell("read line")
        with pytest.raises(UpgradeRefused, match="the keeper was told to leave"):
            await desk.client.upgrade(home.code())
        await desk.client.type(run.run, "1", b"\n")
        assert (await desk.until_ended(run)).exit.reason == "interrupted"
    assert keeper.wait(DEADLINE_S) == 0


async def test_what_begins_during_the_trial_is_finished_first(home: Home, fifo: Path) -> None:
    home.start()
    slow = home.code(
        "slow", handover=("fields = Fields(value)", f"open({str(fifo)!r}).read(); fields = Fields(value)")
    )
    async with home.desk() as desk, anyio.create_task_group() as tasks:
        run = await desk.shell("stty raw; echo ready; read go </dev/null; exec sleep 1000")
        await desk.until_printed(run, b"ready")
        why: list[str] = []

        async def ask() -> None:
            with pytest.raises(UpgradeRefused) as caught:
                await desk.client.upgrade(slow)
            why.append(str(caught.value))

        tasks.start_soon(ask)
        held = await until_fifo_is_read(fifo)
        tasks.start_soon(desk.client.type, run.run, "1", b"x" * 100_000)
        await desk.client.ping()
        os.close(held)
        while not why:
            await desk.client.ping()
        assert why == [f"run {run.run} has not taken all that was typed"]
        await desk.client.end(run.run, signal.SIGKILL)


async def test_exits_that_nobody_acknowledged_and_late_words_go_over(home: Home, fifo: Path) -> None:
    home.start()
    async with home.desk() as desk:
        silent = await desk.shell("exit 5")
        lingering = await desk.shell(f"trap '' HUP; (read go <{fifo}; echo late) & echo early; exit 6")
        ended = [await desk.until_ended(run) for run in (silent, lingering)]

        await desk.client.upgrade(home.code())
        hello = await desk.client.hello()
        assert sorted(hello.ended, key=lambda run: run.run) == sorted(ended, key=lambda run: run.run)
        assert [run.exit.code for run in ended] == [5, 6]

        for run in ended:
            await desk.client.acknowledge(run.run)
        await desk.client.upgrade(home.code("newest"))
        assert (await desk.client.hello()).ended == ()
        tell(fifo, "go\n")
        while home.printed(lingering) != b"early\r\nlate\r\n":
            await desk.client.ping()


async def test_a_watch_is_told_once_by_the_new_code(home: Home) -> None:
    home.start()
    async with home.desk() as desk:
        run = await desk.spawn(*python(ECHOES))
        await desk.until_printed(run, b"ready\n")
        await desk.client.watch(run.run, 8)
        await desk.client.upgrade(home.code())
        await desk.client.type(run.run, "1", b"12")
        await desk.client.type(run.run, "2", b"34567")
        event = await desk.next()
        assert isinstance(event, Grown)
        assert event.size_bytes > 8
        # Nothing else was told before this.
        await desk.client.watch(run.run, 0)
        assert isinstance(await desk.next(), Grown)


async def test_the_record_goes_on_in_the_same_segment_and_keeps_its_limit(home: Home) -> None:
    home.start()
    async with home.desk() as desk:
        run = await desk.spawn(*python(ECHOES), segment_bytes=1000, limit_bytes=2500)
        await desk.until_printed(run, b"ready\n")
        for number in range(6):
            await desk.client.upgrade(home.code(f"code{number}"))
            await desk.client.type(run.run, str(number), b"%d" % number * 700)
            end = 6 + 700 * (number + 1)
            while end > sum(path.stat().st_size + int(path.name) for path in segments(home.record(run))[-1:]):
                await desk.client.ping()
        found = segments(home.record(run))
        assert [int(path.name) % 1000 for path in found] == [0] * len(found)
        assert sum(path.stat().st_size for path in found) <= 2500
        everything = b"ready\n" + b"".join(b"%d" % number * 700 for number in range(6))
        assert home.printed(run) == everything[int(found[0].name) :]


async def test_a_child_that_it_adopted_is_still_seen_to_end(home: Home) -> None:
    first = home.start()
    async with KeeperClient(home.socket) as client:
        await client.hello()
        run = await client.spawn(spec("/bin/sh", "-c", "read line; exit 3"))
        assert isinstance(run, LiveRun)
        first.kill()
        first.wait()
        home.start()
        async with home.desk() as desk:
            await desk.client.adopt(client.legs())
            for leg in client.release():
                leg.close()
            await desk.client.upgrade(home.code())
            assert [live.run for live in (await desk.client.hello()).live] == [run.run]
            await desk.client.type(run.run, "1", b"\n")
            ended = await desk.until_ended(run)
            assert ended.exit.code in (3, None)
            assert home.log.count("adopted") == 1


async def test_a_child_that_closed_its_terminal_may_open_it_again_afterwards(home: Home, fifo: Path) -> None:
    home.start()
    async with home.desk() as desk:
        run = await desk.shell(
            f"stty -echo; tty=$(tty); echo closing; exec </dev/null >/dev/null 2>&1; read go <{fifo};"
            "read typed <$tty; echo again $typed >$tty"
        )
        await desk.until_printed(run, b"closing")
        keeper = (await desk.client.hello()).keeper.pid
        while not any(target.startswith("/dev/pts/") for target in descriptors(keeper).values()):
            await desk.client.ping()
        await desk.client.type(run.run, "1", b"typed\n")
        await desk.client.upgrade(home.code())
        tell(fifo, "go\n")
        assert (await desk.until_ended(run)).exit.code == 0
        assert home.printed(run) == b"closing\r\nagain typed\r\n"
        await desk.client.acknowledge(run.run)
        await desk.client.ping()
        assert [target for target in descriptors(keeper).values() if "pt" in Path(target).name] == []


async def test_children_that_are_started_afterwards_get_what_they_always_got(home: Home) -> None:
    home.start(launcher=("/usr/bin/prlimit", "--nofile=700:900"))
    script = "ls /proc/self/fd; ulimit -Sn; ulimit -Hn; umask; pwd; grep Sig[BI] /proc/self/status"
    async with home.desk() as desk:
        before = await desk.shell(script)
        await desk.until_ended(before)
        await desk.client.upgrade(home.code())
        after = await desk.shell(script)
        await desk.until_ended(after)
        assert home.printed(after) == home.printed(before)
        assert b"\r\n700\r\n900\r\n" in home.printed(after)


# --- connections


class Peer:
    """A connection that says exactly what it is told to."""

    def __init__(self, home: Home) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(str(home.socket))
        self.socket.settimeout(DEADLINE_S)
        self._decoder = Decoder()

    def ids(self, count: int) -> list[object]:
        """The ids of the next replies."""
        found: list[object] = []
        while len(found) < count:
            data, _ = wire.receive(self.socket)
            assert data, f"closed after {len(found)}"
            self._decoder.feed(data)
            found += [frame.header["id"] for frame in self._decoder.frames()]
        return found


async def test_half_a_request_and_replies_nobody_has_read_are_gone_on_with(home: Home) -> None:
    home.start()
    peer = Peer(home)
    with peer.socket:
        asked = 4000
        hellos = [
            wire.encode({"id": number, "request": "hello", "control": False}) for number in range(asked)
        ]
        ping = wire.encode({"id": asked, "request": "ping"})
        async with home.desk() as desk:
            for _ in range(5):
                await desk.shell("read line")
            await anyio.to_thread.run_sync(peer.socket.sendall, b"".join(hellos) + ping[:11])
            await desk.client.ping()
            await desk.client.upgrade(home.code())
            await anyio.to_thread.run_sync(peer.socket.sendall, ping[11:])
            assert await anyio.to_thread.run_sync(peer.ids, asked + 1) == [*range(asked + 1)]


async def test_it_is_done_also_when_who_asked_has_gone(home: Home) -> None:
    keeper = home.start()
    code = home.code()
    peer = Peer(home)
    with peer.socket:
        peer.socket.sendall(wire.encode({"id": 1, "request": "hello", "control": True}))
        assert peer.ids(1) == [1]
        request = {"id": 2, "request": "upgrade", "copy": code.directory, "interpreter": code.interpreter}
        peer.socket.sendall(wire.encode(request))
    async with home.desk() as desk:
        while (await desk.client.hello()).code != "newer":
            pass
    assert keeper.poll() is None


async def test_a_controller_that_came_meanwhile_is_carried_on_and_the_asker_is_not(home: Home) -> None:
    home.start()
    async with home.desk() as desk, KeeperClient(home.socket) as other, anyio.create_task_group() as tasks:
        lost = anyio.Event()

        async def ask() -> None:
            with pytest.raises(KeeperGone):
                await desk.client.upgrade(home.code())
            lost.set()

        tasks.start_soon(ask)
        while "upgrade_tried" not in home.log:
            await other.ping()
        await other.hello()
        await lost.wait()
        run = await other.spawn(spec("/bin/cat"))
        assert isinstance(run, LiveRun)
        while (await other.hello()).code != "newer":
            pass
        assert await other.end(run.run, signal.SIGKILL) == (run.process.pid,)
        event = await anext(other.events())
        assert isinstance(event, EndedRun)


async def test_code_with_another_protocol_closes_connections_and_says_so_at_hello(home: Home) -> None:
    home.start()
    newer = home.code("newer", wire=("PROTOCOL = 1", "PROTOCOL = 2"))
    async with home.desk() as desk:
        run = await desk.shell("read line")
        with pytest.raises(KeeperGone):
            await desk.client.upgrade(newer)
        await desk.until_lost()
        async with KeeperClient(home.socket) as client:
            with pytest.raises(KeeperGone, match="the keeper speaks protocol 2, this daemon 1"):
                await client.hello()
        assert is_alive(run.process.pid)
        assert b'"protocol": 2' in (home.state / "keeper.json").read_bytes()


# --- refusals


async def refused(desk: Desk, code: KeeperCode) -> UpgradeRefused:
    """The refusal, and proof that everything goes on."""
    before = await desk.client.hello()
    pid = before.keeper.pid
    open_before = sorted(descriptors(pid).values())
    with pytest.raises(UpgradeRefused) as caught:
        await desk.client.upgrade(code)
    after = await desk.client.hello()
    assert msgspec.structs.replace(after, epoch=before.epoch) == before
    assert sorted(descriptors(pid).values()) == open_before
    assert inheritable(pid) == [0, 1, 2]
    run = await desk.shell("ls /proc/self/fd | wc -l; exit 4")
    assert (await desk.until_ended(run)).exit.code == 4
    # ls has one of its own.
    assert desk.home.printed(run) == b"4\r\n"
    await desk.client.acknowledge(run.run)
    return caught.value


@pytest.mark.parametrize(
    ("module", "edit", "why"),
    [
        ("log", ("import os", "raise ValueError('at import')"), "ValueError: at import"),
        ("log", ("import os", "import os; os._exit(0)"), "the new code said nothing"),
        ("handover", ("fields = Fields(value)", "raise KeyError('at check')"), "KeyError: 'at check'"),
        ("handover", ("SCHEMA = 1", "SCHEMA = 2"), "the state has schema 1, this code reads 2"),
        (
            "handover",
            ('fields.number("epoch", 0, _MOST)', 'fields.number("epochs", 0, _MOST)'),
            "the state makes no sense: epochs is no number from 0 to 9223372036854775807",
        ),
        ("main", ('"resume=", ', ""), "usage: "),
    ],
)
async def test_code_that_cannot_read_the_state_is_found_out_before_anything_is_given_up(
    home: Home, module: str, edit: tuple[str, str], why: str
) -> None:
    home.start()
    async with home.desk() as desk:
        await desk.shell("read line")
        broken = home.code("broken", **{module: edit})
        found = await refused(desk, broken)
        assert not found.is_busy
        assert str(found).startswith(why)


async def test_code_that_hangs_is_ended_and_the_keeper_serves_meanwhile(home: Home) -> None:
    quick = home.code("quick", upgrade=("TRIAL_S = 10", "TRIAL_S = 1"))
    home.start(copy=quick.directory)
    async with home.desk() as desk, anyio.create_task_group() as tasks:
        why: list[str] = []

        async def ask() -> None:
            hanging = home.code("hanging", log=("import os", "import os\nwhile True: pass"))
            why.append(str(await refused(desk, hanging)))

        tasks.start_soon(ask)
        served = 0
        while not why:
            await desk.client.ping()
            served += 1
        assert why == ["the new code said nothing; it died or took longer than 1 s"]
        assert served > 1


async def test_what_was_half_typed_is_typed_whole_first(home: Home, fifo: Path) -> None:
    home.start()
    async with home.desk() as desk, anyio.create_task_group() as tasks:
        script = (
            RAW
            + "print('ready', flush=True); open(sys.argv[1]).read()\nwhile data := os.read(0, 65536): os.write(1, data)"
        )
        run = await desk.spawn(*python(script, fifo))
        await desk.until_printed(run, b"ready")
        paste = b"".join(b"%08d\n" % number for number in range(20_000))
        typed: list[bool] = []

        async def type_paste() -> None:
            typed.append(await desk.client.type(run.run, "paste", paste))

        tasks.start_soon(type_paste)
        await desk.client.ping()
        code = home.code()
        # Nothing is tried while it would be in vain.
        found = await refused(desk, home.code("broken", log=("import os", "raise ValueError")))
        assert (found.is_busy, str(found)) == (True, f"run {run.run} has not taken all that was typed")
        tell(fifo, "")
        await desk.until_printed(run, b"00019999\n")
        assert await upgraded(desk, code)
        assert typed == [True]
        assert await desk.client.type(run.run, "paste", b"not again")
        await desk.client.type(run.run, "end", b"end")
        assert await desk.until_printed(run, b"end") == b"ready\n" + paste + b"end"


async def test_a_start_in_progress_is_waited_for(home: Home, fifo: Path) -> None:
    slow = home.code(
        "slow", spawn=('stage, path = "setsid", ""', f'stage, path = "setsid", ""; open("{fifo}").read()')
    )
    home.start(copy=slow.directory)
    async with home.desk() as desk, anyio.create_task_group() as tasks:
        born: list[object] = []
        made = spec("/bin/cat")

        async def bear() -> None:
            born.append(await desk.client.spawn(made))

        tasks.start_soon(bear)
        held = await until_fifo_is_read(fifo)
        # Until this is closed the child is not exec'ed.
        with pytest.raises(UpgradeRefused, match=f"run {made.run} is being started") as caught:
            await desk.client.upgrade(home.code())
        assert caught.value.is_busy
        os.close(held)
        while not born:
            await desk.client.ping()
        assert isinstance(born[0], LiveRun)
        assert await desk.client.upgrade(home.code("newest")) == "newest"


async def test_a_second_upgrade_waits_for_the_first(home: Home) -> None:
    home.start()
    async with home.desk() as desk, anyio.create_task_group() as tasks:
        said: list[str] = []

        async def ask(code: KeeperCode) -> None:
            try:
                said.append(await desk.client.upgrade(code))
            except UpgradeRefused as error:
                said.append(f"{error} ({error.is_busy=})")

        for name in ("one", "two"):
            tasks.start_soon(ask, home.code(name))
    assert sorted(said) == ["another upgrade is going on (error.is_busy=True)", "one"]


async def test_a_keeper_that_was_told_to_leave_changes_nothing_any_more(home: Home) -> None:
    keeper = home.start()
    async with home.desk() as desk:
        await desk.shell("read line")
        keeper.terminate()
        while "leaving" not in home.log:
            await desk.client.ping()
        with pytest.raises(UpgradeRefused, match="the keeper was told to leave"):
            await desk.client.upgrade(home.code())


def chmod(path: str, mode: int) -> Callable[[KeeperCode], KeeperCode]:
    def change(code: KeeperCode) -> KeeperCode:
        os.chmod(os.path.join(code.directory, path), mode)
        return code

    return change


def moved_away(code: KeeperCode) -> KeeperCode:
    elsewhere = str(Path(code.directory).parents[2] / "elsewhere")
    shutil.move(code.directory, elsewhere)
    return msgspec.structs.replace(code, directory=elsewhere)


def linked(code: KeeperCode) -> KeeperCode:
    link = f"{code.directory}.link"
    os.symlink(code.directory, link)
    return msgspec.structs.replace(code, directory=link)


def missing(code: KeeperCode) -> KeeperCode:
    shutil.rmtree(code.directory)
    return code


def without_interpreter(code: KeeperCode) -> KeeperCode:
    return msgspec.structs.replace(code, interpreter="/nonexistent/python")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (chmod("", 0o755), "is not ours alone"),
        (chmod("keeper", 0o770), "is not ours alone"),
        (chmod("keeper/log.py", 0o644), "is not ours alone"),
        (chmod("__main__.py", 0o602), "is not ours alone"),
        (moved_away, "is not in"),
        (linked, "is not ours alone"),
        (missing, "No such file or directory"),
        (without_interpreter, "/nonexistent/python: No such file or directory"),
    ],
)
async def test_code_that_others_could_have_changed_is_not_run(
    home: Home, change: Callable[[KeeperCode], KeeperCode], why: str
) -> None:
    home.start()
    async with home.desk() as desk:
        assert why in str(await refused(desk, change(home.code())))


def interpreter_that(home: Home, act: str) -> str:
    """An interpreter that does something once it was run."""
    path = home.path / "python"
    path.write_text(f'#!/bin/sh\n{act}\nexec {INTERPRETER} "$@"\n')
    path.chmod(0o700)
    return str(path)


async def test_the_interpreter_may_be_another_one(home: Home) -> None:
    home.start()
    runs = home.path / "runs"
    code = msgspec.structs.replace(home.code(), interpreter=interpreter_that(home, f"echo run >>{runs}"))
    async with home.desk() as desk:
        run = await desk.shell("read line; exit 4")
        assert await desk.client.upgrade(code) == "newer"
        # In the trial and in the keeper's own process.
        assert runs.read_text() == "run\nrun\n"
        await desk.client.type(run.run, "1", b"\n")
        assert (await desk.until_ended(run)).exit.code == 4


async def test_when_exec_fails_the_old_code_goes_on_and_says_why(home: Home) -> None:
    home.start()
    code = msgspec.structs.replace(home.code(), interpreter=interpreter_that(home, "chmod 0600 $0"))
    async with home.desk() as desk:
        run = await desk.spawn(*python(ECHOES))
        await desk.until_printed(run, b"ready\n")
        assert "Permission denied" in str(await refused(desk, code))
        assert await desk.client.upgrade(home.code("newest")) == "newest"
        await desk.client.type(run.run, "1", b"typed")
        assert await desk.until_printed(run, b"typed") == b"ready\ntyped"


async def test_a_defect_in_handing_over_is_logged_and_costs_nobody_the_keeper(home: Home) -> None:
    defect = 'raise ZeroDivisionError("a defect")'
    defective = home.code("defective", upgrade=('crash_point("upgrade:before-exec")', defect))
    keeper = home.start(copy=defective.directory)
    async with home.desk() as desk:
        assert str(await refused(desk, home.code())) == "the keeper's log has the details"
        keeper.terminate()
        assert "ZeroDivisionError: a defect" in home.log
    # It still hears signals.
    assert keeper.wait(DEADLINE_S) == 0


@pytest.mark.parametrize("changed", ["keeper/log.py", "../../../python"])
async def test_only_what_was_tried_is_run(home: Home, changed: str) -> None:
    home.start()
    code = home.code()
    path = os.path.join(code.directory, changed)
    act = f"cp -p {path} {path}.new; echo '# changed' >>{path}.new; mv {path}.new {path}"
    code = msgspec.structs.replace(code, interpreter=interpreter_that(home, act))
    async with home.desk() as desk:
        assert "has changed since it was tried" in str(await refused(desk, code))


@pytest.mark.parametrize("crash", ["upgrade:before-exec", "upgrade:after-exec"])
async def test_a_keeper_that_dies_of_its_new_code_leaves_its_children_to_the_second_leg(
    home: Home, crash: str
) -> None:
    keeper = home.start(crash=crash)
    dying = home.code()
    async with KeeperClient(home.socket) as client:
        await client.hello()
        run = await client.spawn(spec(*python(ECHOES)))
        assert isinstance(run, LiveRun)
        with pytest.raises(KeeperGone):
            await client.upgrade(dying)
        assert keeper.wait(DEADLINE_S) == -signal.SIGKILL
        assert is_alive(run.process.pid)
        home.start()
        async with home.desk() as desk:
            await desk.client.adopt(client.legs())
            assert [live.process for live in (await desk.client.hello()).live] == [run.process]
            await desk.client.type(run.run, "1", b"typed")
            await desk.until_printed(run, b"typed")
            await desk.client.end(run.run, signal.SIGKILL)


async def test_a_keeper_from_before_there_were_upgrades_is_told_from_others(home: Home) -> None:
    ancient = home.code(
        "ancient", requests=('case "upgrade":', 'case "no":'), server=('"code": self.code,', "")
    )
    home.start(copy=ancient.directory)
    async with home.desk() as desk:
        assert (await desk.client.hello()).code == ""
        assert str(await refused(desk, home.code())) == "it is too old to be upgraded in place"


async def test_only_the_controller_may_ask(home: Home) -> None:
    home.start()
    code = home.code()
    peer = Peer(home)
    with peer.socket:
        request = {"id": 1, "request": "upgrade", "copy": code.directory, "interpreter": code.interpreter}
        peer.socket.sendall(wire.encode(request))
        reply = peer.socket.recv(4096)
        assert b"not_controller" in reply
    async with home.desk() as desk:
        client = desk.client
        assert (await client.hello()).code == home.copy.name
        with pytest.raises(UpgradeRefused, match="copy is no absolute path"):
            await client.upgrade(KeeperCode(name="x", directory="x", interpreter=INTERPRETER))


def test_processes_of_a_trial_are_gone_with_it(home: Home) -> None:
    """The child in which code is tried is reaped like any other."""
    keeper = home.start()

    async def upgrade() -> None:
        async with home.desk() as desk:
            await desk.client.upgrade(home.code())
            await desk.client.ping()

    anyio.run(upgrade)
    assert [p.pid for p in processes.table().values() if p.ppid == keeper.pid] == []
