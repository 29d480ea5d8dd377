"""`ls` says the same whether it is answered at once or by the whole command line."""

import re

import pytest

from claudectl_protocol.sessions import Size
from tests.e2e.world import World, wait_gone
from tests.support.terminal import Terminal

FORMS = ((), ("-a",), ("-g",), ("-g", "-a"), ("-q",), ("-q", "-a", "--all-projects"))
NAMES = ("api", "漢字 und mehr", "e\u0301clair", "a-name-that-is-much-longer-than-all-others-together")
_AGE = re.compile(r" +\d+[smhd]\b")


def aged(text: str) -> str:
    """`text` with every age the same: time goes on between two commands."""
    return _AGE.sub(" age", text)


@pytest.fixture
def crowded(world: World) -> World:
    """A world with sessions in several states, one of them in no project, and something to be told."""
    for name in NAMES:
        world.new("-n", name, "--command", "--", "cat")
    world.new("-n", "nowhere", "--global", "--command", "--", "cat")
    world.ctl("stop", NAMES[0])
    killed = world.new("-n", "killed", "--command", "--", "cat")
    world.kill(int(str(killed["pid"])))
    world.ctl("logs", "killed", "-f")
    return world


def test_both_ways_print_the_same_into_a_pipe(crowded: World) -> None:
    for form in FORMS:
        quick = crowded.ctl("ls", *form)
        whole = crowded.ctl("--no-start", "ls", *form)

        assert aged(quick.out) == aged(whole.out)
        assert quick.err == whole.err
        assert len(quick.out.splitlines()) >= len(NAMES)


def test_both_ways_print_the_same_into_a_terminal(crowded: World) -> None:
    for form in FORMS:
        seen = []
        for words in (["ls", *form], ["--no-start", "ls", *form]):
            with Terminal(
                crowded.argv(*words), env=crowded.env, cwd=crowded.project, size=Size(cols=150, rows=40)
            ) as terminal:
                assert terminal.wait_for_exit() == 0
                seen.append(aged(terminal.output.decode()))

        assert seen[0] == seen[1]
        assert "\x1b[" in seen[0] or "-q" in form


def test_both_ways_tell_what_is_wrong(world: World) -> None:
    world.new("-n", "job", "--command", "--", "cat")
    daemon = world.daemon_pid()
    world.ctl("daemon", "stop")
    wait_gone([daemon])
    (world.project / ".claudectl" / "sessions.json").write_text("{broken")
    world.start()

    quick = world.ctl("ls")
    whole = world.ctl("--no-start", "ls")

    assert quick.err == whole.err
    assert "sessions.json" in quick.err
    assert aged(quick.out) == aged(whole.out)
