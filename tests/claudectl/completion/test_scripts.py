"""What a shell offers, asked of real shells."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from msgspec.structs import replace

from claudectl.cli import VERBS, root
from claudectl.completion.grammar import Verb, grammar
from claudectl.completion.scripts import script
from tests.support.shells import shell_or_skip

GRAMMAR = grammar(root)
NAMES = """#!/bin/sh
# In place of claudectl: says how it was asked.
printf "%s|" "$@" >> "$ASKED"; echo >> "$ASKED"
printf 'api\\napi-two\\nweb\\n'
"""
_ASK_BASH = """
eval "$1"; shift
command="$1"; shift
compopt() { printf 'compopt %s %s\n' "$@"; }
COMP_WORDS=("$command" "$@") COMP_CWORD=$#
_claudectl "$command" "${!#}" "${COMP_WORDS[COMP_CWORD - 1]}"
printf '%s\\n' "${COMPREPLY[@]}"
"""
_ASK_PORTABLE = """
eval "$1"; shift
command="$1"; shift
for last in "$@"; do :; done
count=$#
while [ "$count" -gt 1 ]; do set -- "$@" "$1"; shift; count=$((count - 1)); done
shift
_claudectl_candidates "$command" "$last" "$@"
"""
_ASK_FISH = """
source (printf '%s' $argv[1] | psub)
complete -C "$argv[2..]"
"""


@pytest.fixture
def command(tmp_path: Path) -> str:
    path = tmp_path / "claudectl"
    path.write_text(NAMES)
    path.chmod(0o755)
    return str(path)


def ask(
    program: Sequence[str],
    text: str,
    command: str,
    words: Sequence[str],
    environment: Mapping[str, str] | None = None,
) -> list[str]:
    directory = os.path.dirname(command)
    done = subprocess.run(
        [*program, text, command, *words],
        env={
            "PATH": f"{directory}:{os.defpath}",
            "HOME": directory,
            "ASKED": f"{command}.asked",
            **(environment or {}),
        },
        cwd=directory,
        capture_output=True,
        text=True,
        check=True,
        timeout=20,
    )
    assert done.stderr == ""
    return [line for line in done.stdout.splitlines() if line]


def in_bash(command: str, *words: str) -> list[str]:
    """What bash offers for the last of `words`; options it would set stand before."""
    bash = ["bash", "--norc", "--noprofile", "-c", _ASK_BASH, "ask"]
    return ask(bash, script("bash", GRAMMAR, "1.0"), command, words)


def asked(command: str) -> list[str]:
    path = Path(f"{command}.asked")
    return path.read_text().splitlines() if path.exists() else []


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["at"], ["attach"]),
        (["daemon", "st"], ["start", "status", "stop"]),
        (["--no-start", "at"], ["attach"]),
        (["--socket", "/s", "at"], ["attach"]),
        (["ls", "--al"], ["--all-projects", "--all"]),
        (["stop", "--gr"], ["--grace"]),
        (["config", "set", "records"], ["records.limit_mib"]),
        (["completion", ""], ["bash", "zsh", "fish"]),
        (["new", "-n", ""], []),
        (["stop", "--grace", ""], []),
        (["nonsense", ""], []),
        (["new", "-C", ""], ["compopt -o plusdirs"]),
        (["new", "--", ""], ["compopt -o default"]),
        (["--socket", ""], ["compopt -o default"]),
    ],
)
def test_bash_offers_what_may_stand_there_without_asking_anybody(
    command: str, words: list[str], offered: list[str]
) -> None:
    assert in_bash(command, *words) == offered
    assert asked(command) == []


def test_bash_offers_all_verbs_at_first(command: str) -> None:
    assert in_bash(command, "") == [*VERBS]


@pytest.mark.parametrize(
    ("words", "offered", "question"),
    [
        (["attach", ""], ["api", "api-two", "web"], "__names|sessions||"),
        (["attach", "ap"], ["api", "api-two"], "__names|sessions|ap|"),
        (["attach", "-g", "ap"], ["api", "api-two"], "__names|sessions|ap|-g|"),
        (["stop", "api", "web", "w"], ["web"], "__names|sessions|w|"),
        (["stop", "--grace", "3", "w"], ["web"], "__names|sessions|w|"),
        (["--socket", "/my socket", "rm", "w"], ["web"], "__names|sessions|w|--socket|/my socket|"),
        (["project", "rm", "w"], ["compopt -o plusdirs", "web"], "__names|projects|w|"),
    ],
)
def test_bash_asks_for_names_where_a_name_may_stand(
    command: str, words: list[str], offered: list[str], question: str
) -> None:
    assert in_bash(command, *words) == offered
    assert asked(command) == [question]


def test_a_second_name_is_not_offered_where_one_is_wanted(command: str) -> None:
    assert in_bash(command, "attach", "api", "") == []
    assert in_bash(command, "rename", "api", "") == []
    assert asked(command) == []


def test_a_command_that_is_gone_offers_nothing_and_says_nothing(command: str) -> None:
    os.unlink(command)

    assert in_bash(command, "attach", "") == []


@pytest.mark.parametrize("name", ["dash", "zsh"])
def test_what_bash_and_zsh_share_is_understood_by_other_shells(command: str, name: str) -> None:
    shell = shell_or_skip(name)
    shared = script("zsh", GRAMMAR, "1.0").partition("\n_claudectl() {")[0]
    portable = [shell.program, "-c", _ASK_PORTABLE, "ask"]

    def offered(*words: str) -> list[str]:
        return ask(portable, shared, command, words, shell.environment)

    assert offered("daemon", "")[:3] == ["install", "logs", "restart"]
    assert offered("stop", "--grace", "3", "-g", "w") == ["api", "api-two", "web"]
    assert asked(command) == ["__names|sessions|w|-g|"]


def test_the_whole_script_is_valid_for_zsh() -> None:
    shell = shell_or_skip("zsh")

    done = subprocess.run(
        [shell.program, "-n"],
        input=script("zsh", GRAMMAR, "1.0"),
        env=dict(shell.environment),
        text=True,
        check=False,
        timeout=20,
    )

    assert done.returncode == 0


def in_fish(command: str, *words: str) -> list[str]:
    """What fish offers for the last of `words`, with the descriptions."""
    shell = shell_or_skip("fish")
    fish = [shell.program, "--no-config", "-c", _ASK_FISH]
    return ask(fish, script("fish", GRAMMAR, "1.0"), command, words, shell.environment)


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["at"], ["attach"]),
        (["daemon", "st"], ["start", "status", "stop"]),
        (["daemon", "stop", ""], []),
        (["--no-start", "at"], ["attach"]),
        (["--socket", "/s", "at"], ["attach"]),
        (["ls", "--al"], ["--all", "--all-projects"]),
        (["stop", "--gr"], ["--grace"]),
        (["config", "set", "records"], ["records.limit_mib"]),
        (["completion", ""], ["bash", "fish", "zsh"]),
        (["new", "-n", ""], []),
        (["stop", "--grace", ""], []),
        (["nonsense", ""], []),
        (["attach", "api", ""], []),
        (["new", "-C", ""], ["inner/"]),
        (["new", "--", ""], ["claudectl", "inner/"]),
        (["--socket", "c"], ["claudectl"]),
    ],
)
def test_fish_offers_what_may_stand_there_without_asking_anybody(
    command: str, words: list[str], offered: list[str]
) -> None:
    Path(command).with_name("inner").mkdir()

    assert [line.partition("\t")[0] for line in in_fish(command, *words)] == offered
    assert asked(command) == []


def test_fish_offers_all_verbs_at_first_and_tells_what_each_is_for(command: str) -> None:
    offered = dict(line.split("\t") for line in in_fish(command, ""))

    assert sorted(offered) == sorted(VERBS)
    assert offered == {verb.path[0]: verb.about for verb in GRAMMAR.verbs}


@pytest.mark.parametrize(
    ("words", "offered", "question"),
    [
        (["attach", ""], ["api", "api-two", "web"], "__names|sessions||"),
        (["attach", "-g", "ap"], ["api", "api-two"], "__names|sessions|ap|-g|"),
        (["stop", "api", "web", "w"], ["web"], "__names|sessions|w|"),
        (["stop", "--grace", "3", "w"], ["web"], "__names|sessions|w|"),
        (["--socket", "/my\\ socket", "rm", "w"], ["web"], "__names|sessions|w|--socket|/my socket|"),
        (["project", "rm", "w"], ["web"], "__names|projects|w|"),
    ],
)
def test_fish_asks_for_names_where_a_name_may_stand(
    command: str, words: list[str], offered: list[str], question: str
) -> None:
    assert in_fish(command, *words) == offered
    assert asked(command) == [question]


def test_a_command_that_is_gone_offers_nothing_and_says_nothing_in_fish(command: str) -> None:
    os.unlink(command)

    assert in_fish(command, "attach", "") == []


def test_what_a_description_says_is_only_text_to_fish(command: str) -> None:
    about = "It's a \\ $HOME (touch ran) \\'"
    grammar = Verb(
        path=(), about="", options=(), arguments=(), verbs=(replace(GRAMMAR.verbs[0], about=about),)
    )
    shell = shell_or_skip("fish")

    offered = ask(
        [shell.program, "--no-config", "-c", _ASK_FISH],
        script("fish", grammar, "1.0"),
        command,
        [""],
        shell.environment,
    )

    assert offered == [f"new\t{about}"]
