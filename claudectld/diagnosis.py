"""The daemon's side of `claudectl doctor`: how Claude, the configuration and the session files are found from here.

Reads only: nothing is repaired, and no file of a daemon that runs beside this process is touched.
"""

import os
import resource
from collections.abc import Mapping

from claudectl_protocol.diagnosis import ClaudeFacts, Diagnosis
from claudectl_protocol.faults import ClaudeCodeNotFound, Rejected
from claudectl_protocol.settings import Config
from claudectl_protocol.text import plain
from claudectld.claude.login import logins
from claudectld.claude.program import find_claude
from claudectld.claude.version import NoVersion, version_of
from claudectld.config import Places
from claudectld.keeper import copy
from claudectld.stores.claim import DIRECTORY, SESSIONS
from claudectld.stores.document import SCHEMA
from claudectld.stores.envelope import Damaged, JsonObject, unseal
from claudectld.stores.files import Directory, error_name
from claudectld.stores.global_file import DATA

_OWN_DESCRIPTORS = "/dev/fd"


def diagnosis(
    env: Mapping[str, str], cwd: str, places: Places, config: Config, config_problem: str
) -> Diagnosis:
    """What there is to know. Blocking: Claude is asked for its version.

    Args:
        env: the caller's environment, in which Claude is looked for and its login.
        cwd: the caller's working directory, from which its relative paths count.
        config: what is in force here, and in `config_problem` why the file is not.
    """
    projects, store_problems = _store(places.config)
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return Diagnosis(
        claude=_claude(env, cwd, config.claude.program),
        config_problem=config_problem,
        keeper_code=_keeper_code(),
        files_open=_open_files(),
        files_soft=None if soft == resource.RLIM_INFINITY else soft,
        projects=tuple(plain(path) for path in projects),
        store_problems=tuple(plain(problem) for problem in store_problems),
    )


def _claude(env: Mapping[str, str], cwd: str, configured: str) -> ClaudeFacts:
    found = logins(env, cwd)
    try:
        path = find_claude(env, configured)
    except Rejected as rejected:
        fault = rejected.fault
        searched = fault.searched if isinstance(fault, ClaudeCodeNotFound) else ()
        return ClaudeFacts(searched=searched, logins=found)
    try:
        return ClaudeFacts(path=path, version=version_of(path, env), logins=found)
    except NoVersion as error:
        return ClaudeFacts(path=path, problem=str(error), logins=found)


def _keeper_code() -> str:
    try:
        return copy.digest()
    except OSError:
        return ""


def _open_files() -> int | None:
    try:
        # One of them is the listing's own.
        return len(os.listdir(_OWN_DESCRIPTORS)) - 1
    except OSError:
        return None


def _store(config_directory: str) -> tuple[tuple[str, ...], list[str]]:
    """The directories on the list of projects, and what is wrong with it and with each of them."""
    body, problem = _document(config_directory, DATA, follow=True)
    problems = [problem] if problem else []
    entries = body.get("projects")
    projects = []
    for entry in entries if isinstance(entries, list) else []:
        path = entry.get("path") if isinstance(entry, dict) and "closed_at" not in entry else None
        if isinstance(path, str) and os.path.isabs(path) and "\0" not in path:
            projects.append(path)
    for path in projects:
        if not os.path.isdir(path):
            problems.append(f"{path} is missing")
            continue
        _, problem = _document(os.path.join(path, DIRECTORY), SESSIONS, follow=False)
        if problem:
            problems.append(problem)
    return tuple(sorted(projects)), problems


def _document(directory: str, name: str, *, follow: bool) -> tuple[JsonObject, str]:
    """What a file of ours holds, and why it cannot be used; a missing one holds nothing."""
    path = os.path.join(directory, name)
    try:
        with Directory.open(directory, follow=follow) as opened:
            envelope = unseal(opened.read(name))
    except FileNotFoundError:
        return {}, ""
    except Damaged as damage:
        return {}, f"{path} {damage}"
    except OSError as error:
        return {}, f"{path} cannot be read ({error_name(error)})"
    if envelope.schema > SCHEMA:
        return envelope.body, f"{path} was written by a newer claudectl (schema {envelope.schema})"
    return envelope.body, ""
