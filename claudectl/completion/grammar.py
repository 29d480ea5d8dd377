"""What may stand where on our command line, read off click's commands."""

from enum import StrEnum

import click

from claudectl_protocol.sessions import Value
from claudectl_protocol.settings import keys


class Kind(StrEnum):
    """What can complete a word."""

    NOTHING = "nothing"
    WORDS = "words"
    """A fixed few."""
    SESSIONS = "sessions"
    PROJECTS = "projects"
    DIRECTORIES = "directories"
    FILES = "files"


class Slot(Value):
    """A place for one word, or for any number of them."""

    kind: Kind
    words: tuple[str, ...] = ()
    many: bool = False


class Option(Value):
    """An option by its names; without a slot it is a flag."""

    names: tuple[str, ...]
    about: str
    slot: Slot | None = None


class Verb(Value):
    """A command; `path` is its words after `claudectl`, none for that itself."""

    path: tuple[str, ...]
    about: str
    options: tuple[Option, ...]
    arguments: tuple[Slot, ...]
    verbs: tuple["Verb", ...] = ()


_BY_METAVAR = {
    "ID": Slot(kind=Kind.SESSIONS),
    "ID...": Slot(kind=Kind.SESSIONS, many=True),
    "DIR": Slot(kind=Kind.DIRECTORIES),
    "PATH": Slot(kind=Kind.FILES),
    "[PATH]": Slot(kind=Kind.PROJECTS),
    "KEY": Slot(kind=Kind.WORDS, words=tuple(key.dotted for key in keys())),
}
"""Arguments and values are told apart by what the help calls them."""


def grammar(root: click.Group) -> Verb:
    """Everything below a group; what is hidden stays so."""
    # Parsed like no words at all, so that what the group hands down (such as -h) is there.
    return _verb((), root, root.make_context("claudectl", [], resilient_parsing=True))


def every(verb: Verb) -> tuple[Verb, ...]:
    """A verb and all below it."""
    return (verb, *(inner for child in verb.verbs for inner in every(child)))


def _verb(path: tuple[str, ...], command: click.Command, context: click.Context) -> Verb:
    children = []
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            if child is not None and not child.hidden:
                inner = click.Context(child, parent=context, info_name=name)
                children.append(_verb((*path, name), child, inner))
    parameters = command.get_params(context)
    return Verb(
        path=path,
        about=command.get_short_help_str(limit=80),
        options=tuple(_option(one) for one in parameters if isinstance(one, click.Option) and not one.hidden),
        arguments=tuple(_slot(one) for one in parameters if isinstance(one, click.Argument)),
        verbs=tuple(children),
    )


def _option(option: click.Option) -> Option:
    is_flag = option.is_flag or option.count
    return Option(
        names=(*option.opts, *option.secondary_opts),
        about=option.help or "",
        slot=None if is_flag else _slot(option),
    )


def _slot(parameter: click.Parameter) -> Slot:
    if isinstance(parameter.type, click.Choice):
        return Slot(kind=Kind.WORDS, words=tuple(map(str, parameter.type.choices)))
    return _BY_METAVAR.get(parameter.metavar or "", Slot(kind=Kind.NOTHING))
