"""What the daemon's side says: Claude Code, its login, the configuration, and the session files."""

from collections.abc import Iterator

from claudectl.doctor.facts import Answer
from claudectl.doctor.findings import Finding, ok, weaker, wrong
from claudectl_protocol.diagnosis import ClaudeFacts, Diagnosis

TESTED = "2.1.330"
OLDEST = "2.1.197"
INSTALL = "npm install -g @anthropic-ai/claude-code"
_NAMED = 3


def claude(found: ClaudeFacts) -> Finding:
    """Whether Claude Code is there and of a version that was tried."""
    if not found.path:
        where = ", ".join(found.searched[:_NAMED])
        more = len(found.searched) - _NAMED
        others = f" and {more} more places" if more > 0 else ""
        return wrong("Claude Code", f"not found in {where or 'any known place'}{others}", INSTALL)
    if not found.version:
        return wrong("Claude Code", f"{found.path} {found.problem}", INSTALL)
    was = f"{found.version} ({found.path})"
    if _numbers(found.version) < _numbers(OLDEST):
        return weaker("Claude Code", f"{was} is older than {OLDEST}, the oldest that was tried", INSTALL)
    if found.version != TESTED:
        return ok("Claude Code", f"{was}; tested with {TESTED}")
    return ok("Claude Code", f"{was}, the version that is tested")


def login(found: ClaudeFacts) -> Iterator[Finding]:
    """Whether Claude has something to log in with; whether it is still valid is not tried."""
    if not found.path:
        return
    if found.logins:
        yield ok("login", f"there is {', '.join(found.logins)}")
    else:
        fix = "run 'claude' once and log in, or set ANTHROPIC_API_KEY"
        yield weaker("login", "none was found: a new session will ask for one", fix)


def config(found: Diagnosis, path: str, changed_at: float | None, answer: Answer) -> Finding:
    """Whether the configuration file is used."""
    if found.config_problem:
        return wrong("config", found.config_problem, "claudectl config check")
    if changed_at is None:
        return ok("config", f"{path} is not there; the defaults hold")
    status = answer.status
    if status is not None and changed_at > status.started_at:
        was = f"{path} was changed after the daemon started"
        return weaker("config", was, "claudectl daemon restart (sessions go on)")
    return ok("config", f"{path} is valid")


def store(found: Diagnosis) -> Iterator[Finding]:
    """Whether the list of projects and their session files can be read."""
    for problem in found.store_problems:
        fix = "" if problem.endswith("is missing") else "the daemon loads its backup when it starts"
        yield weaker("session files", problem, fix)
    if not found.store_problems:
        count = len(found.projects)
        yield ok("session files", f"data.json and {count} project{'' if count == 1 else 's'} can be read")


def _numbers(version: str) -> tuple[int, ...]:
    # `2.1.330-beta.1` counts as 2.1.330.
    return tuple(int(part) for part in version.partition("-")[0].split(".") if part.isdigit())
