"""The keeper as a process: starting, being the only one, leaving, rebinding, and depending on nothing of ours."""

import json
import os
import re
import select
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from claudectld.keeper import processes
from claudectld.keeper.client import KeeperClient
from claudectld.ports import SpawnFailed
from tests.claudectld.keeper.harness import DEADLINE_S, INTERPRETER, Home, is_alive, spec, wait_gone
from tests.counts import times

pytestmark = pytest.mark.anyio


def finished(command: Sequence[str], pass_fds: Sequence[int] = ()) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        env={},
        stdin=subprocess.DEVNULL,
        pass_fds=pass_fds,
    )


def race(home: Home, count: int) -> list[tuple[int, bytes]]:
    """Exit codes and words of keepers started at once."""
    racers = [
        subprocess.Popen(home.command(), stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, env={})
        for _ in range(count)
    ]
    said = [racer.communicate(timeout=DEADLINE_S)[1] for racer in racers]
    return [(racer.returncode, words) for racer, words in zip(racers, said, strict=True)]


def keeper_pid(home: Home) -> int:
    return int(json.loads((home.state / "keeper.json").read_text())["pid"])


async def test_keeper_json_says_who_and_where(home: Home) -> None:
    keeper = home.start()
    path = home.state / "keeper.json"
    assert json.loads(path.read_text()) == {
        **processes.identity(keeper.pid)._asdict(),
        "socket": str(home.socket),
        "protocol": 1,
    }
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_without_foreground_it_detaches_itself_and_serves_when_the_starter_returns(home: Home) -> None:
    done = finished(home.command())
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    pid = keeper_pid(home)
    try:
        async with KeeperClient(home.socket) as client:
            assert (await client.hello()).keeper.pid == pid
        assert os.getsid(pid) not in (os.getsid(0), pid)
        assert os.getpgid(pid) != os.getpgid(0)
        assert os.readlink(f"/proc/{pid}/cwd") == "/"
        assert os.readlink(f"/proc/{pid}/fd/0") == "/dev/null"
        log = home.state / "logs" / "keeper.log"
        assert {os.readlink(f"/proc/{pid}/fd/{fd}") for fd in (1, 2)} == {str(log)}
        assert stat.S_IMODE(log.stat().st_mode) == 0o600
    finally:
        os.kill(pid, signal.SIGTERM)
        wait_gone(pid)


async def test_a_second_keeper_leaves_and_names_the_first(home: Home) -> None:
    keeper = home.start()
    for more in ([], ["--foreground"]):
        done = finished(home.command(*more))
        assert done.returncode == 0
        assert f"already running pid {keeper.pid}" in done.stderr
    async with KeeperClient(home.socket) as client:
        assert (await client.hello()).keeper.pid == keeper.pid


async def test_of_keepers_that_race_one_serves(home: Home) -> None:
    said = race(home, times(8, 50))
    assert [code for code, _ in said] == [0] * len(said)
    words = sorted(text[:23] for _, text in said)
    assert words == [b""] + [b"keeper: already running"] * (len(said) - 1)
    pid = keeper_pid(home)
    async with KeeperClient(home.socket) as client:
        assert (await client.hello()).keeper.pid == pid
    os.kill(pid, signal.SIGTERM)
    wait_gone(pid)


async def test_what_keeps_it_from_starting_is_said_in_one_sentence(home: Home) -> None:
    home.socket.parent.mkdir()
    home.socket.parent.chmod(0o755)
    ready, its = os.pipe()
    done = finished(home.command("--ready-fd", str(its)), pass_fds=(its,))
    os.close(its)
    sentence = f"the socket directory {home.socket.parent} is not ours alone (0700)\n"
    assert (done.returncode, done.stderr) == (1, f"keeper: {sentence}")
    with os.fdopen(ready) as pipe:
        assert pipe.read() == sentence


@pytest.mark.parametrize("arguments", [[], ["--state", "/x"], ["--what"], ["extra"], ["--ready-fd", "x"]])
async def test_a_wrong_command_line_is_a_usage_error(home: Home, arguments: list[str]) -> None:
    done = finished([INTERPRETER, "-I", str(home.copy), *arguments])
    assert done.returncode == 2
    assert "usage:" in done.stderr


async def test_sigterm_leaves_only_when_no_child_is_left_and_kills_nobody(home: Home) -> None:
    keeper = home.start()
    async with home.desk() as desk:
        run = await desk.shell("echo ready; read line; exit 0")
        await desk.until_printed(run, b"ready")
        keeper.terminate()
        while "leaving" not in (home.state / "logs" / "keeper.log").read_text():
            await desk.client.ping()
        assert is_alive(run.process.pid)
        with pytest.raises(SpawnFailed, match="told to leave"):
            await desk.client.spawn(spec("/bin/true"))

        await desk.client.type(run.run, "end", b"\n")
        ended = await desk.until_ended(run)
        # Nobody can say any more that the user meant it.
        assert (ended.exit.code, ended.exit.reason) == (0, "interrupted")
        await desk.until_lost()
    assert keeper.wait(DEADLINE_S) == 0
    assert not home.socket.exists()
    assert not (home.state / "keeper.json").exists()


async def test_a_keeper_without_children_leaves_at_once(home: Home) -> None:
    keeper = home.start()
    keeper.terminate()
    assert keeper.wait(DEADLINE_S) == 0


async def test_sigusr1_puts_a_removed_socket_back(home: Home) -> None:
    keeper = home.start()
    async with home.desk() as desk:
        run = await desk.shell("read line")
        shutil.rmtree(home.socket.parent)
        keeper.send_signal(signal.SIGUSR1)
        while "rebound" not in (home.state / "logs" / "keeper.log").read_text():
            await desk.client.ping()
        assert stat.S_IMODE(home.socket.parent.stat().st_mode) == 0o700
        async with KeeperClient(home.socket) as other:
            assert (await other.hello()).live[0].run == run.run


async def test_sigusr1_changes_nothing_while_the_socket_is_in_place(home: Home) -> None:
    keeper = home.start()
    before = home.socket.stat().st_ino
    async with home.desk() as desk:
        for _ in range(3):
            keeper.send_signal(signal.SIGUSR1)
            await desk.client.ping()
    assert home.socket.stat().st_ino == before


async def test_it_runs_on_when_its_copy_is_deleted(home: Home) -> None:
    keeper = home.start()
    shutil.rmtree(home.copy)
    async with home.desk() as desk:
        with pytest.raises(SpawnFailed):
            await desk.client.spawn(spec("/nonexistent"))
        run = await desk.shell("read line; exit 4")
        await desk.client.end(run.run, 0)
        await desk.client.type(run.run, "1", b"\n")
        assert (await desk.until_ended(run)).exit.code == 4
        await desk.client.forget(run.session, run.run)
    keeper.terminate()
    assert keeper.wait(DEADLINE_S) == 0


async def test_the_process_imports_the_standard_library_and_itself_only(home: Home) -> None:
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); import keeper.main;"
        "print(*sorted({name.split('.')[0] for name in sys.modules} - set(sys.stdlib_module_names)))"
    )
    done = finished([INTERPRETER, "-I", "-S", "-B", "-c", script, str(home.copy)])
    assert set(done.stdout.split()) == {"__main__", "keeper"}


async def test_sources_import_nothing_of_ours(home: Home) -> None:
    for path in (home.copy / "keeper").glob("*.py"):
        named = re.findall(r"^\s*(?:from|import) ([\w.]+)", path.read_text(), re.MULTILINE)
        outside = {name.split(".")[0] for name in named if not name.startswith(".")}
        assert outside <= set(sys.stdlib_module_names), path


async def test_nothing_that_the_starter_left_open_stays_open(home: Home) -> None:
    reader, writer = os.pipe()
    done = finished(home.command(), pass_fds=(writer,))
    os.close(writer)
    assert done.returncode == 0
    try:
        assert select.select([reader], [], [], DEADLINE_S)[0]
        assert os.read(reader, 1) == b""
    finally:
        os.close(reader)
        pid = keeper_pid(home)
        os.kill(pid, signal.SIGTERM)
        wait_gone(pid)


async def test_hangups_and_interrupts_of_a_terminal_end_no_child(home: Home) -> None:
    keeper = home.start()
    async with home.desk() as desk:
        run = await desk.shell("read line")
        for signo in (signal.SIGHUP, signal.SIGINT, signal.SIGPIPE):
            keeper.send_signal(signo)
            await desk.client.ping()
        assert is_alive(run.process.pid)
        assert keeper.poll() is None


def test_the_log_is_bounded(tmp_path: Path) -> None:
    script = (
        "import sys; from claudectld.keeper.log import Log; log = Log(sys.argv[1])\n"
        "for number in range(30_000): log.line('event', number=number, text='two words\\n' * 9)\n"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path / "log")], check=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log", "log.1"]
    assert all(path.stat().st_size < 1_100_000 for path in tmp_path.iterdir())
    last = (tmp_path / "log").read_text().splitlines()[-1]
    assert last.endswith("event number=29999 text='" + "two words\\n" * 9 + "'")
