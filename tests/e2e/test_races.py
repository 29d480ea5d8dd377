"""Two that want to be the one: daemons, keepers and clients at once; and a runtime directory that is swept away."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from claudectl.launch import daemon_command
from claudectl_protocol.sessions import Size
from tests.counts import times
from tests.e2e.diary import Diary, is_alive, wait_for_adoptions, wait_for_keeper
from tests.e2e.scripts import NUMBERED_LINES, numbers_in
from tests.e2e.world import DEADLINE_S, World, wait_gone

START_KEEPER = """
import anyio, pathlib, sys
from claudectld.keeper.start import start_keeper
sys.stdin.read()
anyio.run(start_keeper, pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))
"""
"""Starts a keeper as a daemon does, when its stdin is closed."""
ROUNDS = times(5, 500)


def keeper_socket(world: World) -> str:
    """Where the keeper listens."""
    return os.path.join(os.path.dirname(world.socket), "keeper.sock")


def daemons(world: World) -> list[int]:
    """Every daemon of this world, by its command line."""
    return [pid for pid in world.processes() if b"claudectld\0run" in words_of(pid)]


def keepers(world: World) -> list[int]:
    """Every keeper of this world, by its command line."""
    return [pid for pid in world.processes() if b"\0--state\0" in words_of(pid)]


def words_of(pid: int) -> bytes:
    """A process's command line; empty when it has gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def run_at_once(world: World, command: Sequence[str], count: int) -> list[str]:
    """Run a command several times at once, to its end; what each said. All of them succeed."""
    running = [
        subprocess.Popen(
            command,
            env=world.env,
            cwd=world.project,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(count)
    ]
    said = []
    for process in running:
        out, err = process.communicate(timeout=DEADLINE_S)
        assert process.returncode == 0, (command, out, err)
        said.append(out + err)
    return said


def test_of_two_daemons_at_once_one_serves_and_the_other_says_so_and_leaves(world: World) -> None:
    diary = Diary(world)
    session = world.new("-n", "job", "--command", "--", str(diary.program))
    diary.wait_for("start")
    keeper = world.keeper_pid()
    for _ in range(ROUNDS):
        world.kill(world.daemon_pid())
        running = []
        pipes = []
        for _ in range(2):
            ready, its = os.pipe()
            running.append(
                subprocess.Popen(
                    daemon_command("--ready-fd", str(its)),
                    env=world.env,
                    pass_fds=(its,),
                    start_new_session=True,
                )
            )
            os.close(its)
            pipes.append(ready)
        words = []
        for ready in pipes:
            with os.fdopen(ready) as pipe:
                words.append(pipe.readline().strip())
        assert "ready" in words, f"{words}\n{world.log()}"
        winner = running[words.index("ready")]
        loser = running[1 - words.index("ready")]
        assert "already running" in words[running.index(loser)]
        assert loser.wait(DEADLINE_S) == 0
        assert world.daemon_pid() == winner.pid
        assert world.shown("job")["pid"] == session["pid"]
        winner.kill()
        winner.wait()
        world.start()
    assert world.keeper_pid() == keeper
    assert diary.starts == [session["pid"]]


def test_clients_that_come_at_once_share_one_daemon_and_one_keeper(world: World) -> None:
    for _ in range(times(3, 50)):
        told = run_at_once(world, world.argv("ls", "-g", "--json"), 4)
        started = [text for text in told if "started claudectld" in text]
        assert len(started) == 1
        assert daemons(world) == [world.daemon_pid()]
        assert keepers(world) == [world.keeper_pid()]
        world.kill(world.daemon_pid())
        world.kill(world.keeper_pid())


def test_of_keepers_at_once_one_serves_and_takes_over_every_child(world: World) -> None:
    diary = Diary(world)
    session = world.new("-n", "job", "--command", "--", str(diary.program))
    diary.wait_for("start")
    command = [sys.executable, "-c", START_KEEPER, str(world.state), keeper_socket(world)]
    for count in range(ROUNDS):
        ready = [subprocess.Popen(command, env=world.env, stdin=subprocess.PIPE) for _ in range(2)]
        # The daemon starts one, too, as soon as it notices.
        world.kill(world.keeper_pid())
        for process in ready:
            assert process.stdin is not None
            process.stdin.close()
        for process in ready:
            assert process.wait(DEADLINE_S) == 0
        wait_for_adoptions(world, session, count + 1)
        wait_for_keeper(world)
        assert keepers(world) == [world.keeper_pid()]
    world.ctl("send", "job", "--keys", "hello<Enter>")
    assert diary.wait_for("typed") == ["hello"]
    assert diary.starts == [session["pid"]]


def test_keepers_at_once_where_none_was_leave_one_that_serves(world: World) -> None:
    world.state.mkdir(parents=True, mode=0o700)
    command = [sys.executable, "-c", START_KEEPER, str(world.state), keeper_socket(world)]
    for _ in range(times(2, 50)):
        run_at_once(world, command, 2)
        serving = world.keeper_pid()
        # The other one has said that it is not needed, and may still be on its way out.
        wait_gone([pid for pid in keepers(world) if pid != serving])
        assert keepers(world) == [serving]
        world.kill(world.keeper_pid())


def status(world: World, env: Mapping[str, str] | None = None) -> tuple[object, object]:
    """(the daemon's pid, its keeper's), asked with `env`."""
    daemon = world.ctl("status", "--json", env=env).json()["daemon"]
    assert isinstance(daemon, dict)
    return daemon["pid"], daemon["keeper_pid"]


def test_a_runtime_directory_removed_under_load_heals_and_nothing_is_lost(world: World) -> None:
    session = world.run(NUMBERED_LINES)
    before = status(world)
    with world.attach("job", size=Size(cols=80, rows=24)) as terminal:
        terminal.wait_for("line 0000")
        for _ in range(times(2, 20)):
            shutil.rmtree(os.path.dirname(world.socket))
            world.ctl("ls")
            assert status(world) == before
            # Whoever was attached has not noticed.
            terminal.wait_for_output(numbers_after(world, session))
        # The keeper's socket is looked for by the next daemon only.
        shutil.rmtree(os.path.dirname(world.socket))
        world.kill(int(str(before[0])))
        world.start()
        assert status(world)[1] == before[1]
        assert is_alive(int(str(before[1])))
        terminal.wait_for_output(numbers_after(world, session))
        terminal.type("stop\r")
        terminal.wait_for_output(b"exited with code 42")
        output = terminal.output

    numbers, end = numbers_in(world.record(session))
    assert end is not None
    assert numbers == list(range(end))
    seen = numbers_in(output)[0]
    assert seen == numbers[numbers.index(seen[0]) :]


def numbers_after(world: World, session: Mapping[str, object]) -> bytes:
    """A line that the session has not printed yet."""
    numbers, _ = numbers_in(world.record(session)[-4096:])
    return b"line %09d" % (numbers[-1] + 1000)


def test_a_bare_environment_reaches_the_same_daemon(world: World) -> None:
    session = world.run(NUMBERED_LINES)
    before = status(world)
    bare = {"HOME": str(world.home)}
    listed = world.ctl("ls", "--json", env=bare).json()["sessions"]
    assert isinstance(listed, list)
    assert [(each["id"], each["pid"]) for each in listed] == [(session["id"], session["pid"])]
    assert status(world, bare) == before

    # Nor does a daemon that was started in a bare one hide from everybody else.
    world.kill(world.daemon_pid())
    world.ctl("ls", env=bare)
    daemon, keeper = status(world)
    assert (daemon, keeper) == status(world, bare)
    assert keeper == before[1]
    assert daemons(world) == [daemon]
    assert json.loads((world.state / "keeper.json").read_text())["pid"] == keeper
    wait_gone([int(str(before[0]))])
