"""After a reboot every wanted conversation comes back by itself, once, and nothing else does."""

from collections.abc import Iterator, Sequence

import pytest

from tests.e2e import boot
from tests.e2e.boot import Boot, PowerOff, power_off
from tests.e2e.claude_world import ClaudeWorld
from tests.e2e.scripts import WAIT
from tests.support import claude_code
from tests.support.messages_api import MessagesApi, Request

pytestmark = [pytest.mark.claude, pytest.mark.privileged]


class Machine(ClaudeWorld):
    """A world on a machine that can be rebooted."""

    boot: Boot

    def argv(self, *args: str) -> list[str]:
        """`claudectl` in the present boot."""
        return self.boot.argv(super().argv(*args))

    def reboot(self, how: PowerOff) -> None:
        """Go down, come up, and start the daemon as the user manager does at boot."""
        power_off(self, how)
        self.boot.next()
        self.start()


@pytest.fixture
def machine(api: MessagesApi) -> Iterator[Machine]:
    why = boot.refusal()
    if why:
        pytest.skip(why)
    with claude_code.home() as home, Machine(claude_code.installed_or_skip(), home, api) as made:
        made.boot = Boot(home.path)
        yield made
        made.end()


def _said(request: Request) -> list[str]:
    return [block.text for message in request.messages for block in message.blocks]


def _back(machine: Machine, session: dict[str, object]) -> None:
    """Wait until a session runs again, and see that it is the same one in a new life."""
    again = machine.until(str(session["id"]), lambda now: now["lifecycle"] == "active")
    assert again["id"] == session["id"]
    assert again["name"] == session["name"]
    assert again["conversation"] == session["conversation"]
    assert again["run"] != session["run"]
    machine.until_doing(str(session["id"]), "idle")
    assert machine.detail(str(session["id"]))["boot_id"] == machine.boot.id


def test_conversations_come_back_after_every_kind_of_reboot(machine: Machine, api: MessagesApi) -> None:
    talk = machine.claude_session("talk", prompt="remember this")
    silent = machine.claude_session("silent")
    machine.until_said("talk", "You said: remember this")
    machine.until_doing("silent", "idle")
    prompts = ["remember this"]

    for how in PowerOff:
        talk, silent = machine.shown("talk"), machine.shown("silent")
        machine.reboot(how)

        _back(machine, talk)
        _back(machine, silent)
        prompts.append(f"and after {how.name}")
        machine.say("talk", prompts[-1])
        last = api.wait_for_prompt(prompts[-1])
        said = _said(last)
        for prompt in prompts:
            assert any(prompt in text for text in said), (how, prompt)
        assert last.session == talk["conversation"]
        machine.until_said("talk", f"You said: {prompts[-1]}")

    # Each prompt was heard once, the first one too: no reboot has repeated any.
    assert [turn.prompt for turn in api.turns()] == prompts
    assert machine.claude_home.transcript(str(silent["conversation"])) is None


def test_only_what_is_wanted_comes_back(machine: Machine) -> None:
    machine.run(WAIT, name="once")
    for name in ("left", "stopped", "wanted"):
        machine.claude_session(name)
    service = machine.new("-n", "service", "--command", "--restore", "--", "cat")
    for name in ("left", "stopped", "wanted"):
        machine.until_doing(name, "idle")
    machine.say("left", "/exit")
    machine.until("left", lambda now: now["lifecycle"] == "stopped")
    machine.ctl("stop", "stopped")
    wanted = machine.shown("wanted")

    machine.reboot(PowerOff.AT_ONCE)

    # Sessions come back oldest first: were the others to come back, they would before these.
    _back(machine, wanted)
    again = machine.until("service", lambda now: now["lifecycle"] == "active")
    assert again["run"] != service["run"]
    for name, lifecycle in (("left", "stopped"), ("stopped", "stopped"), ("once", "interrupted")):
        shown = machine.shown(name)
        assert (shown["lifecycle"], shown["wanted"], shown["pid"]) == (lifecycle, "stopped", None), name
        assert len(_runs(machine, name)) == 1, name


def _runs(machine: Machine, target: str) -> Sequence[object]:
    runs = machine.detail(target)["runs"]
    assert isinstance(runs, list)
    return runs


def test_a_prompt_that_was_being_answered_is_not_asked_again(machine: Machine, api: MessagesApi) -> None:
    talk = machine.claude_session("talk", prompt="[[hold:for ever]][[text:never said]]")
    api.wait_for_prompt("never said")

    machine.reboot(PowerOff.AT_ONCE)

    _back(machine, talk)
    machine.say("talk", "are you there?")
    last = api.wait_for_prompt("are you there?")
    assert any("never said" in text for text in _said(last))
    assert len(api.turns()) == 2
