"""protocol/README.md is enough to write a client from, so its tables must say what the code says."""

import enum
from collections.abc import Iterator
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, NewType, Union, get_args, get_origin

import msgspec
import pytest

from claudectl_protocol import codec
from claudectl_protocol.calls import AnyCall
from claudectl_protocol.connection import ClientConnection
from claudectl_protocol.faults import AnyFault
from claudectl_protocol.framing import MAX_DATA_BYTES, MAX_FRAME_BYTES
from claudectl_protocol.messages import MAX_PENDING_CALLS, ToClient, ToDaemon

README = (Path(__file__).parents[2] / "protocol" / "README.md").read_text()
ROWS = {
    cells[0]: cells[1:]
    for line in README.splitlines()
    if line.startswith("| ")
    for cells in [[cell.strip() for cell in line.strip("|").split(" | ")]]
}
"""Every table row by its first cell."""

CALLS: tuple[type[msgspec.Struct], ...] = get_args(AnyCall)
FAULTS: tuple[type[msgspec.Struct], ...] = get_args(AnyFault)
ENVELOPES: tuple[type[msgspec.Struct], ...] = (*get_args(ToDaemon), *get_args(ToClient))
PLAIN: dict[object, str] = {
    str: "str",
    int: "int",
    bool: "bool",
    float: "float",
    bytes: "bin",
    NoneType: "nil",
    msgspec.Raw: "map",
}


def type_words(annotation: object) -> str:
    """A field's type as the README writes it."""
    if isinstance(annotation, NewType):
        return type_words(annotation.__supertype__)
    if isinstance(annotation, type) and issubclass(annotation, (enum.Enum, msgspec.Struct)):
        return annotation.__name__
    inner = get_args(annotation)
    origin = get_origin(annotation)
    if origin is Annotated:
        return type_words(inner[0])
    if origin in (Union, UnionType):
        return " or ".join(map(type_words, inner))
    if origin is dict:
        return f"{{{type_words(inner[0])}: {type_words(inner[1])}}}"
    if origin is tuple:
        return (
            f"[{type_words(inner[0])}]" if inner[-1] is Ellipsis else f"[{', '.join(map(type_words, inner))}]"
        )
    return PLAIN[annotation]


def field_words(struct: type[msgspec.Struct]) -> str:
    """A struct's fields as the README writes them, with `=` and the default where a field may be left out."""
    words = []
    for field in msgspec.structs.fields(struct):
        default = ""
        if not field.required:
            value: object = {} if field.default is msgspec.NODEFAULT else field.default
            default = f" = {msgspec.json.encode(value).decode().replace('null', 'nil')}"
        words.append(f"`{field.name}`: {type_words(field.type)}{default}")
    return "; ".join(words) or "none"


def inside(annotation: object) -> Iterator[type[msgspec.Struct] | type[enum.Enum]]:
    """Every struct and enum that a type is made of."""
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        yield annotation
    elif isinstance(annotation, type) and issubclass(annotation, msgspec.Struct):
        yield annotation
        for field in msgspec.structs.fields(annotation):
            yield from inside(field.type)
    for argument in get_args(annotation):
        yield from inside(argument)


PARTS = {
    part
    for struct in (*CALLS, *FAULTS, *ENVELOPES, *map(codec.reply_type, CALLS))
    for part in inside(struct)
    if part not in (*CALLS, *FAULTS, *ENVELOPES)
}
VALUES = sorted((part for part in PARTS if issubclass(part, msgspec.Struct)), key=lambda part: part.__name__)
ENUMS = sorted((part for part in PARTS if issubclass(part, enum.Enum)), key=lambda part: part.__name__)


@pytest.mark.parametrize("call", CALLS)
def test_every_call_is_described_with_its_fields_and_its_reply(call: type[msgspec.Struct]) -> None:
    assert ROWS[f"`{call.__struct_config__.tag}`"][:2] == [field_words(call), codec.reply_type(call).__name__]


@pytest.mark.parametrize("struct", [*FAULTS, *ENVELOPES])
def test_every_fault_and_envelope_is_described_with_its_fields(struct: type[msgspec.Struct]) -> None:
    assert ROWS[f"`{struct.__struct_config__.tag}`"][0] == field_words(struct)


@pytest.mark.parametrize("value", VALUES)
def test_every_value_is_described_with_its_fields(value: type[msgspec.Struct]) -> None:
    assert ROWS[value.__name__][0] == field_words(value)


@pytest.mark.parametrize("words", ENUMS)
def test_every_enumeration_is_described_with_its_words(words: type[enum.Enum]) -> None:
    assert ROWS[words.__name__][0] == " ".join(f"`{member.value}`" for member in words)


def test_limits_are_named() -> None:
    for limit in (MAX_FRAME_BYTES, MAX_DATA_BYTES, MAX_PENDING_CALLS):
        assert f"{limit:,}".replace(",", " ") in README


def test_first_bytes_of_the_example_are_the_real_ones() -> None:
    shown = "".join(line for line in README.splitlines() if line.startswith("    63 63 74 6c")).replace(
        " ", ""
    )
    assert bytes.fromhex(shown) == ClientConnection("1.0", 7).start()
