"""The list of sessions inside a document: reading it without losing what is not understood, and the next
version of it. Pure."""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from claudectl_protocol.sessions import SessionId
from claudectld.core.session import Session, decode, encode
from claudectld.stores.envelope import JsonObject
from claudectld.stores.files import is_safe_name

SESSIONS = "sessions"
REMOVED = "removed"

_FIELDS = frozenset(Session.__struct_fields__)


class Roll(NamedTuple):
    """The sessions of a document. `raw` has each one as it stands in the file, `unknown` the entries that are
    no session, `notices` phrases for people."""

    sessions: tuple[Session, ...]
    raw: dict[SessionId, JsonObject]
    unknown: tuple[object, ...]
    notices: tuple[str, ...]


def shape(body: JsonObject) -> str:
    """What is wrong with a document of sessions, or nothing."""
    if not isinstance(body.get(SESSIONS), list):
        return "has no list of sessions"
    return ""


def read(body: JsonObject, project: str | None, name: str) -> Roll:
    """The sessions in a document.

    Args:
        project: what they belong to now, whatever the file says.
        name: the document's name, for notices.
    """
    entries = body.get(SESSIONS)
    sessions: list[Session] = []
    raw: dict[SessionId, JsonObject] = {}
    unknown: list[object] = []
    notices: list[str] = []
    for number, entry in enumerate(entries if isinstance(entries, list) else [], start=1):
        try:
            session = decode(entry)
            # What cannot be sent to a client would make the whole list unreadable.
            msgspec.msgpack.encode(session.info())
        except (msgspec.ValidationError, UnicodeEncodeError, OverflowError) as error:
            unknown.append(entry)
            notices.append(
                f"{name}: entry {number} is no session of this version and is kept as it is: {error}"
            )
            continue
        run = () if session.run is None else (session.run.id,)
        if session.id in raw or not all(map(is_safe_name, (session.id, *session.runs, *run))):
            unknown.append(entry)
            notices.append(f"{name}: entry {number} has no id of its own and is kept as it is")
            continue
        sessions.append(msgspec.structs.replace(session, project=project))
        raw[session.id] = {str(key): value for key, value in entry.items()}
    return Roll(tuple(sessions), raw, tuple(unknown), tuple(notices))


def updated(
    body: JsonObject,
    sessions: Sequence[Session],
    known: frozenset[SessionId] | None,
    removed: str,
    now: float,
) -> JsonObject:
    """The document's next content: `sessions`, and everything else as it was.

    Args:
        body: the present content.
        known: the sessions that the caller knew of; others in the file are kept. None: all in the file.
        removed: why sessions of `known` are no longer there.

    Raises:
        ValueError: sessions are missing without a reason, or one is there twice.
    """
    ids = [session.id for session in sessions]
    if len(set(ids)) != len(ids):
        raise ValueError("a session is in the list twice")
    present = read(body, None, "")
    expected = frozenset(present.raw) if known is None else known
    gone = sorted(expected.difference(ids))
    if gone and not removed:
        raise ValueError(f"sessions are missing without a reason: {', '.join(gone)}")
    entries: list[object] = [_entry(session, present.raw.get(session.id, {})) for session in sessions]
    entries += [entry for id_, entry in present.raw.items() if id_ not in expected and id_ not in ids]
    entries += present.unknown
    following = {**body, SESSIONS: entries}
    if gone:
        following[REMOVED] = {"reason": removed, "sessions": gone, "at": now}
    return following


def _entry(session: Session, before: JsonObject) -> JsonObject:
    return {**encode(session), **{key: value for key, value in before.items() if key not in _FIELDS}}
