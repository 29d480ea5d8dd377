"""What people and broken programs ask for by mistake: one sentence each, the right exit code, and nothing is harmed."""

import os
import socket
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from claudectl.client import Client
from claudectl_protocol.calls import AnyCall, Attach, Call, List, Logs, New, SendKeys, Show, Status, Target
from claudectl_protocol.faults import BadName, Fault, InvalidArgument, ProgramNotFound, Rejected, SpawnError
from claudectl_protocol.framing import VERSION, preamble
from claudectl_protocol.sessions import Lifecycle, SessionId, Size, Value
from tests.e2e.scripts import WAIT
from tests.e2e.world import DEADLINE_S, Done, World

USAGE, NOT_FOUND, REFUSED, NO_PROGRAM, NOT_SPAWNED, UNREACHABLE, INTERNAL = 2, 3, 4, 7, 8, 69, 70
MIB = 1 << 20


@pytest.fixture(scope="module")
def shared() -> Iterator[World]:
    """A world with a session that must not notice anything; Claude Code is not where it is said to be."""
    with World() as made:
        made.config.mkdir(parents=True)
        (made.config / "claudectld.toml").write_text(f'[claude]\nprogram = "{made.home}/nowhere/claude"\n')
        made.run(WAIT, name="standing")
        yield made
        made.end()


@pytest.fixture
def world(shared: World) -> Iterator[World]:
    """The shared world; at the end the same daemon serves and the same sessions run in it."""
    before = standing(shared)
    yield shared
    assert standing(shared) == before


def standing(world: World) -> tuple[int, int | None, list[str]]:
    """(the daemon's pid, the pid of the standing session, names of all sessions there are)."""
    with Client.connect(world.socket) as client:
        daemon = client.call(Status()).pid
        sessions = client.call(List(cwd="/", all_projects=True, stopped=True)).sessions
    (session,) = (one for one in sessions if one.name == "standing")
    assert session.lifecycle is Lifecycle.ACTIVE
    return daemon, session.pid, [one.name for one in sessions]


def sentence(done: Done) -> str:
    """The one sentence of a command that failed."""
    assert done.out == ""
    assert done.err.startswith("claudectl: ")
    assert done.err.count("\n") == 1
    assert done.err.removesuffix("\n").isprintable()
    return done.err.removeprefix("claudectl: ").removesuffix("\n")


def refused(world: World, call: AnyCall) -> Fault:
    """What a call is refused with."""
    with Client.connect(world.socket) as client, pytest.raises(Rejected) as caught:
        client.call(cast(Call[Value], call))
    return caught.value.fault


def new(world: World, **fields: object) -> New:
    """A call that would start a shell, with some fields as given."""
    usual = {
        "key": SessionId(str(uuid.uuid4())),
        "cwd": str(world.project),
        "program": "/bin/sh",
        "env": {"PATH": "/bin"},
    }
    return New(**{**usual, **fields})  # type: ignore[arg-type]


# --- what people type -------------------------------------------------------------------------------------------


def test_no_claude(world: World) -> None:
    assert sentence(world.ctl("new", "hello", code=NO_PROGRAM)) == (
        f"Claude Code was not found in {world.home}/nowhere/claude; "
        "install it with 'npm install -g @anthropic-ai/claude-code', or put 'claude' on PATH"
    )


def test_a_directory_that_is_missing_or_a_file(world: World) -> None:
    (world.project / "file").write_text("")
    for name, error in (("gone", "ENOENT"), ("file", "ENOTDIR")):
        done = world.ctl("new", "-C", name, "--command", "--", "sh", code=NOT_SPAWNED)
        assert sentence(done) == (
            f"the session could not be started: cwd '{world.project}/{name}' failed with {error}"
        )


def test_the_directory_one_stands_in_is_gone(world: World) -> None:
    script = 'mkdir "$1" && cd "$1" && rmdir "$1" && shift && exec "$@"'
    gone = str(world.home / "gone")
    argv = ("/bin/sh", "-c", script, "sh", gone, *world.argv("ls"))
    left = subprocess.run(
        argv, env=world.env, capture_output=True, text=True, check=False, timeout=DEADLINE_S
    )

    assert left.returncode == USAGE
    assert (
        sentence(Done(left.returncode, left.stdout, left.stderr))
        == "the current directory does not exist any more; cd to another one"
    )


def test_a_program_that_is_missing(world: World) -> None:
    assert sentence(world.ctl("new", "--command", "--", "no-such", code=NO_PROGRAM)) == (
        "program 'no-such' was not found in /usr/local/bin/no-such, /usr/bin/no-such, /bin/no-such; "
        "give its path after '--'"
    )


def test_a_program_that_may_not_be_executed(world: World) -> None:
    program = world.project / "text"
    program.write_text("no program")
    program.chmod(0o644)

    done = world.ctl("new", "--command", "--", str(program), code=NO_PROGRAM)

    assert sentence(done) == f"'{program}' may not be executed; make it executable, or name another program"


def test_a_program_that_the_kernel_will_not_run(world: World) -> None:
    program = world.project / "nonsense"
    program.write_bytes(b"\x7fELFnonsense")
    program.chmod(0o755)

    done = world.ctl("new", "--command", "--", str(program), code=NOT_SPAWNED)

    assert sentence(done) == (
        f"the session could not be started: exec '{program}' failed with ENOEXEC (Exec format error)"
    )


def test_a_name_that_is_taken(world: World) -> None:
    standing_id = str(world.shown("standing")["id"])[:8]

    done = world.ctl("new", "-n", "standing", "--command", "--", "sh", code=REFUSED)

    assert sentence(done) == (f"session {standing_id} is already called 'standing' here; choose another name")


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("", "is empty"),
        ("x\x1b]0;owned\x07y", "holds control or invisible characters"),
        ("line\nbreak", "holds control or invisible characters"),
        ("x" * 65, "is longer than 64 characters"),
        ("a/b", "holds '/'"),
        ("deadbeef", "looks like an id"),
        (" x", "begins or ends with a space"),
    ],
)
def test_a_bad_name(world: World, name: str, why: str) -> None:
    for command in (("new", "-n", name, "--command", "--", "sh"), ("rename", "standing", "--", name)):
        told = sentence(world.ctl(*command, code=USAGE))
        assert told.endswith(f"cannot be a session's name: it {why}")


def test_an_unknown_id(world: World) -> None:
    commands = (
        ("show", "nobody"),
        ("stop", "nobody"),
        ("rm", "nobody"),
        ("logs", "nobody"),
        ("send", "nobody", "--keys", "x"),
    )
    for command in (*commands, ("attach", "--read-only", "nobody")):
        told = sentence(world.ctl(*command, code=NOT_FOUND))
        assert told == "no session 'nobody' in this project; see 'claudectl ls -g'"
    told = sentence(world.ctl("show", "-g", "nobody", code=NOT_FOUND))
    assert told == "no session 'nobody' in any project; see 'claudectl ls -g -a'"


def test_an_ambiguous_prefix(world: World) -> None:
    keys = [SessionId(f"abcd{digit * 4}-0000-4000-8000-000000000000") for digit in "12"]
    with Client.connect(world.socket) as client:
        for key in keys:
            client.call(new(world, key=key, name=f"of-{key[:8]}"))

    told = sentence(world.ctl("show", "abcd", code=NOT_FOUND))

    assert told == (
        f"'abcd' could be abcd1111 (of-abcd1111 in {world.project}), "
        f"abcd2222 (of-abcd2222 in {world.project}); give more of the id"
    )
    assert world.shown("abcd2")["id"] == keys[1]
    world.ctl("rm", "--force", "abcd1", "abcd2")


def test_acts_that_do_not_fit_the_state(world: World) -> None:
    world.run("", name="done")
    world.ctl("logs", "-f", "done")
    ended = str(world.shown("done")["id"])[:8]

    assert sentence(world.ctl("send", "done", "--keys", "x", code=REFUSED)) == (
        f"session 'done' is not running; start it with 'claudectl restart {ended}'"
    )
    running = sentence(world.ctl("rm", "standing", code=REFUSED))
    standing = str(world.shown("standing")["id"])[:8]
    assert running == f"session 'standing' runs; stop it first, with 'claudectl stop {standing}'"
    world.ctl("rm", "done")


# --- what does not fit ------------------------------------------------------------------------------------------


def test_arguments_that_fit_no_frame(world: World) -> None:
    arguments = ["x" * 100_000] * 15

    told = sentence(world.ctl("new", "--command", "--", "true", *arguments, code=USAGE))

    assert told.startswith("an argument cannot be sent: a frame of 15")
    assert told.endswith(f" bytes; the limit is {MIB}")


def test_arguments_that_the_kernel_finds_too_long(world: World) -> None:
    # One word may have 128 KiB, however few there are.
    fault = refused(world, new(world, args=("x" * 200_000,)))

    assert isinstance(fault, SpawnError)
    assert (fault.stage, fault.error) == ("exec", "E2BIG")


def test_arguments_near_the_limit_arrive(world: World) -> None:
    words = ["x" * 100_000] * 9
    world.new("-n", "long", "--command", "--", "sh", "-c", "echo $# ${#9}", "sh", *words)

    assert "9 100000" in world.ctl("logs", "-f", "long").out
    world.ctl("rm", "long")


def test_a_program_name_that_is_longer_than_an_answer(world: World) -> None:
    path = ":".join(f"/nowhere/{number}" for number in range(20))

    fault = refused(world, new(world, program="x" * 100_000, env={"PATH": path}))

    assert isinstance(fault, ProgramNotFound)
    assert len(fault.searched) == 20


@pytest.mark.parametrize(
    "size",
    [Size(cols=0, rows=24), Size(cols=80, rows=0), Size(cols=-1, rows=24), Size(cols=80, rows=70000)],
    ids=str,
)
def test_a_terminal_without_columns_or_rows(world: World, size: Size) -> None:
    target = Target(text="standing", cwd=str(world.project))
    expected = InvalidArgument(what="the terminal's size", why="is not between 1 and 65535 columns and rows")

    assert refused(world, new(world, size=size)) == expected
    assert refused(world, Attach(target=target, size=size)) == expected


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ({"args": ("a\0b",)}, "the arguments"),
        ({"program": "", "prompt": "a\0b"}, "the prompt"),
        ({"program": "a\0b"}, "--command"),
        ({"env": {"A": "a\0b"}}, "the environment"),
        ({"env": {"A=B": "x"}}, "the environment"),
        ({"env": {"": "x"}}, "the environment"),
        ({"cwd": "relative"}, "the directory"),
        ({"cwd": "/tmp/\0"}, "the directory"),
        ({"umask": -1}, "the umask"),
        ({"groups": (-1,)}, "a group"),
        ({"rlimits": {7: (-5, 10)}}, "resource limit 7"),
        ({"key": SessionId("../../x")}, "key"),
    ],
)
def test_arguments_that_no_child_could_get(world: World, fields: dict[str, object], what: str) -> None:
    fault = refused(world, new(world, **fields))

    assert isinstance(fault, InvalidArgument)
    assert fault.what == what


@pytest.mark.parametrize("cwd", ["", "relative", "/tmp/\0x"])
def test_a_place_to_stand_that_is_none(world: World, cwd: str) -> None:
    target = Target(text="standing", cwd=cwd)
    calls: list[AnyCall] = [
        List(cwd=cwd),
        Show(target=target),
        SendKeys(target=target, data=b"x", key="k"),
        Attach(target=target, size=Size(cols=80, rows=24)),
        Logs(target=target),
    ]
    for call in calls:
        assert refused(world, call) == InvalidArgument(what="the directory", why="is not an absolute path")


def test_a_name_with_control_characters_by_another_client(world: World) -> None:
    fault = refused(world, new(world, name="\x1b[2Jx"))

    assert isinstance(fault, BadName)
    assert fault.name == "x"


def test_a_limit_that_nobody_may_set_is_told_with_the_reason(world: World) -> None:
    fault = refused(world, new(world, rlimits={9999: (1, 1)}))

    assert isinstance(fault, SpawnError)
    assert (fault.stage, fault.error) == ("limits", "EINVAL")


def test_a_directory_that_is_not_utf_8(world: World) -> None:
    odd = os.fsencode(world.home) + b"/caf\xe9"
    os.mkdir(odd)
    link = world.home / "link"
    link.symlink_to(os.fsdecode(odd))

    there = world.ctl("new", "-C", str(link), "--command", "--", "sh", code=USAGE)
    here = world.ctl("ls", cwd=Path(os.fsdecode(odd)), code=USAGE)

    assert sentence(there) == f"the directory '{world.home}/caf\N{REPLACEMENT CHARACTER}' is not UTF-8"
    assert sentence(here) == "an argument cannot be sent: it is not UTF-8"


def test_words_that_are_not_utf_8(world: World) -> None:
    word = os.fsdecode(b"caf\xe9")

    for arguments in (("new", "--command", "--", "echo", word), ("show", word), ("rename", "standing", word)):
        assert sentence(world.ctl(*arguments, code=USAGE)) == "an argument cannot be sent: it is not UTF-8"


# --- daemons ----------------------------------------------------------------------------------------------------


def test_no_daemon_and_none_may_be_started(world: World) -> None:
    nowhere = f"{world.home}/nowhere/daemon.sock"
    told = f"no daemon answers at {nowhere}; start one with 'claudectl daemon start'"

    assert sentence(world.ctl("--no-start", "--socket", nowhere, "ls", code=UNREACHABLE)) == told
    env = {**world.env, "CLAUDECTL_AUTOSTART": "0", "CLAUDECTL_SOCKET": nowhere}
    assert sentence(world.ctl("ls", env=env, code=UNREACHABLE)) == told
    assert sentence(world.ctl("--socket", nowhere, "daemon", "status", code=UNREACHABLE)) == told


@pytest.mark.parametrize(
    ("version", "told"),
    [
        (
            (VERSION[0] - 1, 7),
            "the daemon is older than this claudectl (the client speaks protocol {ours}, the daemon {theirs}); "
            "replace it with 'claudectl daemon restart' (sessions go on)",
        ),
        (
            (VERSION[0] + 1, 0),
            "this claudectl is older than the daemon (the client speaks protocol {ours}, the daemon {theirs}); "
            "run the newer claudectl, or upgrade this one",
        ),
    ],
)
def test_a_daemon_of_another_version(world: World, version: tuple[int, int], told: str) -> None:
    directory = world.home / f"of-{version[0]}"
    directory.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(directory / "daemon.sock"))
        listening.listen()
        other = threading.Thread(target=_greet, args=(listening, version))
        other.start()
        done = world.ctl("--socket", str(directory / "daemon.sock"), "ls", code=INTERNAL)
        other.join()

    ours, theirs = (".".join(map(str, one)) for one in (VERSION, version))
    assert sentence(done) == told.format(ours=ours, theirs=theirs)


def _greet(listening: socket.socket, version: tuple[int, int]) -> None:
    connection, _ = listening.accept()
    with connection:
        connection.sendall(preamble(version))
        while connection.recv(4096):
            pass


@pytest.mark.parametrize("major", [VERSION[0] - 1, VERSION[0] + 1, 65535])
def test_a_client_of_another_version_gets_our_version_and_no_more(world: World, major: int) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(DEADLINE_S)
        connection.connect(world.socket)
        connection.sendall(preamble((major, 0)) + b"whatever they say next")
        heard = b""
        while len(heard) < len(preamble()) and (data := connection.recv(4096)):
            heard += data
        try:
            after = connection.recv(4096)
        except ConnectionResetError:
            after = b""

    assert (heard, after) == (preamble(), b"")


# --- the environment --------------------------------------------------------------------------------------------


def test_a_variable_that_is_not_utf_8_reaches_the_child_as_it_is(world: World) -> None:
    env = {**world.env, "ODD": os.fsdecode(b"caf\xe9"), os.fsdecode(b"N\xe9"): "x"}
    script = "import os; print(os.environb[b'ODD'], os.environb[b'N\\xe9'])"

    done = world.ctl("new", "-n", "odd", "--command", "--", sys.executable, "-c", script, env=env)

    assert done.err == ""
    assert "b'caf\\xe9' b'x'" in world.ctl("logs", "-f", "odd").out
    assert "ODD" in world.ctl("show", "odd").out
    world.ctl("rm", "odd")
