"""MessagePack for the few values of a small request and its answer, where loading a library would take longer than all
the rest.
"""

import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_SHORT_STR = 32
_SHORT_MAP = 16


def packed(value: "Mapping[str, object] | str | int | bool | None") -> bytes:
    """`value` as MessagePack. Raises ValueError for what a small request has no need of."""
    if value is None:
        return b"\xc0"
    if isinstance(value, bool):
        return b"\xc3" if value else b"\xc2"
    if isinstance(value, int):
        return b"\xd3" + value.to_bytes(8, "big", signed=True)
    if isinstance(value, str):
        data = value.encode()
        return (bytes((0xA0 | len(data),)) if len(data) < _SHORT_STR else b"\xdb" + _u32(data)) + data
    if len(value) >= _SHORT_MAP:
        raise ValueError(f"a map of {len(value)} fields")
    fields = (packed(key) + _packed_field(field) for key, field in value.items())
    return bytes((0x80 | len(value),)) + b"".join(fields)


def unpacked(data: bytes) -> object:
    """The value that `data` holds: None, bool, int, float, str, list or dict. Raises ValueError for anything else."""
    try:
        value, end = _read(data, 0)
    except (IndexError, RecursionError) as error:
        raise ValueError("a value that ends too early or never") from error
    if end != len(data):
        raise ValueError("more than one value")
    return value


def _packed_field(field: object) -> bytes:
    if field is None or isinstance(field, (bool, int, str, dict)):
        return packed(field)
    raise ValueError(f"a field of type {type(field).__name__}")


def _u32(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big")


_NUMBERS = {0xCC: (1, False), 0xCD: (2, False), 0xCE: (4, False), 0xCF: (8, False)} | {
    0xD0: (1, True),
    0xD1: (2, True),
    0xD2: (4, True),
    0xD3: (8, True),
}
_FLOAT = 0xCB
_STRS = {0xD9: 1, 0xDA: 2, 0xDB: 4}
_ARRAYS = {0xDC: 2, 0xDD: 4}
_MAPS = {0xDE: 2, 0xDF: 4}
_CONSTANTS = {0xC0: None, 0xC2: False, 0xC3: True}


def _read(data: bytes, at: int) -> tuple[object, int]:
    """(the value at an offset, the offset behind it)."""
    kind = data[at]
    at += 1
    if kind < 0x80:
        return kind, at
    if kind >= 0xE0:
        return kind - 0x100, at
    if kind < 0x90:
        return _read_map(data, at, kind & 0x0F)
    if kind < 0xA0:
        return _read_array(data, at, kind & 0x0F)
    if kind < 0xC0:
        return _read_str(data, at, kind & 0x1F)
    if kind in _CONSTANTS:
        return _CONSTANTS[kind], at
    if kind in _NUMBERS:
        size, signed = _NUMBERS[kind]
        return int.from_bytes(_cut(data, at, size), "big", signed=signed), at + size
    if kind == _FLOAT:
        return struct.unpack(">d", _cut(data, at, 8))[0], at + 8
    for lengths, read in ((_STRS, _read_str), (_ARRAYS, _read_array), (_MAPS, _read_map)):
        if kind in lengths:
            size = lengths[kind]
            return read(data, at + size, int.from_bytes(_cut(data, at, size), "big"))
    raise ValueError(f"a value of kind {kind:#x}")


def _cut(data: bytes, at: int, size: int) -> bytes:
    if at + size > len(data):
        raise ValueError("a value that ends too early")
    return data[at : at + size]


def _read_str(data: bytes, at: int, size: int) -> tuple[object, int]:
    return _cut(data, at, size).decode(), at + size


def _read_array(data: bytes, at: int, count: int) -> tuple[object, int]:
    values = []
    for _ in range(count):
        value, at = _read(data, at)
        values.append(value)
    return values, at


def _read_map(data: bytes, at: int, count: int) -> tuple[object, int]:
    fields = {}
    for _ in range(count):
        key, at = _read(data, at)
        if not isinstance(key, str):
            raise ValueError("a key that is no text")
        fields[key], at = _read(data, at)
    return fields, at
