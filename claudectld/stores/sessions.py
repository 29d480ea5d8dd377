"""The session store over files: the global file and the files of every known project."""

import os
import threading
from collections.abc import Callable, Sequence

import msgspec

from claudectld.core.session import Session
from claudectld.ports import Stored, StoredProject
from claudectld.stores.claim import DIRECTORY
from claudectld.stores.global_file import GlobalFile
from claudectld.stores.migration import Heritage, Migration
from claudectld.stores.project_files import ProjectFiles
from claudectld.stores.stamp import Owner


class FileSessionStore:
    """Sessions in `PROJECT/.claudectl/` and in `data.json` of the configuration directory.

    Args:
        config_directory: `$XDG_CONFIG_HOME/claudectl`; made when there is something to write.
        owner: who we are, from `stamp.owner(state_directory)`.
        now: the clock, seconds since the epoch.
        heritage: what sessions of an earlier version get when they are moved to their projects.
    """

    def __init__(
        self, config_directory: str, owner: Owner, now: Callable[[], float], heritage: Heritage
    ) -> None:
        self._global = GlobalFile(config_directory, now)
        self._migration = Migration(self._global, heritage, self._place)
        self._waiting: frozenset[str] = frozenset()
        self._owner = owner
        self._now = now
        self._lock = threading.Lock()
        self._projects: dict[str, ProjectFiles] = {}

    def load(self) -> Stored:
        """Read the global file and every known project; never raises for bad content.

        What an earlier version kept in the global file is moved to its projects first.
        """
        moved = self._migration.run()
        self._waiting = moved.waiting
        content = self._global.read()
        loaded = [self._files(path).load(expected=path not in moved.waiting) for path in content.projects]
        return Stored(
            projects=tuple(one.project for one in loaded),
            global_sessions=content.sessions,
            # Of the global file both may say the same.
            notices=tuple(
                dict.fromkeys(
                    (
                        *moved.notices,
                        *content.notices,
                        *(notice for one in loaded for notice in one.notices),
                    )
                )
            ),
        )

    def open_project(self, path: str) -> StoredProject:
        """Make `path` a known project, creating `.claudectl/` if needed, and return what it holds.

        A project that was moved here takes the place of its old path. A copy is listed, and stays a copy.
        """
        if not os.path.isabs(path) or os.path.normpath(path) != path:
            raise ValueError(f"not a normal absolute path: {path!r}")
        self._global.check_writable()
        if path in self._waiting:
            self._waiting -= {path}
            self._waiting |= self._migration.run(only=path).waiting
        return self._open(path)

    def _open(self, path: str) -> StoredProject:
        files = self._files(path)
        loaded = files.open()
        self._global.add(path, instead_of=loaded.moved_from)
        if loaded.moved_from is None:
            return loaded.project
        # After the list: a crash in between leaves a project that is still seen to have moved.
        files.settle()
        with self._lock:
            self._projects.pop(loaded.moved_from, None)
        return msgspec.structs.replace(files.load().project, moved_from=loaded.moved_from)

    def find_project(self, path: str) -> StoredProject | None:
        """A project that was moved to `path`, which takes the place of its old path; one on the list that was out
        of reach; one that is not ours to change. None for anything else."""
        if path in self._waiting and os.path.isdir(path):
            return self.open_project(path)
        if not os.path.lexists(os.path.join(path, DIRECTORY)):
            return None
        with self._lock:
            known = self._projects.get(path)
        loaded = (known or ProjectFiles(path, self._owner, self._now)).load()
        if loaded.project.writable and loaded.moved_from is not None:
            return self.open_project(path)
        return loaded.project if known is not None or not loaded.project.writable else None

    def save_project(self, path: str, sessions: Sequence[Session], *, removed: str = "") -> None:
        """Replace a project's sessions; those of last time that are missing need the reason in `removed`."""
        self._files(path).save(sessions, removed)

    def save_global(self, sessions: Sequence[Session], *, removed: str = "") -> None:
        """Replace the sessions that belong to no project; the list of projects is kept."""
        self._global.save_sessions(sessions, removed)

    def close_project(self, path: str) -> None:
        """Take a project off the list; its files stay."""
        self._global.drop(path)
        with self._lock:
            self._projects.pop(path, None)

    def _place(self, path: str, sessions: Sequence[Session]) -> None:
        self._open(path)
        self._files(path).add(sessions)

    def _files(self, path: str) -> ProjectFiles:
        with self._lock:
            return self._projects.setdefault(path, ProjectFiles(path, self._owner, self._now))
