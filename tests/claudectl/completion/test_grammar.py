"""What is read off click's commands."""

import click

from claudectl.cli import VERBS, root
from claudectl.completion.grammar import Kind, Option, Slot, Verb, every, grammar


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def made_up() -> None:
    """A group."""


@made_up.command("go")
@click.argument("target", metavar="ID")
@click.argument("rest", nargs=-1)
@click.option("-C", "--cwd", metavar="DIR", help="Where.")
@click.option("-v", count=True)
@click.option("--secret", hidden=True)
@click.option("--colour", type=click.Choice(("red", "blue")))
def go(**_: object) -> None:
    """Go somewhere."""


@made_up.command("hidden", hidden=True)
def hidden() -> None:
    """Not to be seen."""


def test_options_arguments_and_values_are_found_and_hidden_ones_are_not() -> None:
    read = grammar(made_up)

    assert [verb.path for verb in every(read)] == [(), ("go",)]
    assert read.verbs[0] == Verb(
        path=("go",),
        about="Go somewhere.",
        arguments=(Slot(kind=Kind.SESSIONS), Slot(kind=Kind.NOTHING)),
        options=(
            Option(names=("-C", "--cwd"), about="Where.", slot=Slot(kind=Kind.DIRECTORIES)),
            Option(names=("-v",), about=""),
            Option(names=("--colour",), about="", slot=Slot(kind=Kind.WORDS, words=("red", "blue"))),
            Option(names=("-h", "--help"), about="Show this message and exit."),
        ),
    )


def test_every_verb_of_ours_is_in_it_and_every_id_is_a_session() -> None:
    verbs = {verb.path: verb for verb in every(grammar(root))}

    assert {path[0] for path in verbs if path} == set(VERBS)
    assert verbs["attach",].arguments == (Slot(kind=Kind.SESSIONS),)
    assert verbs["stop",].arguments == (Slot(kind=Kind.SESSIONS, many=True),)
    assert verbs["project", "rm"].arguments == (Slot(kind=Kind.PROJECTS),)
    assert "records.limit_mib" in verbs["config", "set"].arguments[0].words
    assert verbs["completion",].arguments[0].words == ("bash", "zsh", "fish")
