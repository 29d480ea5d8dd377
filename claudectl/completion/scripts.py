"""The scripts that shells evaluate. Verbs and options are in them; only names are asked for when they are needed.

bash and zsh share one function in the language that both (and any POSIX shell with `local`) speak. In it no variable
may be called `path`: in zsh that is PATH.
"""

from collections.abc import Iterable, Iterator
from shlex import quote

from claudectl.completion import fish
from claudectl.completion.grammar import Kind, Slot, Verb, every
from claudectl.completion.names import VERB

_WALK = """\
# claudectl {version}, for {shell}: eval "$(claudectl completion {shell})"
#
# _claudectl_candidates COMMAND CURRENT WORD...: a line for each word that may stand in CURRENT's place, and
# ':files' or ':directories' at last. The words are those before it, without the command's own.
_claudectl_candidates() {
    local command="$1" current="$2" verb="" option="" socket="" everywhere="" count=0 word
    shift 2
    for word in "$@"; do
        if [ -n "$option" ]; then
            [ "$option" = " --socket" ] && socket="$word"
            option=""
            continue
        fi
        [ "$word" = "--" ] && { echo :files; return; }
        case "$verb $word" in
{options_with_values}
            *" -g"|*" --all-projects") everywhere=-g ;;
            *" -"*) ;;
{paths}
            *) count=$((count + 1)) ;;
        esac
    done
    if [ -n "$option" ]; then
        case "$option" in
{values}
        esac
        return
    fi
    case "$current" in
        -*)
            case "$verb" in
{flags}
            esac
            return ;;
    esac
    case "$verb:$count" in
{arguments}
    esac
}
_claudectl_names() {
    set -- "$1" "$current"
    [ -n "$everywhere" ] && set -- "$@" -g
    [ -n "$socket" ] && set -- "$@" --socket "$socket"
    "$command" {names} "$@" 2>/dev/null </dev/null
}
"""

_BASH = """\
_claudectl() {
    local current="$2" candidates
    candidates=$(_claudectl_candidates "$1" "$current" "${COMP_WORDS[@]:1:COMP_CWORD-1}")
    case "$candidates" in
        *:files) compopt -o default ;;
        *:directories) compopt -o plusdirs ;;
    esac
    local IFS=$'\\n'
    COMPREPLY=($(compgen -X ':*' -W '$candidates' -- "$current"))
}
complete -F _claudectl claudectl
"""

_ZSH = """\
_claudectl() {
    local candidates
    # Before the emulation, in which arrays begin at 0.
    local -a before=("${(@)words[2,CURRENT-1]}")
    local command="${words[1]}"
    candidates="$(emulate -L sh; _claudectl_candidates "$command" "$PREFIX" "${before[@]}")"
    # Never both: from whole paths and a path's last parts zsh would make out a beginning in common, which is none.
    compadd -- ${${(f)candidates}:#:*} && return
    case "$candidates" in
        *:files) _files ;;
        *:directories) _files -/ ;;
        *) return 1 ;;
    esac
}
(( $+functions[compdef] )) || { autoload -Uz compinit && compinit }
compdef _claudectl claudectl
"""


def script(shell: str, root: Verb, version: str) -> str:
    """The script for one of SHELLS."""
    if shell == "fish":
        return fish.script(root, version)
    walk = _WALK
    for name, lines in {
        "options_with_values": _options_with_values(root),
        "paths": _paths(root),
        "values": _values(root),
        "flags": _flags(root),
        "arguments": _arguments(root),
    }.items():
        walk = walk.replace(f"{{{name}}}\n", "".join(f"{line}\n" for line in lines))
    for name, text in {"version": version, "shell": shell, "names": VERB}.items():
        walk = walk.replace(f"{{{name}}}", text)
    return walk + (_BASH if shell == "bash" else _ZSH)


def _options_with_values(root: Verb) -> Iterator[str]:
    for verb in every(root):
        patterns = [
            f'"{_path(verb)} {name}"' for option in verb.options if option.slot for name in option.names
        ]
        if patterns:
            yield f'            {"|".join(patterns)}) option="$verb $word" ;;'


def _paths(root: Verb) -> Iterator[str]:
    for verb in every(root):
        for child in verb.verbs:
            yield f'            "{_path(verb)} {child.path[-1]}") verb="{_path(child)}" ;;'


def _values(root: Verb) -> Iterator[str]:
    for verb in every(root):
        for option in verb.options:
            if option.slot is not None and option.slot.kind is not Kind.NOTHING:
                patterns = "|".join(f'"{_path(verb)} {name}"' for name in option.names)
                yield f"            {patterns}) {_candidates(option.slot)} ;;"


def _flags(root: Verb) -> Iterator[str]:
    for verb in every(root):
        names = [name for option in verb.options for name in option.names]
        yield f'                "{_path(verb)}") {_print(names)} ;;'


def _arguments(root: Verb) -> Iterator[str]:
    for verb in every(root):
        if verb.verbs:
            yield f'        "{_path(verb)}:0") {_print(child.path[-1] for child in verb.verbs)} ;;'
        for number, slot in enumerate(verb.arguments):
            if slot.kind is not Kind.NOTHING:
                which = f'"{_path(verb)}:"*' if slot.many else f'"{_path(verb)}:{number}"'
                yield f"        {which}) {_candidates(slot)} ;;"


def _path(verb: Verb) -> str:
    return " ".join(verb.path)


def _candidates(slot: Slot) -> str:
    match slot.kind:
        case Kind.WORDS:
            return _print(slot.words)
        case Kind.SESSIONS:
            return "_claudectl_names sessions"
        case Kind.PROJECTS:
            return "_claudectl_names projects; echo :directories"
        case Kind.DIRECTORIES | Kind.FILES:
            return f"echo :{slot.kind.value}"
        case Kind.NOTHING:
            return ":"


def _print(words: Iterable[str]) -> str:
    return f"printf '%s\\n' {' '.join(map(quote, words))}"
