"""Clients and daemons of different versions work together, or one sentence says which is older and what to run."""

import json
import shutil
from collections.abc import Callable, Iterator

import pytest

from claudectl.client import Client
from claudectl.render import explain
from claudectl_protocol.calls import Call, Done
from claudectl_protocol.faults import Rejected, Unsupported
from claudectl_protocol.sessions import Size
from tests.e2e.claude_world import ClaudeWorld
from tests.e2e.diary import is_alive
from tests.e2e.installed import InstalledWorld
from tests.e2e.scripts import ECHO
from tests.support.files import wait_for_file
from tests.support.installation import Installation

INTERNAL = 70


class Hibernate(Call[Done], tag="hibernate"):
    """A call of some later version."""


World = Callable[[Installation], InstalledWorld]


@pytest.fixture
def begun() -> Iterator[World]:
    """Makes a world whose daemon, keeper and one session are of an installation; it is left with that one, too."""
    worlds: list[tuple[InstalledWorld, Installation]] = []

    def begin(installation: Installation) -> InstalledWorld:
        world = InstalledWorld(installation)
        worlds.append((world, installation))
        world.run(ECHO)
        return world

    yield begin
    for world, installation in worlds:
        with world:
            world.installation = installation
            world.end()


def use(world: InstalledWorld) -> None:
    """Do with the session what people do."""
    assert world.ctl("ls").out.count("job") == 1
    session = world.shown("job")
    with world.attach("job", size=Size(cols=80, rows=24)) as terminal:
        terminal.wait_for("ready")
        terminal.type("by hand\r")
        terminal.wait_for("got by hand")
        terminal.type("\x11")
        assert terminal.wait_for_exit() == 0
    world.ctl("send", "job", "--keys", "from afar<Enter>")
    record = world.state / "records" / str(session["id"]) / str(session["run"])
    wait_for_file(record, lambda: b"got from afar" in world.record(session) or None)
    assert "got from afar" in world.ctl("logs", "job", "--raw").out
    world.ctl("rename", "job", "renamed")
    world.new("-n", "another", "--command", "--", "cat")
    world.ctl("restart", "another")
    world.ctl("stop", "another")
    world.ctl("rm", "another")
    world.ctl("stop", "renamed")
    assert not is_alive(int(str(session["pid"])))


def test_an_earlier_client_works_with_the_present_daemon(
    begun: World, earlier: Installation, present: Installation
) -> None:
    world = begun(present)
    world.installation = earlier

    use(world)


def test_the_present_client_works_with_an_earlier_daemon(
    begun: World, earlier: Installation, present: Installation
) -> None:
    world = begun(earlier)
    world.installation = present

    use(world)
    daemon = world.ctl("status", "--json").json()["daemon"]
    assert isinstance(daemon, dict)
    assert daemon["version"] == "0.1.0"


def test_a_call_that_an_earlier_daemon_does_not_know_is_refused_with_what_to_run(
    begun: World, earlier: Installation
) -> None:
    world = begun(earlier)

    with Client.connect(world.socket) as client, pytest.raises(Rejected) as refused:
        client.call(Hibernate())

    assert refused.value.fault == Unsupported(call="hibernate")
    assert "too old" in explain(refused.value.fault)
    assert "'claudectl daemon restart'" in explain(refused.value.fault)


def test_a_client_of_a_later_major_version_says_that_the_daemon_is_older_and_what_to_run(
    begun: World, present: Installation, later: Installation
) -> None:
    world = begun(present)
    world.installation = later

    said = world.ctl("ls", code=INTERNAL)

    assert said.out == ""
    assert said.err == (
        "claudectl: the daemon is older than this claudectl (the client speaks protocol 2.0, the daemon 1.0); "
        "replace it with 'claudectl daemon restart' (sessions go on)\n"
    )


def test_what_to_run_replaces_a_daemon_of_an_older_major_version_and_touches_no_session(
    begun: World, present: Installation, later: Installation
) -> None:
    world = begun(present)
    session = world.shown("job")
    world.installation = later

    said = world.ctl("daemon", "restart")

    assert "no session was touched" in said.out
    after = world.shown("job")
    assert (after["run"], after["pid"], after["lifecycle"]) == (session["run"], session["pid"], "active")
    # The present version can take over again, by its own means.
    world.installation = present
    world.ctl("daemon", "restart")
    assert world.shown("job")["pid"] == session["pid"]


def test_a_client_of_an_earlier_major_version_says_that_it_is_the_older(
    begun: World, present: Installation, later: Installation
) -> None:
    world = begun(later)
    world.installation = present

    for command in (
        ("ls",),
        ("attach", "job", "--read-only"),
        ("new", "--command", "--", "true"),
        ("daemon", "status"),
    ):
        said = world.ctl(*command, code=INTERNAL)
        assert said.out == ""
        assert said.err == (
            "claudectl: this claudectl is older than the daemon "
            "(the client speaks protocol 1.0, the daemon 2.0); run the newer claudectl, or upgrade this one\n"
        )


def test_versions_are_those_of_the_installations(earlier: Installation, present: Installation) -> None:
    for installation, version in ((earlier, "0.1.0"), (present, "0.2.0.dev1")):
        world = InstalledWorld(installation)
        with world:
            assert version in world.ctl("--version").out


# -- what an earlier claudectl has left ---------------------------------------------------------------------------


@pytest.mark.claude
def test_a_conversation_of_an_earlier_claudectl_is_back_when_it_was_active(claude_world: ClaudeWorld) -> None:
    """Its data.json, with everything that a present version would have written taken away."""
    claude_world.claude_session("first", prompt="say hi")
    claude_world.until_said("first", "You said: say hi")
    conversation = claude_world.conversation("first")
    claude_world.end()
    shutil.rmtree(claude_world.state)
    shutil.rmtree(claude_world.project / ".claudectl")
    # Nobody's shell is there to ask for these.
    secrets = {name: value for name, value in claude_world.env.items() if name not in ("HOME", "PATH")}
    talk = {
        "id": "s1",
        "name": "talk",
        "project_id": "p1",
        "status": "Active",
        "claude_session_id": conversation,
        "env": secrets,
    }
    done = {"id": "s2", "name": "done", "project_id": "p1", "status": "Stopped"}
    projects = [{"id": "p1", "name": "project", "path": str(claude_world.project)}]
    old = {"projects": projects, "sessions": [talk, done]}
    (claude_world.config / "data.json").write_text(json.dumps(old))

    told = claude_world.ctl("ls", "-a").err

    assert "2 sessions of an older version moved to where they belong" in told
    claude_world.until("talk", lambda shown: shown["lifecycle"] == "active")
    assert claude_world.conversation("talk") == conversation
    assert claude_world.shown("done")["lifecycle"] == "stopped"
    with claude_world.attach("talk") as terminal:
        terminal.wait_for("You said: say hi")
        claude_world.until_doing("talk", "idle")
        claude_world.say("talk", "and again")
        terminal.wait_for("You said: and again")
    claude_world.until_said("talk", "You said: and again")
    # What never ran under this version can be ended and forgotten like everything else.
    claude_world.ctl("stop", "done")
    claude_world.ctl("rm", "done")
    assert "done" not in claude_world.ctl("ls", "-a").out
