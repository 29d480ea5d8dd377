"""What a child is given: everything from the client that asked for it, nothing from the daemon or its first client."""

import json
import os
import resource
import stat
import subprocess
import sys
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.e2e.world import DEADLINE_S, World

_DRESS = """
import ctypes, json, os, resource, signal, sys
dress, *argv = sys.argv[1:]
dress = json.loads(dress)
os.umask(dress["umask"])
for number, soft, hard in dress["limits"]:
    resource.setrlimit(number, (soft, hard if hard else resource.getrlimit(number)[1]))
for number in dress["ignored"]:
    signal.signal(number, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, dress["blocked"])
for fd in dress["fds"]:
    os.dup2(os.open(dress["leak"], os.O_RDONLY), fd, inheritable=True)
if os.geteuid() == 0:
    os.setgroups(dress["groups"])
os.makedirs(dress["own"])
for name in ("limits", "status"):
    with open(f"/proc/self/{name}") as source, open(os.path.join(dress["own"], name), "w") as target:
        target.write(source.read())
for capability in dress["drops"]:
    ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP
os.execve(argv[0], argv, dress["env"])
"""
"""Puts on what a client is to have, notes what the system says of it, and becomes the client."""


class Dress(NamedTuple):
    """What a client has besides its environment. Limits are (resource, soft, hard), a hard of 0 stays; `drops` are
    capabilities that root gives up (others never had them)."""

    umask: int
    limits: tuple[tuple[int, int, int], ...]
    ignored: tuple[int, ...]
    blocked: tuple[int, ...]
    fds: tuple[int, ...]
    groups: tuple[int, ...]
    drops: tuple[int, ...] = ()


FIRST = Dress(
    umask=0o000,
    limits=((resource.RLIMIT_NOFILE, 300, 0), (resource.RLIMIT_CORE, 0, 0)),
    ignored=(1, 3, 10, 13, 20),
    blocked=(12, 17, 28),
    fds=(9, 77, 250),
    groups=(7, 8),
)
"""Whoever started the daemon."""
SECOND = Dress(
    umask=0o135,
    limits=(
        (resource.RLIMIT_NOFILE, 111, 222),
        (resource.RLIMIT_CORE, 4096, 8192),
        (resource.RLIMIT_STACK, 4 << 20, 64 << 20),
        (resource.RLIMIT_CPU, 5000, 6000),
    ),
    ignored=(1, 2, 15, 22),
    blocked=(10, 14, 34),
    fds=(3, 10, 99),
    groups=(4, 5, 6),
)
"""Whoever wants a session."""

KEPT = {
    "PATH": "/usr/bin:/bin",
    "SHELL": "/bin/odd",
    "SSH_AUTH_SOCK": "/tmp/agent",
    "HTTPS_PROXY": "http://proxy.invalid:1",
    "ANTHROPIC_API_KEY": "key-of-the-client",
    "EMPTY": "",
    "LINES_OF_TEXT": "one\ntwo=ü 漢",
    "lower-case.name": "1",
    "NO_UTF_8": os.fsdecode(b"\xff\xfe="),
    "LC_ALL": "",
}
SCRUBBED = {
    "TERM": "dumb",
    "COLORTERM": "no",
    "CLAUDECODE": "1",
    "CLAUDE_CODE_CHILD_SESSION": "1",
    "CLAUDE_CODE_SESSION_ID": "outer",
    "CLAUDE_CODE_ENTRYPOINT": "cli",
    "CLAUDE_CODE_MESSAGING_SOCKET": "/tmp/outer.sock",
    "CLAUDE_CODE_MESSAGING_TOKEN": "outer",
    "CLAUDE_PID": "1",
    "CLAUDE_ENV_FILE": "/tmp/outer.env",
    "CLAUDE_CODE_SSE_PORT": "1",
    "CLAUDE_BG_TASK": "1",
    "CLAUDE_JOB_DIR": "/tmp/outer",
    "CLAUDE_CODE_SESSION_KIND": "outer",
    "AI_AGENT": "outer",
    "CLAUDECTL_SESSION": "outer",
    "CLAUDECTL_RUN": "outer",
    "TMUX": "/tmp/tmux,1,2",
    "TMUX_PANE": "%1",
    "TERM_PROGRAM": "tmux",
    "KITTY_WINDOW_ID": "1",
    "NOTIFY_SOCKET": "/tmp/notify",
    "LISTEN_FDS": "3",
    "COLUMNS": "33",
}


def dressed(
    world: World, dress: Dress, env: Mapping[str, str], *args: str, cwd: Path | None = None
) -> tuple[str, Path]:
    """Run `claudectl` as a client in this dress. Returns its stdout and where the system's view of it is."""
    leak = world.home / "leak"
    leak.touch()
    own = world.home / uuid.uuid4().hex
    told = json.dumps({**dress._asdict(), "leak": str(leak), "own": str(own), "env": dict(env)})
    done = subprocess.run(
        [sys.executable, "-c", _DRESS, told, *world.argv(*args)],
        cwd=cwd or world.project,
        env=world.env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode(), own


def begun(world: World) -> None:
    """A daemon that was started by another client, from another place, with another environment."""
    env = {**world.env, "OF_THE_DAEMON": "1", "LANG": "C", "SSH_AUTH_SOCK": "/tmp/first"}
    dressed(world, FIRST, env, "daemon", "start", cwd=Path("/"))


def client_environment(world: World) -> dict[str, str]:
    return {"HOME": str(world.home), **KEPT, **SCRUBBED}


def started(out: str) -> dict[str, object]:
    session = json.loads(out)["session"]
    assert isinstance(session, dict)
    return session


def process_environment(pid: int) -> dict[str, str]:
    """What the process was started with."""
    words = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    return dict(os.fsdecode(word).split("=", 1) for word in words if word)


def fields(status: str, *names: str) -> dict[str, str]:
    """Lines of /proc/PID/status."""
    lines = (line.partition(":") for line in status.splitlines())
    return {name: value.strip() for name, _, value in lines if name in names}


def given(world: World, session: Mapping[str, object], *, claude: bool = False) -> dict[str, str]:
    """The environment that a session of `client_environment` is to have, exactly."""
    return {
        "HOME": str(world.home),
        **KEPT,
        "CLAUDECTL_SESSION": str(session["id"]),
        "CLAUDECTL_RUN": str(session["run"]),
        "TERM": "xterm-256color",
        "COLORTERM": "truecolor",
        "LANG": "C.UTF-8",
        **({"CLAUDE_CODE_DISABLE_AGENT_VIEW": "1"} if claude else {}),
    }


CAT = ("new", "--json", "--command", "--", "cat")


class Facts(NamedTuple):
    """What the system said of a child and of the client that asked for it, and what others held meanwhile.

    `stat` are the fields of /proc/PID/stat from the third on; `held` is what daemon and keeper had open.
    """

    pid: int
    env: dict[str, str]
    given: dict[str, str]
    limits: str
    client_limits: str
    status: str
    client_status: str
    stat: list[str]
    open_files: dict[str, str]
    terminal: int
    cwd: str
    asked_cwd: str
    held: list[str]
    leak: str


@pytest.fixture(scope="module")
def facts() -> Facts:
    """One child of SECOND under a daemon of FIRST; it is gone when tests look at what is known of it."""
    with World() as world:
        begun(world)
        there = world.project / "deep"
        there.mkdir()
        out, own = dressed(world, SECOND, client_environment(world), *CAT[:2], "-C", "deep", *CAT[2:])
        session = started(out)
        pid = int(str(session["pid"]))
        child = Path("/proc") / str(pid)
        stat_ = (child / "stat").read_text()
        found = Facts(
            pid=pid,
            env=process_environment(pid),
            given=given(world, session),
            limits=(child / "limits").read_text(),
            client_limits=(own / "limits").read_text(),
            status=(child / "status").read_text(),
            client_status=(own / "status").read_text(),
            stat=stat_[stat_.rindex(")") + 2 :].split(),
            open_files=descriptors(pid),
            terminal=os.stat(child / "fd" / "0").st_rdev,
            cwd=os.readlink(child / "cwd"),
            asked_cwd=str(there),
            held=[
                path
                for each in (world.daemon_pid(), world.keeper_pid())
                for path in descriptors(each).values()
            ],
            leak=str(world.home / "leak"),
        )
        world.end()
        return found


def descriptors(pid: int) -> dict[str, str]:
    """What a process has open, by number."""
    return {fd.name: os.readlink(fd) for fd in Path(f"/proc/{pid}/fd").iterdir()}


def test_the_environment_is_the_clients_less_what_is_not_the_childs(facts: Facts) -> None:
    assert facts.env == facts.given


def test_umask_limits_and_groups_are_the_clients(facts: Facts) -> None:
    names = ("Umask", "Groups", "Uid", "Gid", "Seccomp", "NoNewPrivs", "CapEff")
    mine = fields(facts.client_status, *names)

    assert facts.limits == facts.client_limits
    assert fields(facts.status, *names) == mine
    assert mine["Umask"] == "0135"


def test_no_signal_is_ignored_or_blocked(facts: Facts) -> None:
    none = "0" * 16

    assert fields(facts.status, "SigIgn", "SigBlk", "SigCgt") == {
        "SigIgn": none,
        "SigBlk": none,
        "SigCgt": none,
    }
    # The client was not like that.
    assert none not in fields(facts.client_status, "SigIgn", "SigBlk").values()


def test_it_has_its_terminal_and_no_other_descriptor(facts: Facts) -> None:
    terminal = facts.open_files["0"]

    assert terminal.startswith("/dev/pts/")
    assert facts.open_files == {"0": terminal, "1": terminal, "2": terminal}


def test_nobody_holds_what_a_client_had_open(facts: Facts) -> None:
    assert facts.leak not in facts.held
    assert len(facts.held) > 6


def test_it_leads_a_session_of_its_own_on_its_terminal_where_it_was_asked_to(facts: Facts) -> None:
    _, _, group, leader, terminal, foreground = facts.stat[:6]

    assert (int(group), int(leader), int(foreground)) == (facts.pid, facts.pid, facts.pid)
    assert (os.major(int(terminal)), os.minor(int(terminal))) == (
        os.major(facts.terminal),
        os.minor(facts.terminal),
    )
    assert facts.cwd == facts.asked_cwd


def test_a_chosen_language_stays_and_claude_gets_one_switch_more(world: World) -> None:
    begun(world)
    program = world.home / "bin" / "claude"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\nread line\n")
    program.chmod(0o755)
    env = {**client_environment(world), "PATH": f"{program.parent}:/usr/bin:/bin", "LANG": "de_DE.UTF-8"}
    out, _ = dressed(world, SECOND, env, "new", "--json")

    session = started(out)

    assert process_environment(int(str(session["pid"]))) == {
        **given(world, session, claude=True),
        "PATH": env["PATH"],
        "LANG": "de_DE.UTF-8",
    }


def test_a_client_without_groups_has_children_without_groups(world: World) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can leave its groups")
    begun(world)
    out, _ = dressed(world, SECOND._replace(groups=()), client_environment(world), *CAT)

    status = Path(f"/proc/{started(out)['pid']}/status").read_text()

    assert set(fields(status, "Groups")["Groups"].split()) <= {str(os.getegid())}


def test_limits_that_cannot_be_had_refuse_the_session_with_the_reason(world: World) -> None:
    low = FIRST._replace(
        limits=((resource.RLIMIT_NOFILE, 300, 300),), groups=(), drops=(24,)
    )  # CAP_SYS_RESOURCE
    dressed(world, low, world.env, "daemon", "start")

    refused = world.ctl(*CAT, code=8)

    assert "limit" in refused.err
    assert "EPERM" in refused.err
    assert world.ctl("ls", "-a", "-q").out == ""


def test_a_restarted_child_is_given_the_same_by_any_client(world: World) -> None:
    begun(world)
    out, own = dressed(world, SECOND, client_environment(world), *CAT)
    world.kill(world.daemon_pid())

    again = world.ctl("restart", "cat", "--json").json()["session"]

    assert isinstance(again, dict)
    child = Path("/proc") / str(again["pid"])
    assert again["run"] != started(out)["run"]
    assert process_environment(int(again["pid"])) == given(world, again)
    assert (child / "limits").read_text() == (own / "limits").read_text()
    assert fields((child / "status").read_text(), "Umask") == {"Umask": "0135"}


# --- secrets ----------------------------------------------------------------------------------------------------


def holders(world: World, secret: str) -> set[Path]:
    """Every file of this world that holds the secret."""
    places = (world.home, Path(world.socket).parent)
    files = (path for place in places for path in place.rglob("*") if path.is_file())
    return {path for path in files if secret.encode() in path.read_bytes()}


def command_lines() -> list[bytes]:
    """The argv of every process there is."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(path.read_bytes())
        except OSError:
            continue
    return found


def test_a_secret_of_the_clients_environment_is_in_one_private_file_only(world: World) -> None:
    secret = f"sentinel-{uuid.uuid4().hex}"
    env = {**world.env, "MY_TOKEN": secret}
    # This client starts the daemon too.
    session = world.ctl(*CAT, env=env).json()["session"]
    assert isinstance(session, dict)
    world.ctl("new", "--command", "--", "no-such-program", env=env, code=7)
    refused = world.home / "unreadable"
    refused.write_text("#!/no/such/interpreter\n")
    refused.chmod(0o755)
    world.ctl("new", "--command", "--", str(refused), env=env, code=8)
    world.ctl("send", "cat", "--keys", "hello<Enter>", env=env)
    world.ctl("restart", "cat", env=env)
    world.kill(world.daemon_pid())

    private = world.state / "env" / str(session["id"])
    said = [
        world.ctl(*words).out
        for words in (
            ("show", "cat", "--json"),
            ("show", "cat"),
            ("ls", "--json"),
            ("status", "--json"),
            ("logs", "cat"),
            ("project", "show", "--json"),
        )
    ]
    assert "MY_TOKEN" in said[0]
    assert not [text for text in said if secret in text]
    assert holders(world, secret) == {private}
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    assert not [words for words in command_lines() if secret.encode() in words]

    world.ctl("rm", "--force", "cat")
    assert holders(world, secret) == set()


def test_neither_daemon_nor_keeper_has_the_environment_of_a_later_client(world: World) -> None:
    world.start()
    secret = f"sentinel-{uuid.uuid4().hex}"
    world.ctl(*CAT, env={**world.env, "MY_TOKEN": secret})

    for pid in (world.daemon_pid(), world.keeper_pid()):
        assert "MY_TOKEN" not in process_environment(pid)


@pytest.mark.parametrize("dress", [FIRST, SECOND._replace(limits=(), umask=0o777)], ids=["0000", "0777"])
def test_whatever_the_umask_nobody_else_may_look_into_our_files(world: World, dress: Dress) -> None:
    dressed(world, dress, world.env, "daemon", "start")
    world.ctl(*CAT)
    world.ctl("restart", "cat")
    world.kill(world.daemon_pid())
    world.ctl("stop", "cat")

    places = (world.state, world.project / ".claudectl", world.config, Path(world.socket).parent)
    found = {path: path.lstat().st_mode for place in places for path in (place, *place.rglob("*"))}
    modes = {str(path): oct(stat.S_IMODE(mode)) for path, mode in found.items() if not stat.S_ISDIR(mode)}
    directories = {str(path): oct(stat.S_IMODE(mode)) for path, mode in found.items() if stat.S_ISDIR(mode)}
    assert len(modes) > 10
    assert {path: mode for path, mode in modes.items() if mode != oct(0o600)} == {}
    assert {path: mode for path, mode in directories.items() if mode != oct(0o700)} == {}
