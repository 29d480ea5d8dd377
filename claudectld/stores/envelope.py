"""What every JSON file of ours has around its content: a schema number and a checksum. Pure."""

import hashlib
import json
import math
from typing import NamedTuple, NoReturn

import msgspec

JsonObject = dict[str, object]
"""A JSON object whose fields are not all ours: unknown ones must survive a rewrite."""

DEPTH = 64
"""Nothing of ours is nested deeper; json.dumps would give up long after json.loads did not."""


class Damaged(Exception):
    """The bytes are none of ours; the argument completes 'it …'."""


class Envelope(NamedTuple):
    """A document that was read: `schema` is 0 when it names none, `edited` that its checksum is wrong."""

    schema: int
    body: JsonObject
    edited: bool


def seal(schema: int, body: JsonObject) -> bytes:
    """The file for a content, indented for people."""
    document = {"schema": schema, "checksum": _checksum(schema, body), **body}
    # A lone surrogate (a path that is not UTF-8) becomes the JSON escape that is read back as itself.
    text = json.dumps(document, ensure_ascii=False, allow_nan=False).encode("utf-8", "backslashreplace")
    try:
        return msgspec.json.format(text, indent=2) + b"\n"
    except msgspec.DecodeError:
        return text + b"\n"


def unseal(data: bytes) -> Envelope:
    """The content of a file.

    Raises:
        Damaged: it is no JSON object, or not one that could be written again.
    """
    try:
        document: object = json.loads(data.decode("utf-8"), parse_constant=_refuse, parse_float=_finite)
        if not isinstance(document, dict):
            raise Damaged("is not a JSON object")
        if _is_deeper(document, DEPTH):
            raise Damaged("is nested too deeply")
        body: JsonObject = {str(key): value for key, value in document.items()}
        schema = body.pop("schema", 0)
        checksum = body.pop("checksum", None)
        if type(schema) is not int or schema < 0:
            raise Damaged("has no usable schema number")
        return Envelope(schema, body, edited=checksum != _checksum(schema, body))
    except ValueError as error:
        raise Damaged("is not JSON") from error
    except RecursionError as error:
        raise Damaged("is nested too deeply") from error


def _checksum(schema: int, body: JsonObject) -> str:
    canonical = json.dumps(
        {**body, "schema": schema}, sort_keys=True, separators=(",", ":"), allow_nan=False
    ).encode()
    return "sha256:" + hashlib.sha256(canonical).hexdigest()


def _finite(number: str) -> float:
    value = float(number)
    if math.isinf(value):
        raise ValueError(number)
    return value


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)


def _is_deeper(value: object, depth: int) -> bool:
    level: list[object] = [value]
    for _ in range(depth):
        below: list[object] = []
        for item in level:
            if isinstance(item, dict):
                below.extend(item.values())
            elif isinstance(item, list):
                below.extend(item)
        if not below:
            return False
        level = below
    return True
