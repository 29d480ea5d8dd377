"""libghostty-vt, loaded: the functions and types of its C interface, and what every call of them needs.

The package that brings the library would read its declarations anew at every start, which takes 0.15 s and some MB. The
ones in _ghostty.py were read once (tests/claudectld/screen/declarations.py), for exactly one version.
"""

import importlib.util
from collections.abc import Callable
from pathlib import Path

from claudectld.screen._ghostty import ffi as ffi

VERSION = "0.1.3"
"""The version of the package that the declarations are of."""
_PACKAGE = "pyghostty"
_NAMES = ("libghostty-vt.so", "libghostty-vt.dylib")


class EmulatorError(Exception):
    """The library could not do what was asked; the emulator's state is not to be trusted."""


def _load() -> ffi.CData:
    """Raises ImportError, also for another version, whose structures may differ."""
    spec = importlib.util.find_spec(_PACKAGE)
    places = spec.submodule_search_locations if spec is not None else None
    if not places:
        raise ImportError(f"{_PACKAGE} is not installed")
    package = Path(places[0])
    if not (package.parent / f"{_PACKAGE}-{VERSION}.dist-info").exists():
        raise ImportError(f"{_PACKAGE} is not of version {VERSION}")
    for name in _NAMES:
        if (package / "_lib" / name).exists():
            return ffi.dlopen(str(package / "_lib" / name))
    raise ImportError(f"{_PACKAGE} has no library for this machine")


lib = _load()


def check(result: int, what: str) -> None:
    """Raises EmulatorError unless the library has done what was asked."""
    if result:
        raise EmulatorError(f"{what}: {result}")


def sized(kind: str) -> ffi.CData:
    """A new structure of which the library wants to be told the size, and those of the structures in it."""
    made = ffi.new(f"{kind}*")
    _set_sizes(made)
    return made


def _set_sizes(made: ffi.CData) -> None:
    kind = ffi.typeof(made).item
    for name, field in kind.fields:
        if name == "size":
            made.size = ffi.sizeof(kind)
        elif field.type.kind == "struct":
            _set_sizes(ffi.addressof(made[0], name))


def taken(fill: Callable[[ffi.CData, ffi.CData], int]) -> tuple[int, bytes]:
    """What the library put into memory of its own: the result of `fill(address, size)`, and the bytes."""
    data, size = ffi.new("uint8_t**"), ffi.new("size_t*")
    result = fill(data, size)
    if result:
        return result, b""
    try:
        return 0, bytes(ffi.buffer(data[0], size[0])) if size[0] else b""
    finally:
        lib.ghostty_free(ffi.NULL, data[0], size[0])


def find_place(terminal: ffi.CData, column: int, row: int) -> ffi.CData:
    """A cell of a terminal; rows count from the oldest of the history. Valid until the terminal changes."""
    kind = "GhosttyResult(*)(GhosttyTerminal, GhosttyPointTwin, GhosttyGridRef*)"
    find = ffi.cast(kind, ffi.addressof(lib, "ghostty_terminal_grid_ref"))
    point = ffi.new("GhosttyPointTwin*")
    point.tag = lib.GHOSTTY_POINT_TAG_SCREEN
    point.value.x, point.value.y = column, row
    place = sized("GhosttyGridRef")
    check(find(terminal, point[0], place), "place")
    return place
