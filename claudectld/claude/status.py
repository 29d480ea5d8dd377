"""OSC 7501, by which Claude itself reports what it is doing to a terminal that answers its query.

Claude asks once at its start, `ESC ] 7501 ; ? BEL` in one burst with DA1 (`ESC [ c`). Any OSC 7501 that begins
with `?` and comes before the answer to DA1 turns the reports on for the life of the process; later is too late.
"""

import base64
import binascii

from claudectl_protocol.sessions import Activity, ActivityState
from claudectl_protocol.text import plain

QUERY = b"7501;?"
"""The query between `ESC ]` and its terminator."""
REPLY = b"\x1b]7501;?\x1b\\"
"""What a screen answers, before its answer to DA1."""
PREFIX = b"7501;"
"""How the content of a report begins."""
SOURCE = "osc7501"
TEXT_CHARACTERS = 500
_LONGEST_BODY = 16384
"""Claude sends at most 2048 characters of message: 11 KiB of base64."""

_TRUST = "trust this folder"
"""The one permission that no tool asks for."""


def parse(body: str | bytes) -> Activity | None:
    """The activity in a report (what follows `7501;`), or None when it says nothing about the session itself.

    A cleared status is `unknown`. Rows of background agents and shells (`id=`), queries and whatever is not
    understood give None. `since` is 0: a screen has no clock. Never raises.
    """
    if len(body) > _LONGEST_BODY:
        return None
    text = body.decode("utf-8", "replace") if isinstance(body, bytes) else body
    fields: dict[str, str] = {}
    for field in text.split(":"):
        key, found, value = field.partition("=")
        if not found or key in fields:
            return None
        fields[key] = value
    if "id" in fields:
        return None
    message = _decoded(fields.get("msg", ""))
    match fields.get("state"):
        case "idle" | "done":
            return Activity(state=ActivityState.IDLE, source=SOURCE)
        case "working":
            return Activity(state=ActivityState.WORKING, text=message, source=SOURCE)
        case "blocked":
            kind = _kind(fields.get("kind", ""), message)
            return Activity(state=ActivityState.NEEDS_INPUT, kind=kind, text=message, source=SOURCE)
        case "error":
            return Activity(state=ActivityState.ERROR, text=message, source=SOURCE)
        case "clear":
            return Activity(state=ActivityState.UNKNOWN, source=SOURCE)
        case _:
            return None


def _kind(reported: str, message: str) -> str:
    match reported:
        case "permission":
            return "trust" if message == _TRUST else "permission"
        case "question":
            return "question"
        case _:
            return "dialog"


def _decoded(value: str) -> str:
    try:
        raw = base64.b64decode(value.encode("ascii", "replace"), validate=True)
    except binascii.Error:
        return ""
    return plain(raw.decode("utf-8", "replace"), TEXT_CHARACTERS)
