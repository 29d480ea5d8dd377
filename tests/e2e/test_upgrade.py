"""The keeper is brought to newer code under running sessions: nobody notices, or one sentence says why it was not."""

import json
import re
import shutil
from pathlib import Path

import pytest

import claudectl
import claudectl_protocol
import claudectld
from claudectl.client import Client
from claudectl_protocol.calls import KeeperUpgrade, Status, UpgradeKeeper, UpgradeState
from claudectl_protocol.sessions import DaemonStatus, Size
from tests.counts import times
from tests.e2e.claude_world import field
from tests.e2e.diary import Diary, is_alive, wait_for_adoptions
from tests.e2e.scripts import ECHO, NUMBERED_LINES, numbers_in
from tests.e2e.world import World
from tests.support.files import wait_for_file

REFUSED = 4
UNREACHABLE = 69


class Tree:
    """An installation whose files change as those of a package do that is upgraded."""

    def __init__(self, path: Path) -> None:
        self.path = path
        for package in (claudectl, claudectld, claudectl_protocol):
            source = Path(str(package.__file__)).parent
            shutil.copytree(source, path / source.name, ignore=shutil.ignore_patterns("__pycache__"))
        self._version = 0

    def change(self) -> None:
        """Another version, which does the same."""
        self._version += 1
        path = self._module("log")
        path.write_text(f"{path.read_text()}# version {self._version}\n")

    def edit(self, module: str, text: str, replacement: str) -> None:
        """A version of the keeper that does something else."""
        source = self._module(module).read_text()
        assert text in source, text
        self._module(module).write_text(source.replace(text, replacement, 1))

    def _module(self, name: str) -> Path:
        return self.path / "claudectld" / "keeper" / f"{name}.py"


@pytest.fixture
def tree(world: World) -> Tree:
    """What `world` runs from."""
    made = Tree(world.home / "tree")
    world.env["PYTHONPATH"] = str(made.path)
    world.env["PYTHONDONTWRITEBYTECODE"] = "1"
    return made


def keeper_code(world: World) -> str:
    """The copy that the keeper's process runs."""
    words = Path(f"/proc/{world.keeper_pid()}/cmdline").read_bytes().split(b"\0")
    return next(Path(word.decode()).name for word in words if b"/state/claudectl/keeper/" in word)


def brought_up(world: World) -> KeeperUpgrade:
    """Have the daemon that runs bring the keeper to what is installed now."""
    with Client.connect(world.socket) as client:
        return client.call(UpgradeKeeper())


def daemon_status(world: World) -> DaemonStatus:
    with Client.connect(world.socket) as client:
        return client.call(Status())


def keeper_log(world: World) -> str:
    return (world.state / "logs" / "keeper.log").read_text()


def test_an_upgrade_replaces_the_daemon_and_the_keepers_code_and_touches_no_session(
    world: World, tree: Tree
) -> None:
    session = world.run(ECHO)
    daemon, keeper, code = world.daemon_pid(), world.keeper_pid(), keeper_code(world)
    with world.attach("job", size=Size(cols=80, rows=24)) as terminal:
        terminal.wait_for("ready")
        tree.change()

        said = world.ctl("daemon", "upgrade").out

        serves = re.fullmatch(
            r"claudectld \S+ serves \(pid (\d+)\)\n"
            rf"upgraded the keeper \(pid {keeper}\) in place\n"
            r"no session was touched\n",
            said,
        )
        assert serves is not None, said
        assert int(serves[1]) != daemon
        assert (world.keeper_pid(), keeper_code(world) == code) == (keeper, False)
        # The client is back when it shows this; before, it drops what is typed.
        world.ctl("send", "job", "--keys", "sent<Enter>")
        terminal.wait_for("got sent")
        terminal.type("typed\r")
        terminal.wait_for("got typed")
    shown = world.shown("job")
    assert (shown["pid"], shown["run"], shown["lifecycle"]) == (session["pid"], session["run"], "active")
    assert daemon_status(world).problems == ()

    assert world.ctl("daemon", "upgrade").out.splitlines()[1] == f"the keeper (pid {keeper}) is current"
    document = world.ctl("daemon", "upgrade", "--json").json()
    assert (document["schema"], document["keeper"]) == (1, {"state": "current", "why": ""})


def test_a_daemon_that_starts_brings_an_older_keeper_up_by_itself(world: World, tree: Tree) -> None:
    session = world.run(ECHO)
    keeper, code = world.keeper_pid(), keeper_code(world)
    tree.change()
    world.kill(world.daemon_pid())
    world.start()
    wait_for_file(world.state / "logs", lambda: " upgraded " in keeper_log(world) or None)
    assert (world.keeper_pid(), keeper_code(world) == code) == (keeper, False)
    assert world.shown("job")["pid"] == session["pid"]


def test_under_load_an_attached_client_gets_every_byte_once(world: World, tree: Tree) -> None:
    world.configure("[records]\nlimit_mib = 4096\n")
    session = world.run(NUMBERED_LINES)
    daemon, keeper = world.daemon_pid(), world.keeper_pid()
    upgrades = times(5, 200)
    with world.attach("job", size=Size(cols=80, rows=24)) as terminal:
        terminal.wait_for("line 0000")
        for _ in range(upgrades):
            tree.change()
            assert brought_up(world).state is UpgradeState.UPGRADED
            newest = numbers_in(world.record(session))[0][-1]
            terminal.wait_for_output(f"line {newest:09d}".encode(), deadline_s=60)
        terminal.type("stop\r")
        terminal.wait_for_output(b"exited with code 42", deadline_s=60)
        output = terminal.output
    assert keeper_log(world).count(" upgraded ") == upgrades
    assert (world.daemon_pid(), world.keeper_pid()) == (daemon, keeper)

    record, end = numbers_in(world.record(session))
    assert end is not None
    assert record == list(range(end))
    numbers = [int(number) for number in re.findall(rb"line (\d{9})", output)]
    assert numbers == record[record.index(numbers[0]) :]
    assert field(world.shown("job"), "exit", "code") == 42


def test_what_is_typed_meanwhile_is_typed_once(world: World, tree: Tree) -> None:
    diary = Diary(world)
    world.new("-n", "job", "--command", "--", str(diary.program))
    diary.wait_for("start")
    words: list[str] = []
    with world.attach("job") as terminal:
        terminal.wait_for("ready")
        for _ in range(times(4, 50)):
            tree.change()
            with Client.connect(world.socket) as client:
                # Typed before, while and after the keeper is another one; nobody waits in between.
                for _ in range(20):
                    words.append(f"word{len(words)}")
                    terminal.type(f"{words[-1]}\r")
                assert client.call(UpgradeKeeper()).state is UpgradeState.UPGRADED
                words.append(f"word{len(words)}")
                terminal.type(f"{words[-1]}\r")
        diary.wait_for("typed", len(words))
    assert diary.notes("typed") == words
    assert len(diary.starts) == 1


def test_the_daemon_killed_in_the_middle_leaves_a_keeper_that_goes_on(world: World, tree: Tree) -> None:
    session = world.run(NUMBERED_LINES)
    keeper = world.keeper_pid()
    for count in range(times(5, 50)):

        def look(before: int = count) -> bool | None:
            return keeper_log(world).count(" upgrade_tried ") > before or None

        tree.change()
        world.kill(world.daemon_pid())
        world.start()
        wait_for_file(world.state / "logs", look)
    world.kill(world.daemon_pid())
    world.start()
    assert brought_up(world).state is not UpgradeState.REFUSED
    assert world.keeper_pid() == keeper
    world.ctl("send", "job", "--keys", "stop<Enter>")
    world.ctl("logs", "job", "-f", "--raw")
    numbers, end = numbers_in(world.record(session))
    assert end is not None
    assert numbers == list(range(end))
    assert field(world.shown("job"), "exit", "code") == 42


def test_code_that_cannot_go_on_is_refused_and_noticed_until_a_better_one_comes(
    world: World, tree: Tree
) -> None:
    session = world.run(ECHO)
    keeper, code = world.keeper_pid(), keeper_code(world)
    broken = ("handover", "fields = Fields(value)", "raise KeyError('broken')")
    tree.edit(*broken)

    said = world.ctl("daemon", "upgrade", code=REFUSED).out
    assert f"the keeper (pid {keeper}) goes on in older code: KeyError: 'broken'\n" in said
    notice = "the keeper runs older code: KeyError: 'broken'"
    assert notice in daemon_status(world).problems
    assert notice in world.ctl("status").out
    assert (world.keeper_pid(), keeper_code(world)) == (keeper, code)
    assert world.shown("job")["pid"] == session["pid"]

    tree.edit(broken[0], broken[2], broken[1])
    tree.change()
    world.ctl("daemon", "upgrade")
    assert daemon_status(world).problems == ()
    assert (world.keeper_pid(), keeper_code(world) == code) == (keeper, False)


def test_a_keeper_that_dies_just_after_exec_is_replaced_and_its_children_live(
    world: World, tree: Tree
) -> None:
    session = world.run(ECHO)
    keeper = world.keeper_pid()
    tree.edit("main", 'crash_point("upgrade:after-exec")', "os.kill(os.getpid(), signal.SIGKILL)")
    done = brought_up(world)
    assert done.state is UpgradeState.UPGRADED
    assert "a new one has taken its children over" in done.why
    wait_for_adoptions(world, session, 1)
    assert world.keeper_pid() != keeper
    assert world.shown("job")["pid"] == session["pid"]
    world.ctl("send", "job", "--keys", "still here<Enter>")
    with world.attach("job") as terminal:
        terminal.wait_for("got still here")


def test_a_keeper_with_an_older_protocol_is_upgraded_and_with_a_newer_one_left_alone_with_a_sentence(
    world: World, tree: Tree
) -> None:
    session = world.run(ECHO)
    pid, keeper = int(str(session["pid"])), world.keeper_pid()
    tree.edit("wire", "PROTOCOL = 1", "PROTOCOL = 2")
    assert f"the keeper (pid {keeper}) is current" in world.ctl("daemon", "upgrade").out
    assert world.shown("job")["pid"] == pid
    assert json.loads((world.state / "keeper.json").read_text())["protocol"] == 2
    world.kill(world.daemon_pid())

    tree.edit("wire", "PROTOCOL = 2", "PROTOCOL = 1")
    said = world.ctl("ls", code=UNREACHABLE).err
    assert said.count("\n") == 1
    assert "the keeper speaks protocol 2, this daemon 1; run the newer claudectl" in said
    assert (world.keeper_pid(), is_alive(pid)) == (keeper, True)

    tree.edit("wire", "PROTOCOL = 1", "PROTOCOL = 2")
    assert world.shown("job")["pid"] == pid
    with world.attach("job") as terminal:
        terminal.wait_for("ready")
        terminal.type("typed\r")
        terminal.wait_for("got typed")
