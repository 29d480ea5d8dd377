"""The script that fish evaluates: the walk that the other shells share, in fish's own words, with descriptions."""

from collections.abc import Iterable, Iterator

from claudectl.completion.grammar import Kind, Option, Slot, Verb, every
from claudectl.completion.names import VERB

_SCRIPT = """\
# claudectl {version}, for fish: claudectl completion fish | source
function _claudectl
    set -l current (commandline -ct)
    set -l words (commandline -opc)
    set -l command $words[1]
    set -e words[1]
    set -l verb ''
    set -l option ''
    set -l count 0
    set -l flags
    for word in $words
        if test -n "$option"
            test "$option" = ' --socket'; and set -a flags --socket $word
            set option ''
            continue
        end
        if test "$word" = --
            __fish_complete_path "$current"
            return
        end
        switch "$verb $word"
{options_with_values}
            case '* -g' '* --all-projects'
                set -a flags -g
            case '* -*'
{verbs}
            case '*'
                set count (math $count + 1)
        end
    end
    if test -n "$option"
        switch "$option"
{values}
        end
        return
    end
    if string match -q -- '-*' "$current"
        switch "$verb"
{flags}
        end
        return
    end
    switch "$verb:$count"
{arguments}
    end
end
complete -c claudectl -e
complete -c claudectl -f -a '(_claudectl)'
"""


def script(root: Verb, version: str) -> str:
    """The script."""
    text = _SCRIPT.replace("{version}", version)
    for name, depth, cases in (
        ("options_with_values", 3, _options_with_values(root)),
        ("verbs", 3, _verbs(root)),
        ("values", 3, _values(root)),
        ("flags", 3, _flags(root)),
        ("arguments", 2, _arguments(root)),
    ):
        margin = "    " * depth
        lines = (f"{margin}case {patterns}\n{margin}    {command}\n" for patterns, command in cases)
        text = text.replace(f"{{{name}}}\n", "".join(lines))
    return text


def _options_with_values(root: Verb) -> Iterator[tuple[str, str]]:
    for verb in every(root):
        options = [option for option in verb.options if option.slot]
        if options:
            yield " ".join(_patterns(verb, option) for option in options), 'set option "$verb $word"'


def _verbs(root: Verb) -> Iterator[tuple[str, str]]:
    for verb in every(root):
        for child in verb.verbs:
            yield _quoted(f"{_path(verb)} {child.path[-1]}"), f"set verb {_quoted(_path(child))}"


def _values(root: Verb) -> Iterator[tuple[str, str]]:
    for verb in every(root):
        for option in verb.options:
            if option.slot is not None and option.slot.kind is not Kind.NOTHING:
                yield _patterns(verb, option), _candidates(option.slot)


def _flags(root: Verb) -> Iterator[tuple[str, str]]:
    for verb in every(root):
        told = ((name, option.about) for option in verb.options for name in option.names)
        yield _quoted(_path(verb)), _described(told)


def _arguments(root: Verb) -> Iterator[tuple[str, str]]:
    for verb in every(root):
        if verb.verbs:
            told = ((child.path[-1], child.about) for child in verb.verbs)
            yield _quoted(f"{_path(verb)}:0"), _described(told)
        for number, slot in enumerate(verb.arguments):
            if slot.kind is not Kind.NOTHING:
                yield _quoted(f"{_path(verb)}:{'*' if slot.many else number}"), _candidates(slot)


def _candidates(slot: Slot) -> str:
    # fish tells of a command that is gone by itself, wherever its errors go.
    asked = f'command $command {VERB} {slot.kind.value} "$current" $flags 2>/dev/null </dev/null'
    names = f"command -q $command; and {asked}"
    match slot.kind:
        case Kind.WORDS:
            return f"printf '%s\\n' {' '.join(map(_quoted, slot.words))}"
        case Kind.SESSIONS:
            return names
        case Kind.PROJECTS:
            return f"{names}; __fish_complete_directories \"$current\" ''"
        case Kind.DIRECTORIES:
            return "__fish_complete_directories \"$current\" ''"
        case Kind.FILES:
            return '__fish_complete_path "$current"'
        case Kind.NOTHING:
            return "true"


def _described(words: Iterable[tuple[str, str]]) -> str:
    told = " ".join(f"{_quoted(word)} {_quoted(about)}" for word, about in words)
    return f"printf '%s\\t%s\\n' {told}"


def _patterns(verb: Verb, option: Option) -> str:
    return " ".join(_quoted(f"{_path(verb)} {name}") for name in option.names)


def _path(verb: Verb) -> str:
    return " ".join(verb.path)


def _quoted(text: str) -> str:
    """A text as one word of fish, in whose quotes a backslash means something."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
