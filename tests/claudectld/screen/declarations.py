"""Makes claudectld/screen/_ghostty.py: `python -m tests.claudectld.screen.declarations`.

Of the library's declarations it has those that our modules name, and what these need.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from cffi import FFI
from pyghostty._cdef import CDEF

SCREEN = Path(__file__).parents[3] / "claudectld" / "screen"
TARGET = SCREEN / "_ghostty.py"
USERS = ("library.py", "lines.py", "emulator.py")
# cffi cannot pass a union by value, and needs not: a structure of the same layout is passed in the same way.
TWINS = """
typedef struct { uint16_t x; uint32_t y; uint64_t _pad; } GhosttyPointValueTwin;
typedef struct { GhosttyPointTag tag; GhosttyPointValueTwin value; } GhosttyPointTwin;
"""
_HEADER = (
    '"""Declarations of libghostty-vt, made from those of pyghostty 0.1.3 (MIT and Apache-2.0) by '
    'tests/claudectld/screen/declarations.py."""\n\n'
)
_WORD = re.compile(r"\b[Gg][Hh][Oo][Ss][Tt][Tt][Yy]\w+")


def generated() -> str:
    """The module's text."""
    builder = FFI()
    builder.cdef("\n".join(wanted()) + TWINS)
    builder.set_source("_ghostty", None)
    with TemporaryDirectory() as directory:
        builder.compile(tmpdir=directory, verbose=False)
        made = (Path(directory) / "_ghostty.py").read_text()
    return _HEADER + made


def wanted() -> Iterator[str]:
    """The declarations that are needed, in the library's order."""
    declarations = list(_declarations())
    names = {word for user in USERS for word in _WORD.findall((SCREEN / user).read_text())}
    names |= set(_WORD.findall(TWINS))
    needed: set[int] = set()
    while True:
        found = {
            index for index, text in enumerate(declarations) if index not in needed and _defines(text, names)
        }
        if not found:
            break
        needed |= found
        names |= {
            word for index in found for word in _WORD.findall(declarations[index]) if not word.isupper()
        }
    for index, text in enumerate(declarations):
        if index in needed:
            yield text


def _declarations() -> Iterator[str]:
    """Everything up to a semicolon outside of braces."""
    text = re.sub(r"/\*.*?\*/", "", CDEF, flags=re.DOTALL)
    start = depth = 0
    for place, letter in enumerate(text):
        depth += (letter == "{") - (letter == "}")
        if letter == ";" and not depth:
            yield text[start : place + 1].strip()
            start = place + 1


def _defines(text: str, names: set[str]) -> bool:
    """True when a declaration is of one of the names; of a constant also by the start of its name."""
    if text.startswith("typedef enum"):
        prefixes = tuple(name for name in names if name.isupper())
        if any(constant.startswith(prefixes) for constant in re.findall(r"\bGHOSTTY_\w+", text) if prefixes):
            return True
    name = (
        re.search(r"(\w+)\s*(?:\([^()]*\))?\s*;\Z", text) if not text.startswith("typedef void (*") else None
    )
    match = (
        re.search(r"\(\*(\w+)\)", text) if text.startswith("typedef") and "(*" in text.split("{")[0] else name
    )
    return match is not None and match[1] in names


if __name__ == "__main__":
    TARGET.write_text(generated())
