"""Claude's command line: which arguments a person may give, and the whole argv of one start."""

import re
from collections.abc import Iterator, Sequence

from claudectl_protocol.faults import ForbiddenArgument, InvalidArgument, Rejected
from claudectl_protocol.sessions import ConversationId, Value
from claudectld.claude.options import FORBIDDEN, MANY_VALUES, MAYBE_VALUE, NO_VALUE, ONE_VALUE

_SETTINGS = "--settings"
_ONE_WORD = re.compile(r"\S+")


class Arguments(Value):
    """A person's arguments for Claude, found to be harmless.

    `settings` is the value of their `--settings` (a path or JSON text; of several only the last counts), which
    is left out of `options`.
    """

    options: tuple[str, ...]
    settings: str | None = None


def parse(args: Sequence[str]) -> Arguments:
    """Check `args` and take the settings out of them.

    Raises:
        Rejected: ForbiddenArgument for one that takes the conversation out of claudectl's hands, for a prompt or
            a subcommand; InvalidArgument for an option without its value.
    """
    options: list[str] = []
    settings: str | None = None
    for words in _options(args):
        name, _, attached = words[0].partition("=")
        if name == _SETTINGS:
            settings = words[1] if len(words) > 1 else attached
        else:
            options.extend(words)
    return Arguments(options=tuple(options), settings=settings)


def build_argv(
    program: str,
    arguments: Arguments,
    *,
    conversation: ConversationId,
    resume: bool,
    prompt: str | None = None,
    settings_path: str | None = None,
) -> tuple[str, ...]:
    """The argv of one start.

    Args:
        resume: whether the conversation has a transcript. Claude refuses to begin one that has and to resume
            one that has not. The prompt is passed only when it begins.
        settings_path: the merged settings, if there are any.
    """
    argv = [program, *arguments.options]
    if settings_path is not None:
        argv += [_SETTINGS, settings_path]
    argv += ["--resume" if resume else "--session-id", conversation]
    if prompt and not resume:
        # Even behind `--` a prompt of one word that is a subcommand's name (doctor, update) would run it.
        # Claude trims the blank away.
        argv += ["--", f"{prompt} " if _ONE_WORD.fullmatch(prompt) else prompt]
    return tuple(argv)


def _options(args: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Each option with its values."""
    at = 0
    while at < len(args):
        word = args[at]
        name = _name(word)
        if name in FORBIDDEN:
            raise Rejected(ForbiddenArgument(argument=name, why=FORBIDDEN[name]))
        if not _looks_like_option(word) or word == "--":
            why = "is a prompt or a command of its own; the prompt stands before the --"
            raise Rejected(ForbiddenArgument(argument=word, why=why))
        end = at + 1
        if word in ONE_VALUE or word in MANY_VALUES:
            if end == len(args):
                raise Rejected(InvalidArgument(what=word, why="needs a value"))
            end += 1
        if word in MANY_VALUES:
            while end < len(args) and not _looks_like_option(args[end]):
                end += 1
        elif end < len(args) and not _looks_like_option(args[end]) and _may_take(word):
            end += 1
        yield tuple(args[at:end])
        at = end


def _name(word: str) -> str:
    """The option that a word begins: `--name` of `--name=value`; of a cluster of letters the one that matters."""
    if word.startswith("--"):
        return word.partition("=")[0]
    if word in NO_VALUE or not _looks_like_option(word):
        return word
    # After a letter that takes nothing the next letter is an option, too; after any other the rest is its value.
    letters = [f"-{letter}" for letter in word[1:]]
    return next((letter for letter in letters if letter not in NO_VALUE), letters[-1])


def _may_take(word: str) -> bool:
    """Whether an option takes the next word if that is no option; one that nobody here knows is given it."""
    if word in MAYBE_VALUE:
        return True
    known = word in ONE_VALUE or word in NO_VALUE
    return word.startswith("--") and "=" not in word and not known


def _looks_like_option(word: str) -> bool:
    return len(word) > 1 and word.startswith("-")
