"""How a person's words become one session: names, prefixes, and the name a session gets when nobody gave one."""

from collections.abc import Iterable, Sequence

from claudectl_protocol.calls import Target
from claudectl_protocol.faults import BadName, Candidate, Rejected, SessionAmbiguous, SessionNotFound
from claudectl_protocol.sessions import Lifecycle
from claudectl_protocol.text import name_problem, plain
from claudectld.core.session import Session

ANYWHERE_DIGITS = 8
"""An id prefix of this many hex digits is resolved in every project."""


def check(name: str) -> None:
    """Accept a session's name, or raise Rejected(BadName)."""
    problem = name_problem(name)
    if problem is not None:
        raise Rejected(BadName(name=plain(name, 80), why=problem))


def default_name(program: str, siblings: Iterable[Session]) -> str:
    """The first free of `claude`, `claude-2`, `claude-3` …, by the program's own name."""
    stem = plain(program.rsplit("/", 1)[-1], 40).strip("-. ") or "session"
    if name_problem(stem) is not None:
        stem = "session"
    taken = {sibling.name for sibling in siblings}
    number = 1
    name = stem
    while name in taken:
        number += 1
        name = f"{stem}-{number}"
    return name


def resolve(target: Target, own: Sequence[Session], everything: Sequence[Session], scope: str) -> Session:
    """The one session that `target` means.

    Args:
        target: the person's words.
        own: sessions of the caller's project.
        everything: all sessions.
        scope: how the caller's project is named in the refusal.

    Raises:
        Rejected: SessionNotFound or SessionAmbiguous (with candidates).
    """
    text = target.text
    reach = everything if target.all_projects else own
    digits = text.lower().replace("-", "")
    is_prefix = bool(digits) and all(digit in "0123456789abcdef" for digit in digits)
    for found in (
        [session for session in own if session.name == text],
        [session for session in reach if session.name == text],
        [
            session
            for session in (everything if len(digits) >= ANYWHERE_DIGITS else reach)
            if is_prefix and session.id.replace("-", "").startswith(digits)
        ],
    ):
        found = _without_copies(found)
        if len(found) == 1:
            return found[0]
        if found:
            raise Rejected(
                SessionAmbiguous(
                    target=plain(text, 80),
                    candidates=tuple(
                        Candidate(id=session.id, name=session.name, project=session.project)
                        for session in found
                    ),
                )
            )
    raise Rejected(SessionNotFound(target=plain(text, 80), scope="all" if target.all_projects else scope))


def _without_copies(found: Sequence[Session]) -> list[Session]:
    """Of sessions with the same id only the one that can be used: the others came with a copied project."""
    real = {session.id for session in found if session.lifecycle is not Lifecycle.UNAVAILABLE}
    return [
        session
        for session in found
        if session.lifecycle is not Lifecycle.UNAVAILABLE or session.id not in real
    ]
