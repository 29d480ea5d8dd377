"""Names for a word that is being completed, asked of a daemon that runs. Nothing is started, nothing goes wrong aloud.

Loads neither click nor msgspec, because a person waits for it at every press of a key.
"""

import os
import sys

from claudectl.quick import replied

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

VERB = "__names"
LIMIT_S = 1.0
"""After so long an answer would come too late to be of use."""
_ID_DIGITS = 8
_PLAIN = frozenset("_.@%+-/")
"""With letters and digits: the characters that mean themselves to every shell."""


def main(arguments: "Sequence[str]") -> int:
    """Print what begins with a prefix, one per line: `KIND PREFIX [-g] [--socket PATH]`. Always 0."""
    try:
        found = [*names(arguments)]
    except (ValueError, IndexError, OSError):
        return 0
    try:
        sys.stdout.write("".join(f"{name}\n" for name in found))
        sys.stdout.flush()
    except (OSError, UnicodeEncodeError):
        # The shell has gone, or could not show the names anyway; Python must not try again at exit.
        os._exit(0)
    return 0


def names(arguments: "Sequence[str]") -> "Iterator[str]":
    """The names; none where no daemon answers.

    Raises:
        ValueError, IndexError: that is no question.
        OSError: the directory has gone.
    """
    kind, prefix, *rest = arguments
    path = rest[rest.index("--socket") + 1] if "--socket" in rest else ""
    if kind == "projects":
        projects = _field(replied({"t": "project_list"}, path, LIMIT_S), "projects")
        yield from sorted(path for path in (_text(one, "path") for one in projects) if _fits(path, prefix))
    elif kind == "sessions":
        call = {"t": "list", "cwd": os.getcwd(), "all_projects": "-g" in rest, "stopped": True}
        sessions = _field(replied(call, path, LIMIT_S), "sessions")
        called = ((_text(one, "name"), _text(one, "id")) for one in sessions)
        yield from sorted({word for name, id_ in called for word in _words(name, id_, prefix)})


def _field(reply: object, name: str) -> list[object]:
    found = reply.get(name) if isinstance(reply, dict) else None
    return found if isinstance(found, list) else []


def _text(value: object, name: str) -> str:
    found = value.get(name) if isinstance(value, dict) else None
    return found if isinstance(found, str) else ""


def _words(name: str, id_: str, prefix: str) -> "Iterator[str]":
    """A session's name; its id where a person has begun to type it, or where the name would have to be quoted."""
    if _fits(name, prefix):
        yield name
    short = id_[:_ID_DIGITS]
    if short.startswith(prefix) and (prefix or not _is_plain(name)):
        yield short


def _fits(word: str, prefix: str) -> bool:
    return word.startswith(prefix) and _is_plain(word)


def _is_plain(word: str) -> bool:
    """True for a word that a shell takes as it is: what is inserted must not be able to do anything."""
    return bool(word) and all(letter in _PLAIN or letter.isalnum() for letter in word)
