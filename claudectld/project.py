"""Which project a directory belongs to. Only looks; nothing is made, read or started."""

import os
import stat
from collections.abc import Callable, Iterator

MARK = ".claudectl"


def project_of(cwd: str, home: str, git_top: Callable[[str], str | None] | None = None) -> str | None:
    """The project of a directory: the nearest ancestor with `.claudectl/`, else the git top level, else itself.

    The search ends at the git top level, and before $HOME and what is above it: those are never a project.
    A `.claudectl` counts only if it is a real directory of the caller's own: in a shared place such as /tmp
    somebody else's would take over everything below it.

    Args:
        cwd: an absolute path; symbolic links are followed.
        home: $HOME.
        git_top: the nearest directory with a `.git` entry, at or above a path.

    Returns:
        The project's real path, or None for `/`, $HOME and what is above $HOME.
    """
    here = os.path.realpath(cwd)
    above_projects = {"/", *_upwards(os.path.realpath(home))}
    if here in above_projects:
        return None
    top = (git_top or nearest_git)(here)
    if top is not None:
        top = os.path.realpath(top)
    for directory in _upwards(here):
        if directory in above_projects:
            return here
        if _is_marked(directory) or directory == top:
            return directory
    return here


def holds_sessions(project: str) -> bool:
    """True when a list of sessions lies in a project's directory, whoever it belongs to."""
    return os.path.lexists(os.path.join(project, MARK, "sessions.json"))


def nearest_git(directory: str) -> str | None:
    """The nearest directory with a `.git` entry (a repository or a work tree), at or above `directory`."""
    return next((d for d in _upwards(directory) if os.path.lexists(os.path.join(d, ".git"))), None)


def _upwards(directory: str) -> Iterator[str]:
    while True:
        yield directory
        above = os.path.dirname(directory)
        if above == directory:
            return
        directory = above


def _is_marked(directory: str) -> bool:
    try:
        status = os.lstat(os.path.join(directory, MARK))
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid()
