"""Each verb once, as a person uses it, with a real daemon, keeper and child behind it."""

import hashlib
import json
import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.scripts import ECHO
from tests.e2e.world import Fifo, World, wait_gone

PASTE_BYTES = 800 * 1024

RAW = """
import os, sys, tty
# Notes every key it gets, as hex, one line for each read that ends in a full stop.
tty.setraw(0)
os.write(1, b"ready\\r\\n")
got = b""
while True:
    got += os.read(0, 4096)
    if got.endswith(b"."):
        os.write(1, got.hex().encode() + b"\\r\\n")
        got = b""
"""

READS_LATE = """
import hashlib, os, sys, tty
told, go, size = sys.argv[1:]
# Begins to read, waits to be told to go on, then reads on up to the full stop that comes last.
tty.setraw(0)
os.write(1, b"ready\\r\\n")
got = os.read(0, 1)
with open(told, "w") as file:
    file.write("begun\\n")
with open(go) as file:
    file.readline()
while len(got) < int(size):
    got += os.read(0, 65536)
with open(told, "w") as file:
    file.write(f"{got.find(b'@')} {hashlib.sha256(got.replace(b'@', b'')).hexdigest()}\\n")
os.read(0, 1)
"""


@pytest.fixture
def told(world: World) -> Iterator[Fifo]:
    """What a child says besides its terminal."""
    fifo = Fifo(world.home / "told")
    yield fifo
    fifo.close()


def cat(world: World, name: str) -> dict[str, object]:
    return world.new("-n", name, "--command", "--", "cat")


def ready(world: World, target: str) -> None:
    """Wait until the child has said that it is."""
    with following(world, target) as stream:
        assert "ready" in read_line(stream)


@contextmanager
def following(world: World, *args: str) -> Iterator[subprocess.Popen[str]]:
    """`claudectl logs -f`, while it runs."""
    with subprocess.Popen(
        world.argv("logs", "-f", *args),
        cwd=world.project,
        env=world.env,
        stdout=subprocess.PIPE,
        text=True,
    ) as stream:
        try:
            yield stream
        finally:
            stream.kill()


def read_line(stream: subprocess.Popen[str]) -> str:
    assert stream.stdout is not None
    return stream.stdout.readline().rstrip("\n")


def read_rest(stream: subprocess.Popen[str]) -> list[str]:
    assert stream.stdout is not None
    return stream.stdout.read().splitlines()


def sessions(world: World, *options: str) -> list[dict[str, object]]:
    found = world.ctl("ls", "--json", *options).json()["sessions"]
    assert isinstance(found, list)
    return found


def words_of(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


def pids(found: Sequence[dict[str, object]]) -> list[int]:
    return [int(str(session["pid"])) for session in found]


def test_a_session_can_be_renamed_while_it_runs(world: World) -> None:
    session = cat(world, "old")
    cat(world, "taken")

    world.ctl("rename", "old", "new")

    assert world.ctl("show", "new", "--json").json()["session"] == {**session, "name": "new"}
    world.ctl("show", "old", code=3)
    world.ctl("rename", "new", "taken", code=4)
    world.ctl("rename", "new", "a/b", code=2)
    world.kill(world.daemon_pid())
    assert [one["name"] for one in sessions(world)] == ["new", "taken"]


def test_a_running_session_is_removed_only_by_force_and_with_its_process(world: World) -> None:
    pid = int(str(cat(world, "job")["pid"]))

    assert "stop it first" in world.ctl("rm", "job", code=4).err
    assert pids(sessions(world)) == [pid]
    world.ctl("rm", "--force", "job")

    assert not Path(f"/proc/{pid}").exists()
    assert sessions(world, "-a") == []
    assert list((world.state / "records").iterdir()) == []


def test_several_are_stopped_at_once_and_the_one_that_is_not_there_is_told(world: World) -> None:
    started = [cat(world, name) for name in ("a", "b", "c")]

    done = world.ctl("stop", "a", "nobody", "c", code=3)

    assert "nobody" in done.err
    assert [line[:2] for line in words_of(done.out)] == [["stopped", "a"], ["stopped", "c"]]
    assert [one["name"] for one in sessions(world)] == ["b"]
    found = {one["name"]: (one["lifecycle"], one["wanted"]) for one in sessions(world, "-a")}
    assert found == {"a": ("stopped", "stopped"), "b": ("active", "running"), "c": ("stopped", "stopped")}
    gone = pids([started[0], started[2]])
    assert not [pid for pid in gone if Path(f"/proc/{pid}").exists()]


def test_a_restarted_command_is_the_same_session_in_a_new_run_and_both_records_stay(world: World) -> None:
    first = world.new("-n", "job", "--command", "--", "sh", "-c", "echo I am $$; exec cat")
    with following(world, "job") as stream:
        assert read_line(stream) == f"I am {first['pid']}"

    world.ctl("restart", "job")
    with following(world, "job") as stream:
        again = world.shown("job")
        assert read_line(stream) == f"I am {again['pid']}"

    assert (again["id"], again["name"]) == (first["id"], "job")
    assert again["run"] != first["run"]
    assert not Path(f"/proc/{first['pid']}").exists()
    detail = world.ctl("show", "job", "--json").json()["detail"]
    assert isinstance(detail, dict)
    assert detail["runs"] == [first["run"], again["run"]]
    for run in (first, again):
        assert f"I am {run['pid']}\n" in world.ctl("logs", "job", "--run", str(run["run"])).out
    world.ctl("logs", "job", "--run", "0" * 8, code=2)

    world.ctl("stop", "job")
    world.ctl("restart", "job")
    assert world.shown("job")["lifecycle"] == "active"


def test_logs_follow_a_run_to_its_end(world: World) -> None:
    world.run(ECHO)
    with following(world, "job") as stream:
        assert read_line(stream) == "ready"
        world.ctl("send", "job", "--keys", "one<Enter>")
        assert [read_line(stream), read_line(stream)] == ["one", "got one"]
        world.ctl("send", "job", "--keys", "two<Enter><C-d>")
        assert read_rest(stream) == ["two", "got two"]
        assert stream.wait() == 0

    assert world.ctl("logs", "job").out.splitlines() == ["ready", "one", "got one", "two", "got two"]
    assert world.ctl("logs", "-f", "job", "--tail", "2").out.splitlines() == ["two", "got two"]
    assert world.ctl("logs", "job", "--tail", "0").out == ""
    assert world.ctl("logs", "job", "--raw", "--tail", "1").out == "got two\r\n"


def test_logs_that_follow_outlive_the_daemon(world: World) -> None:
    world.run(ECHO)
    with following(world, "job") as stream:
        assert read_line(stream) == "ready"
        world.kill(world.daemon_pid())
        world.ctl("send", "job", "--keys", "one<Enter><C-d>")
        assert read_rest(stream) == ["one", "got one"]


def test_keys_reach_the_child_as_its_terminal_would_send_them(world: World) -> None:
    world.run(RAW)
    with following(world, "job") as stream:
        assert read_line(stream) == "ready"
        world.ctl("send", "job", "--keys", r"aé<Enter><Esc><C-c><Up><M-x><Tab>\x00\<.")
        assert bytes.fromhex(read_line(stream)) == "aé\r\x1b\x03\x1b[A\x1bx\t\x00<.".encode()
        world.ctl("send", "job", "--keys", "-", stdin=b"\x00\x1b[200~<Enter>\xff\x1b[201~.")
        assert bytes.fromhex(read_line(stream)) == b"\x00\x1b[200~<Enter>\xff\x1b[201~."
    world.ctl("stop", "job")
    assert "not running" in world.ctl("send", "job", "--keys", "x", code=4).err


def test_a_large_paste_arrives_whole_and_nothing_gets_into_it(world: World, told: Fifo) -> None:
    paste = os.urandom(PASTE_BYTES // 2).hex().encode()
    go = world.home / "go"
    os.mkfifo(go)
    script = world.home / "late.py"
    script.write_text(READS_LATE)
    size = PASTE_BYTES + 1
    command = ("python3", "-u", str(script), str(told.path), str(go), str(size))
    world.new("-n", "job", "--command", "--", *command)
    ready(world, "job")

    with (
        subprocess.Popen(
            world.argv("send", "job", "--keys", "-"),
            cwd=world.project,
            env=world.env,
            stdin=subprocess.PIPE,
        ) as first,
    ):
        assert first.stdin is not None
        first.stdin.write(paste)
        first.stdin.close()
        assert told.line() == "begun"
        with subprocess.Popen(
            world.argv("send", "job", "--keys", "@"), cwd=world.project, env=world.env
        ) as second:
            # By the time that another command has come and gone the second one has been heard as well.
            world.ctl("status")
            go.write_text("go\n")
            assert (first.wait(), second.wait()) == (0, 0)

    assert told.line() == f"{PASTE_BYTES} {hashlib.sha256(paste).hexdigest()}"


def test_a_paste_that_no_frame_can_carry_is_refused_before_anything_is_typed(world: World) -> None:
    world.run(RAW)
    ready(world, "job")

    world.ctl("send", "job", "--keys", "-", stdin=b"x" * (1024 * 1024), code=2)

    with following(world, "job") as stream:
        assert read_line(stream) == "ready"
        world.ctl("send", "job", "--keys", "y.")
        assert bytes.fromhex(read_line(stream)) == b"y."


def test_ls_shows_what_runs_and_all_and_ids_and_json(world: World) -> None:
    running, over = cat(world, "running"), cat(world, "over")
    world.ctl("stop", "over")

    table = words_of(world.ctl("ls").out)
    assert table[0] == ["STATE", "NAME", "ID", "AGE", "DETAIL"]
    assert [line[:4] for line in table[1:]] == [["▸", "active", "running", str(running["id"])[:8]]]
    everything = words_of(world.ctl("ls", "-a").out)
    assert [line[1:4] for line in everything[1:]] == [
        ["active", "running", str(running["id"])[:8]],
        ["stopped", "over", str(over["id"])[:8]],
    ]
    assert world.ctl("ls", "-q").out == f"{running['id']}\n"
    assert world.ctl("ls", "-aq").out == f"{running['id']}\n{over['id']}\n"
    document = world.ctl("ls", "--json").json()
    assert document == {"schema": 1, "sessions": [running], "notices": []}
    world.ctl("ls", "-q", "--json", code=2)


def test_status_tells_of_daemon_keeper_and_sessions(world: World) -> None:
    cat(world, "running")
    cat(world, "over")
    world.ctl("stop", "over")

    status = world.ctl("status", "--json").json()["daemon"]
    assert isinstance(status, dict)

    assert {key: status[key] for key in ("sessions", "active", "projects", "keeper", "keeper_pid")} == {
        "sessions": 2,
        "active": 1,
        "projects": 1,
        "keeper": "ok",
        "keeper_pid": world.keeper_pid(),
    }
    assert (status["socket"], status["state_directory"]) == (world.socket, str(world.state))
    assert (status["problems"], status["orphans"]) == ([], [])
    assert os.readlink(f"/proc/{status['pid']}/cwd") == "/"
    assert "2, 1 active" in world.ctl("status").out


def test_a_daemon_that_is_stopped_leaves_the_sessions_and_the_next_one_has_them(
    world: World, told: Fifo
) -> None:
    go = world.home / "go"
    os.mkfifo(go)
    script = f"read line < {go}; echo got $line; echo done > {told.path}; exec cat"
    job = world.new("-n", "job", "--command", "--", "sh", "-c", script)
    other = cat(world, "other")
    daemon = world.daemon_pid()

    assert "sessions go on" in world.ctl("daemon", "stop").out

    wait_gone([daemon])
    world.ctl("daemon", "status", code=69)
    assert "not running" in world.ctl("daemon", "stop").out
    assert json.loads(world.ctl("daemon", "stop", "--json").out)["daemon"] is None
    assert all(Path(f"/proc/{pid}").exists() for pid in pids([job, other]))
    # A child goes on without a daemon: what it prints then is not lost.
    go.write_text("word\n")
    assert told.line() == "done"

    assert "claudectld runs" in world.ctl("daemon", "start").out
    assert sessions(world) == [job, other]
    assert world.ctl("logs", "job").out == "got word\n"
    world.ctl("send", "job", "--keys", "again<Enter><C-d>")
    assert world.ctl("logs", "-f", "job").out.splitlines()[-2:] == ["again", "again"]
    assert world.daemon_pid() != daemon
